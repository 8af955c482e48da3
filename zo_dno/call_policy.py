"""The policy of calls: how many at once, for how long, how often again, and at what price."""

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
        None, "Time for one call; a call that takes longer has failed and may be retried", unit="s", gt=0
    )
    deadline: float | None = option(
        None,
        "Time for one query with all its calls and the waits between them; waiting for a rate limit does not count",
        unit="s",
        gt=0,
    )
    attempts: int = option(5, "Calls for one query at most; only failures that may pass are retried", ge=1)
    first_wait: float = option(
        1.0,
        "Wait before the second call; every further wait is twice as long, and a server's Retry-After comes first",
        unit="s",
        ge=0,
    )
    longest_wait: float = option(60.0, "Longest wait between two calls", unit="s", ge=0)
    longest_retry_after: float = option(
        600.0, "Longest Retry-After of a server that is waited for; a longer one pauses the run", unit="s", ge=0
    )
    requests_per_minute: float | None = option(None, "Calls started per minute at most", gt=0)
    tokens_per_minute: float | None = option(
        None, "Tokens requested per minute at most, `max_tokens` counted for each call", gt=0
    )
    price: float = option(0.0, "Price of one image", unit="currency", ge=0)
    token_price: float = option(0.0, "Price of a million tokens", unit="currency", ge=0)
    max_tokens: int = option(0, "Tokens that one call can use at most, prompt and response together", ge=0)
    breaker: int = option(
        16,
        "Calls without a response in a row that pause the run, counted when their query is given up; 0 never pauses",
        ge=0,
    )
    durable: bool = option(
        False, "Write every score and image to disk before anything else happens; always so with a price"
    )

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
        """Every score and every image is on disk before anything else happens."""
        return self.durable or self.has_price

    @property
    def has_price(self) -> bool:
        """Calls cost money."""
        return self.price > 0 or self.token_price > 0

    @property
    def plain(self) -> bool:
        """One call after the other, for as long as each takes: needs neither threads nor an event loop."""
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
