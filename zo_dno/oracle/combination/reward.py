"""The contract of a reward that is made of others: which are asked, and how their values become one."""

import copy
import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from zo_dno.errors import InputError
from zo_dno.oracle.combination.scales import Scale, given_scales
from zo_dno.oracle.combination.term import Term, structured, terms_of
from zo_dno.oracle.combination.threshold import Threshold
from zo_dno.reward import Reward
from zo_dno.types import Score

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image


@dataclass(frozen=True)
class Combination(Reward):
    """A score made of several rewards' values. A run asks each of them on its own terms, through an oracle of its own.

    Args:
        parts: name -> weight or details, or a list of rewards; see `zo_dno.oracle.combination.term.parts_of`.
        require: thresholds that a winner must meet, such as "prompt_match >= 0.9". A name that is none of the parts is
            a reward that is asked for this alone.
        scales: part -> [mean, standard deviation]; by default those of `warm_up` prior draws, where they are needed.
        warm_up: draws to measure scales on before the search, beside its queries.
    Attributes:
        terms: Every reward that is scored, those for thresholds alone included.
        standardise: parts are combined as standard deviations above their mean.
        weighted: parts may have weights.
    Raises:
        InputError: parts, thresholds, scales or warm_up do not fit.
    """

    unit = "score"
    standardise = False
    weighted = False

    parts: Any
    _: KW_ONLY
    require: Sequence[str] | str = ()
    scales: Mapping[str, Any] | str = field(default_factory=dict)
    warm_up: int = 16
    terms: tuple[Term, ...] = field(init=False, repr=False)
    thresholds: tuple[Threshold, ...] = field(init=False, repr=False)
    known_scales: dict[str, Scale] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        require = structured("require", self.require)
        thresholds = tuple(map(Threshold.parse, [require] if isinstance(require, str) else require))
        terms = self._named()
        others = dict.fromkeys(one.term for one in thresholds if one.term not in {term.name for term in terms})
        terms += tuple(Term(name, name, weight=0.0) for name in others)
        scales = given_scales(structured("scales", self.scales), [term.name for term in terms])
        self._set(terms=terms, thresholds=thresholds, known_scales=scales)
        self._check()
        if self.standardise:
            self._set(unit="sd")

    @abstractmethod
    def combine(self, values: Mapping[str, float]) -> float:
        """Make one value of those of the parts that count, standardised or not.

        Raises:
            ValueError: these values have none; the message says why.
        """

    @property
    def noisy(self) -> bool:  # type: ignore[override]
        """One of the parts that count is."""
        return any(term.reward.noisy for term in self.optimised)

    @property
    def optimised(self) -> tuple[Term, ...]:
        """The parts that count, rather than being asked for a threshold alone."""
        return tuple(term for term in self.terms if term.weight)

    @property
    def standardised(self) -> set[str]:
        """Names of the parts whose values are standardised."""
        return {term.name for term in self.optimised if self.standardise}

    @property
    def unscaled(self) -> tuple[str, ...]:
        """Names of the parts whose scale is needed and not known."""
        needed = {threshold.term for threshold in self.thresholds} | self.standardised
        return tuple(term.name for term in self.terms if term.name in needed - self.known_scales.keys())

    @property
    def settings(self) -> dict[str, Any]:
        given = {option.name: getattr(self, option.name) for option in fields(self) if option.init}
        return given | {
            "parts": {term.name: term.under_its_name for term in self.terms},
            "require": [str(threshold) for threshold in self.thresholds],
            "scales": {name: [scale.mean, scale.deviation] for name, scale in self.known_scales.items()},
        }

    @property
    def identity(self) -> dict[str, Any]:
        """What decides a score: the parts' own identities, and not the terms on which they are asked."""
        parts = {term.name: term.reward.identity | {"weight": term.weight} for term in self.terms}
        settings = {name: value for name, value in self.settings.items() if name not in ("parts", "reward")}
        return {"name": type(self).name, "version": self.version, "settings": settings, "parts": parts}

    def bound(self, make: Callable[[Term], Term]) -> "Combination":
        """Return the same with its parts made.

        Raises:
            InputError: a threshold can never be met.
        """
        made = copy.copy(self)
        made._set(terms=tuple(map(make, self.terms)))
        ranges = {term.name: term.reward.range for term in made.terms}
        for threshold in self.thresholds:
            low, high = ranges[threshold.term]
            if not threshold.can_be_met(low, high):
                raise InputError(f"require must be within {low:g} to {high:g} of {threshold.term}; got {threshold}.")
        return made

    def score(self, scores: Mapping[str, Score], scales: Mapping[str, Scale]) -> Score:
        """Make an image's score of those of its parts, up to the first that is missing: then it is missing too.

        Args:
            scores: by the name of the part, in the order in which they were asked.
            scales: of the parts that have one; others stay as they are.
        """
        names = [term.name for term in self.terms if term.name in scores]
        values = {name: scores[name].value for name in names if not scores[name].missing}
        for name, score in scores.items():
            if score.missing:
                return Score(math.nan, f"{name}: {score.error}", kind=f"{name}: {score.kind}", components=values)
        scale = {name: scales.get(name, Scale()) for name in values}
        counted = {term.name: values[term.name] for term in self.optimised}
        if self.standardise:
            counted = {name: scale[name](value) for name, value in counted.items()}
        try:
            value = self.combine(counted)
        except ValueError as error:
            return Score(math.nan, str(error), kind="no combination", components=values)
        if not math.isfinite(value):
            return Score(math.nan, f"the combination came to {value}", kind="not finite", components=values)
        short = [one.reward_violation(values[one.term]) / scale[one.term].deviation for one in self.thresholds]
        return Score(
            value,
            components=values,
            reward_violation=sum(short) + sum(score.reward_violation for score in scores.values()),
        )

    def begin(self, folder: "Path | None") -> None:
        for term in self.terms:
            term.reward.begin(folder)

    def __call__(self, images: "Sequence[Image.Image]", prompts: Sequence[str]) -> list[Score]:
        """Ask every part once, here and now, with the scales that were given; a run asks otherwise."""
        if self.unscaled:
            raise InputError(f"scales must be given outside of a run; got none for {', '.join(self.unscaled)}.")
        columns = [_asked(term.reward, images, prompts) for term in self.terms]
        names = [term.name for term in self.terms]
        rows = zip(*columns, strict=True)
        return [self.score(dict(zip(names, row, strict=True)), self.known_scales) for row in rows]

    def _named(self) -> tuple[Term, ...]:
        return terms_of(self.parts)

    def _check(self) -> None:
        if not self.optimised:
            raise InputError('parts must hold a reward that counts; got none. Such as {"jpeg_smaller": 1}.')
        for term in self.optimised:
            if not self.weighted and term.weight != 1:
                raise InputError(f"weight must be 1 in {self.name}; got {term.weight:g} for {term.name!r}.")
        if self.warm_up < 2:
            raise InputError(f"warm_up must be at least 2; got {self.warm_up}.")

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _asked(reward: Reward, images: "Sequence[Image.Image]", prompts: Sequence[str]) -> list[Score]:
    import numpy as np

    from zo_dno.failures import Failure
    from zo_dno.oracle.call import call

    if reward.is_async:
        raise InputError(f"parts must answer at once outside of a run; {reward.name!r} has to be waited for.")
    outcome = call(reward, [np.asarray(image) for image in images], prompts)
    if isinstance(outcome, Failure):
        return [Score(math.nan, outcome.message, kind=outcome.kind)] * len(images)
    return outcome
