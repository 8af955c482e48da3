"""The call policy of a reward: calls in flight, timeouts, retries, rate limits and prices."""

from typing import ClassVar, Self

from pydantic import model_validator

from zo_dno.option_group import OptionGroup, option


class CallPolicy(OptionGroup):
    """How a reward is called. A reward brings its own policy; a run may change any of it.

    Raises:
        InputError: A number is out of range, or token prices come without `max_tokens`.
    """

    title: ClassVar[str] = "How the reward is called"
    kind: ClassVar[str] = "policy option"

    in_flight: int = option(1, "Calls in flight at once", ge=1)
    timeout: float | None = option(
        None, "Longest time of one call; a longer call fails, and may be retried", unit="s", gt=0
    )
    deadline: float | None = option(
        None,
        "Longest time of one query, its calls and waits included; waiting for a rate limit does not count",
        unit="s",
        gt=0,
    )
    attempts: int = option(5, "Most calls for one query; only transient failures are retried", ge=1)
    first_wait: float = option(
        1.0,
        "Wait before the first retry, doubled before each further one; a server's Retry-After takes precedence",
        unit="s",
        ge=0,
    )
    longest_wait: float = option(
        60.0, "Longest wait before a retry, unless a Retry-After asks for more", unit="s", ge=0
    )
    longest_retry_after: float = option(
        600.0, "Longest Retry-After that the run waits for; a longer one pauses the run", unit="s", ge=0
    )
    requests_per_minute: float | None = option(None, "Most calls to start per minute", gt=0)
    tokens_per_minute: float | None = option(None, "Most tokens per minute; each call counts as `max_tokens`", gt=0)
    price: float = option(0.0, "Price of one image", unit="currency", ge=0)
    token_price: float = option(0.0, "Price of a million tokens", unit="currency", ge=0)
    max_tokens: int = option(0, "Most tokens that one call can use, prompt and response together", ge=0)
    breaker: int = option(
        16,
        "Consecutive failed calls that pause the run; retries that succeed in the end do not count; 0 never pauses",
        ge=0,
    )
    durable: bool = option(False, "Write every score and image to disk before the next call; always on with a price")

    @model_validator(mode="after")
    def _tokens_are_bounded(self) -> Self:
        if (self.token_price or self.tokens_per_minute) and not self.max_tokens:
            raise ValueError(
                "max_tokens must be given with token_price or tokens_per_minute; got 0. It is the most that one call "
                "can use, prompt and response together."
            )
        return self

    @property
    def keeps_everything(self) -> bool:
        """Whether every score and every image is on disk before the next call."""
        return self.durable or self.has_price

    @property
    def has_price(self) -> bool:
        """Whether calls cost money."""
        return self.price > 0 or self.token_price > 0

    @property
    def plain(self) -> bool:
        """Whether calls are made one after the other, without a time limit, so that no threads are needed."""
        limits = (self.timeout, self.deadline, self.requests_per_minute, self.tokens_per_minute)
        return self.in_flight == 1 and all(limit is None for limit in limits)

    def pauses_for(self, retry_after: float | None) -> bool:
        """Whether a server asks for so long a wait that the run pauses."""
        return retry_after is not None and retry_after > self.longest_retry_after

    def cost_of_call(self, images: int, tokens: int | None = None) -> float:
        """Return the price of one call for so many images; without its tokens, the most that it can cost."""
        return self.price * images + self.token_price * (self.max_tokens if tokens is None else tokens) / 1e6

    def worst_case(self, images: int) -> float:
        """Return the price of a query for so many images whose every attempt is charged."""
        return self.attempts * self.cost_of_call(images)
