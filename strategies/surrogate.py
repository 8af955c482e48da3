"""A search that climbs a model of the reward through the pipeline, and asks about where it arrives."""

import logging
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from zo_dno.errors import InputError, ZoDnoError, unknown_name
from zo_dno.failures import one_line
from zo_dno.noise.space import rotate
from zo_dno.rng import stream_seed
from zo_dno.strategies.normal_es import NormalES
from zo_dno.strategies.prior import INIT_STEP, first_draws
from zo_dno.strategies.with_model import WithModel
from zo_dno.strategy import Model, Problem
from zo_dno.surrogate.acquisition import UpperBound
from zo_dno.surrogate.climb import climb
from zo_dno.surrogate.evolve import evolve
from zo_dno.surrogate.pixels import pixel_features
from zo_dno.surrogate.preference import SCALES, PreferenceProcess, evidence_of, log_odds_against_chance
from zo_dno.surrogate.process import GaussianProcess
from zo_dno.surrogate.selection import diverse
from zo_dno.types import Choice

log = logging.getLogger(__name__)
Inner = Literal["auto", "gradient", "images"]
Process = GaussianProcess | PreferenceProcess
_LATEST = 512  # scores that the surrogate learns from
_LATEST_CHOSEN = 160  # images that it learns from by choices
_PARENTS = 4  # best candidates that climbs begin near
_GRADIENTS, _IMAGES = 15, 32  # renders for each query


