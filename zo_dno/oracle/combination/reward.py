"""The contract of combinations: rewards whose value is computed from the values of several terms."""

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
    """A reward computed from the values of several rewards. Each has an oracle and a call policy of its own in a run.

    Args:
        parts: Terms: name -> weight or details, or a list of rewards; see `zo_dno.oracle.combination.term.terms_of`.
        require: Thresholds that a winner must meet, such as "prompt_match >= 0.9". A name that is no term adds a
            reward for this threshold alone.
        scales: Mean and standard deviation of each term, by name; by default measured on `warm_up` prior draws, if they
            are needed.
        warm_up: Number of prior draws that scales are measured on before the search, beside its queries.
    Attributes:
        terms: All terms, those for thresholds alone included.
        standardise: Whether values are combined as standard deviations above their mean.
        weighted: Whether terms may have weights.
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
        """Combine the values of the terms with a weight, standardised or not.

        Raises:
            ValueError: The values cannot be combined; the message says why.
        """

    @property
    def noisy(self) -> bool:  # type: ignore[override]
        """Whether a term with a weight is noisy."""
        return any(term.reward.noisy for term in self.optimised)

    @property
    def optimised(self) -> tuple[Term, ...]:
        """Terms with a weight, without those for thresholds alone."""
        return tuple(term for term in self.terms if term.weight)

    @property
    def objectives(self) -> tuple[str, ...]:
        """Names of the terms whose front is searched; empty where all terms are one score."""
        return ()

    @property
    def standardised(self) -> set[str]:
        """Names of the terms whose values are standardised."""
        return {term.name for term in self.optimised if self.standardise}

    @property
    def unscaled(self) -> tuple[str, ...]:
        """Names of the terms whose scale is needed and not known."""
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
        """Everything that decides a score: the terms' identities and weights, but not their call policies."""
        terms = {term.name: term.reward.identity | {"weight": term.weight} for term in self.terms}
        settings = {name: value for name, value in self.settings.items() if name not in ("parts", "reward")}
        return {"name": type(self).name, "version": self.version, "settings": settings, "parts": terms}

    def bound(self, make: Callable[[Term], Term]) -> "Combination":
        """Return a copy whose terms are constructed by `make`.

        Raises:
            InputError: A threshold cannot be met by any value of its term.
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
        """Combine an image's scores; if one is missing, so is the combined score.

        Args:
            scores: Scores by the name of the term, in the order of the calls, up to the first missing one.
            scales: Scales by the name of the term; a term without one keeps its value.
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

    def recall(self, identity: Mapping[str, Any]) -> None:
        recorded = identity.get("parts") or {}
        for term in self.terms:
            term.reward.recall(recorded.get(term.name) or {})

    def begin(self, folder: "Path | None") -> None:
        for term in self.terms:
            term.reward.begin(folder)

    def __call__(self, images: "Sequence[Image.Image]", prompts: Sequence[str]) -> list[Score]:
        """Score images outside of a run: one call per term, with the given scales."""
        if self.unscaled:
            raise InputError(f"scales must be given outside of a run; got none for {', '.join(self.unscaled)}.")
        columns = [_scores(term.reward, images, prompts) for term in self.terms]
        names = [term.name for term in self.terms]
        rows = zip(*columns, strict=True)
        return [self.score(dict(zip(names, row, strict=True)), self.known_scales) for row in rows]

    def _named(self) -> tuple[Term, ...]:
        return terms_of(self.parts)

    def _check(self) -> None:
        if not self.optimised:
            raise InputError('parts must hold a reward with a weight; got none. Such as {"jpeg_smaller": 1}.')
        for term in self.optimised:
            if not self.weighted and term.weight != 1:
                raise InputError(f"weight must be 1 in {self.name}; got {term.weight:g} for {term.name!r}.")
        if self.warm_up < 2:
            raise InputError(f"warm_up must be at least 2; got {self.warm_up}.")

    def _set(self, **values: Any) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


def _scores(reward: Reward, images: "Sequence[Image.Image]", prompts: Sequence[str]) -> list[Score]:
    import numpy as np

    from zo_dno.failures import Failure
    from zo_dno.oracle.call import call

    if reward.is_async:
        raise InputError(f"parts must be synchronous outside of a run; got {reward.name!r}, which is async.")
    scores = call(reward, [np.asarray(image) for image in images], prompts)
    if isinstance(scores, Failure):
        return [Score(math.nan, scores.message, kind=scores.kind)] * len(images)
    return scores
