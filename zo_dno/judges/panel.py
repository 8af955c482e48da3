"""A panel of judges: one score from several models and samples; every response is paid for once."""

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean, pstdev

from zo_dno.failures import CallError, Failure
from zo_dno.judges.chat_completions import Usage
from zo_dno.judges.modes import Judgement
from zo_dno.types import Score

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class JudgeSample:
    """One request to one judge.

    Attributes:
        judge: Name of the model.
        number: Number of the sample, from 0.
        name: Name of the sample among all responses about an image.
    """

    judge: str
    number: int
    name: str


@dataclass(slots=True)
class Prices:
    """Prices of tokens, and the highest cost of one request.

    Args:
        input: Money for a million tokens of requests.
        output: Money for a million tokens of responses.
        most_input: Most tokens of one request, its image included.
        most_output: Most tokens of one response.
    """

    input: float
    output: float
    most_input: int
    most_output: int
    _warned: bool = field(default=False, init=False, repr=False)

    @property
    def most(self) -> float:
        """Highest cost of one request and its response."""
        return (self.input * self.most_input + self.output * self.most_output) / 1e6

    def of(self, usage: Usage) -> float:
        """Compute the cost of one request; a number that the server does not report counts as the most."""
        read = self.most_input if usage.input is None else usage.input
        written = self.most_output if usage.output is None else usage.output
        if not self._warned and (read > self.most_input or written > self.most_output):
            self._warned = True
            log.warning(
                "A judge counted %d tokens of question and %d of answer, more than max_question %d or max_answer %d: "
                "max_cost is too low a bound. Raise them.",
                *(read, written, self.most_input, self.most_output),
            )
        return (self.input * read + self.output * written) / 1e6


class Panel:
    """Judges whose scores are averaged.

    All requests are made at once. Where one fails, the others are awaited, and their judgements are remembered until
    the same image is scored again.

    Args:
        judges: Names of the models.
        samples: Number of requests to each model.
        prices: Prices of tokens; None where they are unknown.
    """

    def __init__(self, judges: Sequence[str], samples: int, prices: Prices | None) -> None:
        self.samples = [
            JudgeSample(judge, sample, judge if samples == 1 else f"{judge}/{sample + 1}")
            for judge in judges
            for sample in range(samples)
        ]
        self._prices = prices
        self._judgements: dict[str, dict[JudgeSample, Judgement]] = {}

    async def score(self, key: str, ask: Callable[[JudgeSample], Awaitable[Judgement]]) -> Score:
        """Request the judgements that are missing, and average all.

        Args:
            key: Key of the query, by which judgements are remembered after a failure; "" remembers none.
            ask: Function that requests one judgement.
        Raises:
            CallError: A request failed.
        """
        found = self._judgements.setdefault(key, {}) if key else {}

        async def one(sample: JudgeSample) -> None:
            found[sample] = await ask(sample)  # at once, so that a deadline that cancels the others does not lose it

        before = len(found)
        outcomes = await asyncio.gather(
            *(one(sample) for sample in self.samples if sample not in found), return_exceptions=True
        )
        failed = [outcome for outcome in outcomes if outcome is not None]
        if failed:
            raise worst_of(failed, paid=len(found) > before)
        self._judgements.pop(key, None)
        return self._averaged({sample: found[sample] for sample in self.samples})

    def _averaged(self, found: Mapping[JudgeSample, Judgement]) -> Score:
        """Average the judges, each the mean of its samples; the score is missing if a judge has no readable sample."""
        readable = {sample: one.value for sample, one in found.items() if not math.isnan(one.value)}
        several, values = len(found) > 1, list(readable.values())
        score = Score(
            math.nan,
            raw="\n".join(f"[{sample.name}] {one.raw}" if several else one.raw for sample, one in found.items()),
            tokens=sum(one.usage.total for one in found.values()),
            cost=sum(self._prices.of(one.usage) for one in found.values()) if self._prices else None,
            components={sample.name: value for sample, value in readable.items()} if several else None,
            spread=pstdev(values) if len(values) > 1 else None,
        )
        by_judge = {
            judge: [value for sample, value in readable.items() if sample.judge == judge]
            for judge in dict.fromkeys(sample.judge for sample in found)
        }
        for sample, one in found.items():
            if not by_judge[sample.judge]:
                return replace(score, kind=one.kind, error=f"{sample.name}: {one.error}" if several else one.error)
        return replace(score, value=fmean(fmean(values) for values in by_judge.values()))


def worst_of(failed: Sequence[BaseException], *, paid: bool) -> BaseException:
    """Choose the error to raise for requests that were made together: a permanent failure before a transient one.

    Args:
        failed: Errors of the failed requests.
        paid: Whether another of the requests brought a response that costs money.
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
