"""How a reward is asked: how often, how fast, for how long, and at what price."""

import math
from dataclasses import dataclass, fields

from zo_dno.errors import InputError


@dataclass(frozen=True, slots=True)
class CallPolicy:
    """The terms on which a reward is asked. A reward brings its own; a run may change any of them.

    Args:
        in_flight: calls under way at once.
        timeout: seconds for one call; a call that takes longer has failed, and may be made again.
        deadline: seconds for one query with all its calls and the waits between them; waiting for a rate limit is free.
        attempts: calls for one query at most. Only failures that may pass are tried again.
        first_wait: seconds before the second call; every further wait is twice as long. A server's Retry-After wins.
        longest_wait: seconds that a wait may grow to.
        requests_per_minute: calls started, at most.
        tokens_per_minute: tokens asked for, at most, counting `max_tokens` a call.
        price: money for one image.
        token_price: money for a million tokens.
        max_tokens: the most that one call can use, for the worst case that a budget reserves.
        breaker: pause the run once so many calls in a row brought no answer, counted when their query is given up; 0
            never pauses.
        durable: answers are dear: each one is on the disk before anything else happens, and so is its image. Always
            so with a price.
    Raises:
        InputError: a number is out of range, or token prices come without `max_tokens`.
    """

    in_flight: int = 1
    timeout: float | None = None
    deadline: float | None = None
    attempts: int = 5
    first_wait: float = 1.0
    longest_wait: float = 60.0
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    price: float = 0.0
    token_price: float = 0.0
    max_tokens: int = 0
    breaker: int = 16
    durable: bool = False

    def __post_init__(self) -> None:
        for field in fields(self):
            value, (least, rule) = getattr(self, field.name), _RULES.get(field.name, (0.0, "at least 0"))
            if value is not None and not (math.isfinite(value) and value >= least):
                raise InputError(f"{field.name} must be {rule}; got {value}.")
        if (self.token_price or self.tokens_per_minute) and not self.max_tokens:
            raise InputError(
                "max_tokens must be given with token_price or tokens_per_minute; got 0. It is the most that one call "
                "can use, question and answer together."
            )

    @property
    def keeps_everything(self) -> bool:
        """Every answer and every image is on the disk before anything else happens."""
        return self.durable or self.has_price

    @property
    def has_price(self) -> bool:
        """Asking costs money."""
        return self.price > 0 or self.token_price > 0

    @property
    def plain(self) -> bool:
        """One call after the other, for as long as each takes: needs neither threads nor an event loop."""
        limits = (self.timeout, self.deadline, self.requests_per_minute, self.tokens_per_minute)
        return self.in_flight == 1 and all(limit is None for limit in limits)

    def cost_of_call(self, images: int, tokens: int | None = None) -> float:
        """Price one call for so many images; without its tokens, the most that it can cost."""
        return self.price * images + self.token_price * (self.max_tokens if tokens is None else tokens) / 1e6

    def worst_case(self, images: int) -> float:
        """Price a query for so many images whose every attempt is charged."""
        return self.attempts * self.cost_of_call(images)


_ABOVE_0 = (5e-324, "above 0")
_RULES = {
    **dict.fromkeys(("in_flight", "attempts"), (1, "at least 1")),
    **dict.fromkeys(("timeout", "deadline", "requests_per_minute", "tokens_per_minute"), _ABOVE_0),
}
