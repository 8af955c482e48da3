"""Measures of images: values beside the reward, of which a run keeps the best candidate of every cell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from zo_dno.errors import InputError
from zo_dno.failures import Failure
from zo_dno.oracle.call import call
from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.combination.term import Term, label_of, terms_of
from zo_dno.results.elites import Elites
from zo_dno.reward import Reward
from zo_dno.rewards.combinations import Constrained
from zo_dno.run.make_reward import make_reward, rewards_in
from zo_dno.run.open_run import OpenRun
from zo_dno.run.prior_images import prior_images
from zo_dno.run.searches import SEARCH
from zo_dno.run.spec import RunSpec
from zo_dno.search.archive import Archive
from zo_dno.search.elites import EliteArchive, Grid
from zo_dno.types import prompt_of

MOST = 2  # measures of a run
_CHECKED = 4  # prior draws on which measures are checked before anything is written
_DRAWS = 32  # and on which ranges are measured
_WIDTH = 3.0  # standard deviations on each side of the mean of prior draws
_FIRST = 16  # scores of which the lowest is the offset of the QD score, where a reward has no lowest value
_RANGES = "measure_ranges"  # fact of the run


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure, and the range that its cells divide.

    Attributes:
        given: Name of a reward, or package.module:name.
        range: Lowest and highest value; None takes those of prior draws.
    """

    given: str
    range: tuple[float, float] | None = None

    @property
    def name(self) -> str:
        """Name in the ledger."""
        return label_of(self.given)

    @classmethod
    def parse(cls, text: str) -> "Measure":
        """Read a measure as an option gives it: NAME, or NAME=LOW..HIGH.

        Raises:
            InputError: The range is none.
        """
        given, sign, limits = text.partition("=")
        if not sign:
            return cls(given)
        ends = limits.split("..")
        try:
            low, high = map(float, ends)
        except ValueError:
            low = high = math.nan
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise InputError(
                f"measures must be NAME or NAME=LOW..HIGH, with LOW below HIGH; got {text!r}. Such as "
                "brightness=0.2..0.8."
            )
        return cls(given, (low, high))


def measures_in(texts: Sequence[str]) -> tuple[Measure, ...]:
    """Read the measures of a run.

    Raises:
        InputError: There are more than two, one is there twice, or a range is none.
    """
    found = tuple(map(Measure.parse, texts))
    if len(found) > MOST:
        raise InputError(f"measures must be one or two; got {len(found)}: {', '.join(one.name for one in found)}.")
    if len({one.name for one in found}) < len(found):
        raise InputError(f"measures must differ; got {found[0].name} twice.")
    return found


def measuring(reward: Reward, texts: Sequence[str]) -> Reward:
    """Return the reward with measures beside it, whose values do not count for the score.

    Raises:
        InputError: A measure is unknown, or is not a function that is computed here for nothing.
    """
    measures = measures_in(texts)
    if not measures:
        return reward
    if rewards_in(reward) > 1:
        raise InputError("measures must be left out with a front, which has rewards of its own; got both.")
    own = {term.name for term in reward.terms} if isinstance(reward, Combination) else {reward.name}
    terms = [Term(one.name, one.given, weight=0.0) for one in measures if one.name not in own]
    if isinstance(reward, Combination):
        made = make_reward(replace(reward, parts=[*terms_of(reward.parts), *terms]))
    else:
        made = make_reward(Constrained(reward, parts=terms))
    assert isinstance(made, Combination)
    for term in made.terms:
        one = term.reward
        free = not (one.is_async or one.noisy or one.policy.has_price or one.takes_keys or one.takes_arrays)
        if term.name in {measure.name for measure in measures} and not free:
            raise InputError(
                f"measures must be exact functions of an image that cost nothing; got {term.name!r}. Such as "
                "brightness."
            )
    return made


def check_measures(spec: RunSpec) -> None:
    """Check the measures of a run on prior draws.

    Raises:
        InputError: One fails, or has the same value for all of them.
    """
    if spec.options.measures:
        _values(spec, _CHECKED)


def elite_archive(run: OpenRun) -> EliteArchive | None:
    """Return the archive of elites of a run; None where it has no measures.

    Ranges that are not given are three standard deviations on each side of the mean of prior draws, within the range
    of the measure. They are measured once and recorded.
    """
    measures = measures_in(run.spec.options.measures)
    if not measures:
        return None
    ranges = run.ledger.get(_RANGES)
    if ranges is None:
        values = _values(run.spec, _DRAWS)
        limits = {term.name: term.reward.range for term in _terms(run.spec)}
        ranges = []
        for measure, own in zip(measures, values.T, strict=True):
            low, high = limits[measure.name]
            middle, width = float(own.mean()), _WIDTH * float(own.std())
            ranges.append(measure.range or (max(low, middle - width), min(high, middle + width)))
        run.ledger.set({_RANGES: [list(one) for one in ranges]})
    names = tuple(measure.name for measure in measures)
    grid = Grid(names, tuple((low, high) for low, high in ranges))
    return EliteArchive(grid, tells_all=run.manifest.rules < 4)


def elites_of(run: OpenRun, archive: Archive) -> Elites | None:
    """Return the elites that an archive kept; None where a run has no measures."""
    kept = archive.elites
    if kept is None:
        return None
    lowest = run.spec.reward.range[0]
    if math.isfinite(lowest):
        return Elites.of(kept.elites, kept.grid, lowest, f"the lowest {run.spec.reward.name}")
    first = [row.value for row in run.ledger.queries(SEARCH) if row.value is not None][:_FIRST]
    return Elites.of(kept.elites, kept.grid, min(first, default=0.0), f"the lowest of the first {len(first)} scores")


def _terms(spec: RunSpec) -> tuple[Term, ...]:
    assert isinstance(spec.reward, Combination)
    return spec.reward.terms


def _values(spec: RunSpec, n: int) -> np.ndarray:
    """Measure prior draws, (n, k)."""
    images, columns = prior_images(spec, n), []
    prompts = [prompt_of(spec.generator)] * len(images)
    by_name = {term.name: term.reward for term in _terms(spec)}
    for measure in measures_in(spec.options.measures):
        scores: list[float] = []
        for image, prompt in zip(images, prompts, strict=True):
            found = call(by_name[measure.name], [image], [prompt])
            if isinstance(found, Failure) or found[0].missing:
                why = found.message if isinstance(found, Failure) else found[0].error
                raise InputError(f"measures must have a value for every image; {measure.name} has none: {why}")
            scores.append(found[0].value)
        if min(scores) == max(scores):
            raise InputError(
                f"measures must differ among images; {measure.name} is {scores[0]:g} for all of {len(scores)} prior "
                "draws. Name another."
            )
        columns.append(scores)
    return np.array(columns).T