class Surrogate(WithModel):
    """Fit a Gaussian process to what the scored images look like, and search its upper bound through the pipeline.

    With the pipeline's gradient, every candidate of a population begins near one of the best, turned by fresh noise,
    and takes steps of normalised ascent on the shell. Without it, an evolution strategy searches the predictions from
    the best on, and the most promising of its images that differ are queried. Rewards need no gradient. Generators in
    Ray actors take the gradients there.

    Where a reward scores by choices among images, the process is one of the utility behind the choices
    (Plackett-Luce with slips), not of the scores.

    Args:
        first: Number of prior draws before the first search of the model.
        inner: Search of the model; "gradient" climbs, "images" evolves, "auto" climbs where the pipeline has gradients.
        renders: Images that the search of the model renders for each query, of which a gradient counts as one; 0 takes
            15 gradients, or 32 images, which take about as long.
        step: Length of the first step of a climb, as a share of the shell's radius; it shrinks to a fifth.
        optimism: Standard deviations added to a prediction.
        fresh: Share of fresh noise in the noise that a climb begins with.
    Attributes:
        evidence: Natural logarithm of how much more likely the choices were by the predictions made before them than
            by chance; None without predicted choices.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_z", "_features", "_rewards", "_ids", "_choices", "_climbs", "_evidence")
    needs_gradient: ClassVar[bool] = False
    takes_reward_gradient: ClassVar[bool] = False

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 8,
        first: int = 16,
        inner: Inner = "auto",
        renders: int = 0,
        step: float = 0.15,
        optimism: float = 0.15,
        fresh: float = 0.3,
    ) -> None:
        super().__init__(problem, population=population)
        for name, value, least in (("first", first, 2), ("renders", renders, 0)):
            if value < least:
                raise InputError(f"{name} must be at least {least}; got {value}.")
        if inner not in ("auto", "gradient", "images"):
            raise unknown_name("inner", inner, ("auto", "gradient", "images"))
        if not (0 < step < 1 and optimism >= 0 and 0 < fresh <= 1):
            raise InputError(
                "step must be above 0 and below 1, optimism at least 0, and fresh above 0 and at most 1; got "
                f"{step}, {optimism} and {fresh}."
            )
        self.first, self.inner, self.renders = first, inner, renders
        self.step, self.optimism, self.fresh = step, optimism, fresh
        self._seed = problem.seed
        self._climbs = True
        self._evidence: list[list[float]] = []
        self._z, self._features, self._rewards = torch.empty(0, self.d), torch.empty(0, 0), torch.empty(0)
        self._ids = torch.empty(0, dtype=torch.long)
        self._choices: list[list[list[int]]] = []  # ids in order, and the others that were shown
        self._new_choices: list[Choice] = []
        self._last: Process | None = None

    @property
    def evidence(self) -> float | None:
        return evidence_of(self._evidence) if self._evidence else None

    @property
    def n_prior(self) -> int:
        return 0 if self.has_init else self.first

    def use_model(self, model: Model) -> None:
        if self.inner == "gradient" and not model.has_gradient:
            raise InputError("inner must be 'images' or 'auto' with a generator that has no gradient; got 'gradient'.")
        super().use_model(model)

    def _sample(self) -> Tensor:
        if self._first_id == 0:
            return first_draws(self, self.first)
        if len(self._rewards) < 2:
            return rotate(self.start, self.randn(self.population), INIT_STEP if self.has_init else 1.0)
        self._last = self._process()
        return self.model.project(self._searched(self._last))

    def tell_choices(self, choices: Sequence[Choice]) -> None:
        """Take the choices behind the scores that are told next."""
        self._new_choices = list(choices)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._last = None

    def _process(self) -> Process:
        """Fit the model to all that is known: to choices where there are any, else to scores."""
        if not self._choices:
            return GaussianProcess(self._features, _without_outliers(self._rewards))
        rows = {id_: row for row, id_ in enumerate(self._ids.tolist())}
        choices = [Choice(tuple(ordered), tuple(rest)).renumbered(rows) for ordered, rest in self._choices]
        return PreferenceProcess(self._features, choices)

    def _searched(self, process: Process) -> Tensor:
        """Search the model by its gradient, or without where there is none or it fails."""
        if self.inner == "gradient":
            return self._climbed(process)
        if self.inner == "auto" and self._climbs and self.model.has_gradient:
            try:
                return self._climbed(process)
            except (ZoDnoError, RuntimeError) as error:  # memory that runs out, numbers that overflow, no graph
                self._climbs = False
                log.warning("the search continues without gradients: %s", one_line(str(error)))
        return self._evolved(process)

    def _climbed(self, process: Process) -> Tensor:
        """Climb to every candidate from near one of the best."""
        best = self._best(process, _PARENTS)
        parents = self._z[best[torch.arange(self.population) % len(best)]]
        z = self.retract(rotate(parents, self.randn(self.population), self.fresh))
        return climb(
            z, self.model, UpperBound(process, self.optimism), self.sizes, self.renders or _GRADIENTS, self.step
        )

    def _evolved(self, process: Process) -> Tensor:
        """Evolve noise from the best on by predictions, and choose from all that was rendered."""
        renders = max(2, self.renders or _IMAGES) * self.population
        best = self._z[self._best(process, 1)[0]]
        seed = stream_seed(self._seed, "inner", self._first_id)
        inner = NormalES(Problem(self.d, renders, seed, self.sizes, init=best), population=16)
        bound = UpperBound(process, self.optimism)

        def predicted(z: Tensor) -> tuple[Tensor, Tensor]:
            features = self._seen(z)
            return features, bound.of_features(features)

        z, features = evolve(inner, predicted, renders)
        fit = features.isfinite().all(1) & (z != best).any(1)  # the best itself is scored already
        z, features = z[fit], features[fit]
        if len(z) < self.population:
            return self.retract(rotate(best, self.randn(self.population), self.fresh))
        return z[diverse(process, features, self.population, self.optimism)]

    def _seen(self, z: Tensor) -> Tensor:
        """Return the features of the images of z as rewards see them, rounded; NaN where there is no image."""
        return pixel_features((self.model.render(z).cpu().clamp(0, 1) * 255).round() / 255)

    def _best(self, process: Process, n: int) -> Tensor:
        """Return the rows of the n best scores, or utilities behind choices, the best first."""
        values = process.mode if isinstance(process, PreferenceProcess) else self._rewards
        return values.argsort(descending=True, stable=True)[:n]

    def _update(self, z: Tensor, scores: Tensor) -> None:
        features = self._seen(z)
        there = ~scores.isnan() & features.isfinite().all(1)
        z, features, scores = z[there], features[there], scores[there]
        ids = torch.arange(self._first_id, self._first_id + len(there))[there]
        if self._new_choices and self._choices:
            self._weigh(ids, features)
        self._last = None
        self._choices += [[list(one.ordered), list(one.rest)] for one in self._new_choices]
        self._new_choices = []
        self._z, self._rewards = torch.cat([self._z, z]), torch.cat([self._rewards, scores])
        self._features = torch.cat([self._features.reshape(-1, features.shape[1]), features])
        self._ids = torch.cat([self._ids, ids])
        kept = torch.zeros(len(self._rewards), dtype=torch.bool)
        kept[-(_LATEST_CHOSEN if self._choices else _LATEST) :] = True
        kept[self._rewards.argsort(descending=True, stable=True)[:_PARENTS]] = True
        self._z, self._features, self._rewards = self._z[kept], self._features[kept], self._rewards[kept]
        self._ids = self._ids[kept]

    def _weigh(self, ids: Tensor, features: Tensor) -> None:
        """Compare new choices with what was predicted of them."""
        process = self._last or self._process()  # the one that searched, if this session asked
        assert isinstance(process, PreferenceProcess)
        utilities = torch.cat([process.mode, process(features)[0]])
        rows = {id_: row for row, id_ in enumerate([*self._ids.tolist(), *ids.tolist()])}
        choices = [one.renumbered(rows) for one in self._new_choices]
        self._evidence.append([log_odds_against_chance(scale * utilities, choices) for scale in SCALES])


def _without_outliers(rewards: Tensor) -> Tensor:
    """Raise rewards (n,) far below the others, such as those of broken images or missed thresholds, to a fence.

    The fence is three interquartile ranges below the first quartile (Tukey 1977): the process is told that they are
    bad, and does not bend for how bad.
    """
    low, high = rewards.quantile(torch.tensor([0.25, 0.75]))
    return rewards.clamp_min(float(low - 3 * (high - low))) if float(high) > float(low) else rewards
