"""Several judges, each asked several times, make one score; what one of them said is paid for once."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, pstdev

from zo_dno.failures import CallError, Failure
from zo_dno.judges.chat_completions import Usage
from zo_dno.judges.modes import Verdict
from zo_dno.types import Score

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seat:
    """One judge asked one time.

    Attributes:
        judge: name of the model.
        sample: how often it was asked before.
        name: of what it says, among all that is said of an image.
    """

    judge: str
    sample: int
    name: str


@dataclass(slots=True)
class Prices:
    """What tokens cost, and the most that one answer can.

    Args:
        question: money for a million tokens of questions.
        answer: money for a million tokens of answers.
        most_question: tokens of one question, its image included.
        most_answer: tokens of one answer.
    """

    question: float
    answer: float
    most_question: int
    most_answer: int
    _warned: bool = field(default=False, init=False, repr=False)

    @property
    def most(self) -> float:
        """Price one answer of the most tokens."""
        return (self.question * self.most_question + self.answer * self.most_answer) / 1e6

    def of(self, usage: Usage) -> float:
        """Price one answer; what the server does not say counts in full."""
        asked = self.most_question if usage.question is None else usage.question
        written = self.most_answer if usage.answer is None else usage.answer
        if not self._warned and (asked > self.most_question or written > self.most_answer):
            self._warned = True
            log.warning(
                "A judge counted %d tokens of question and %d of answer, more than max_question %d or max_answer %d: "
                "max_cost is too low a bound. Raise them.",
                *(asked, written, self.most_question, self.most_answer),
            )
        return (self.question * asked + self.answer * written) / 1e6


class Panel:
    """Judges whose scores are averaged.

    All are asked at once. Where a call fails, the others are waited for, and what they said is remembered until the
    question is asked again.

    Args:
        judges: names of models.
        samples: how often each is asked.
        prices: None where nothing is known of them.
    """

    def __init__(self, judges: Sequence[str], samples: int, prices: Prices | None) -> None:
        self.seats = [
            Seat(judge, sample, judge if samples == 1 else f"{judge}/{sample + 1}")
            for judge in judges
            for sample in range(samples)
        ]
        self._prices = prices
        self._said: dict[str, dict[Seat, Verdict]] = {}

    async def score(self, key: str, ask: Callable[[Seat], Awaitable[Verdict]]) -> Score:
        """Ask whoever has not answered yet, and average.

        Args:
            key: of the question, for what was said before a call of it failed; "" remembers nothing.
            ask: asks one of them.
        Raises:
            CallError: a call failed.
        """
        said = self._said.setdefault(key, {}) if key else {}

        async def one(seat: Seat) -> None:
            said[seat] = await ask(seat)  # at once, so that a deadline that ends the others does not lose it

        before = len(said)
        outcomes = await asyncio.gather(*(one(seat) for seat in self.seats if seat not in said), return_exceptions=True)
        failed = [outcome for outcome in outcomes if outcome is not None]
        if failed:
            raise worst_of(failed, paid=len(said) > before)
        self._said.pop(key, None)
        return self._averaged({seat: said[seat] for seat in self.seats})

    def _averaged(self, said: Mapping[Seat, Verdict]) -> Score:
        """Average the judges, each the mean of its answers; one that gave nothing that can be read leaves no score."""
        readable = {seat: verdict.value for seat, verdict in said.items() if not math.isnan(verdict.value)}
        several, values = len(said) > 1, list(readable.values())
        score = Score(
            math.nan,
            raw="\n".join(f"[{seat.name}] {one.raw}" if several else one.raw for seat, one in said.items()),
            tokens=sum(one.usage.total for one in said.values()),
            cost=sum(self._prices.of(one.usage) for one in said.values()) if self._prices else None,
            components={seat.name: value for seat, value in readable.items()} if several else None,
            spread=pstdev(values) if len(values) > 1 else None,
        )
        by_judge = {
            judge: [value for seat, value in readable.items() if seat.judge == judge]
            for judge in dict.fromkeys(seat.judge for seat in said)
        }
        for seat, one in said.items():
            if not by_judge[seat.judge]:
                return replace(score, kind=one.kind, error=f"{seat.name}: {one.error}" if several else one.error)
        return replace(score, value=fmean(fmean(values) for values in by_judge.values()))


def worst_of(failed: Sequence[BaseException], *, paid: bool) -> BaseException:
    """Choose what calls that were made together failed with: a failure for good before one that may pass.

    Args:
        failed: what each raised.
        paid: others of them brought an answer that costs money.
    """
    failures = []
    for error in failed:
        if not isinstance(error, CallError):
            return error
        failures.append(error.failure)
    worst = max(failures, key=_severity)
    billed = paid or any(failure.billed for failure in failures)
    return CallError(replace(worst, billed=billed))


def _severity(failure: Failure) -> tuple[bool, float]:
    return (not failure.transient, failure.retry_after or 0.0)
