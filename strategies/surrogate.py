"""A search that climbs a model of the reward through the pipeline, and asks about where it arrives."""

import logging
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from zo_dno.errors import InputError, ZoDnoError, unknown_name
from zo_dno.failures import one_line
from zo_dno.noise.space import rotate
from zo_dno.rng import stream, stream_seed
from zo_dno.strategies.fallback import Fallback
from zo_dno.strategies.normal_es import NormalES
from zo_dno.strategies.prior import INIT_STEP, first_draws
from zo_dno.strategies.with_model import WithModel
from zo_dno.strategy import Measured, Model, Problem
from zo_dno.surrogate.acquisition import Acquisition, OfImages
from zo_dno.surrogate.across import Earlier
from zo_dno.surrogate.climb import climb
from zo_dno.surrogate.evolve import evolve
from zo_dno.surrogate.features import PIXELS, Family, Features
from zo_dno.surrogate.fitted import Process, fitted, without_outliers
from zo_dno.surrogate.knowledge import Knowledge, Learned
from zo_dno.surrogate.known import Known
from zo_dno.surrogate.preference import SCALES, PreferenceProcess, evidence_of, log_odds_against_chance
from zo_dno.surrogate.selection import diverse
from zo_dno.surrogate.trust import LEAST, after, after_fallback, is_predictable
from zo_dno.types import Choice

log = logging.getLogger(__name__)
Inner = Literal["auto", "gradient", "images"]
LATEST = 512  # scores that the surrogate learns from
_LATEST_CHOSEN = 160  # images that it learns from by choices
_PARENTS = 4  # best candidates that climbs begin near
FIRST = 16  # prior draws at the start, at most
_INFORMED = 16  # scores of earlier prompts that are enough to start from
_EARLIER = 256  # of them that the surrogate learns from
GRADIENTS, IMAGES = 15, 32  # renders for each query


class Surrogate(WithModel):
    """Fit a Gaussian process to what the scored images look like, and search its upper bound through the pipeline.

    With the pipeline's gradient, every candidate of a population begins at one of the best, turned by fresh noise,
    little for some candidates and wholly for others, and takes steps of normalised ascent on the shell. Without it, an
    evolution strategy searches the predictions from the best on, and the most promising of its images that differ are
    queried. Rewards need no gradient. Generators in Ray actors take the gradients there.

    The steps become shorter after a round without a new best candidate, and longer after another. After several such
    rounds, or where predictions of the latest rewards from all the others do not go with them, the next candidates are
    those of the evolution strategy that `auto` chooses without a surrogate.

    Where a reward scores by choices among images, the process is one of the utility behind the choices
    (Plackett-Luce with slips), not of the scores. Every threshold that a winner must meet has a process of its own, and
    known errors of rewards count. Climbs begin near the best scores, or with a noisy reward near the best predictions.

    With the scored images of earlier prompts (`start_from`), the process is one of the likeliest correlation between
    the prompts, or without them where the scores of this prompt are likelier by themselves. At least 16 of them make
    the first population smaller, and beyond 128 scores of its own it needs none.

    Args:
        first: Number of prior draws before the first search of the model; 0 takes 16, or of fewer than 32 queries as
            many populations as are within a half.
        first_informed: Number of prior draws, at most `first`, with what was learned on earlier prompts.
        inner: Search of the model; "gradient" climbs, "images" evolves, "auto" climbs where the pipeline has gradients.
        renders: Images that the search of the model renders for each query, of which a gradient counts as one; 0 takes
            15 gradients, or 32 images, which take about as long.
        step: Length of the first step of a climb, as a share of the shell's radius; it shrinks to a fifth.
        optimism: Standard deviations added to a prediction.
        fresh: Least share of fresh noise in the noise that a climb begins with. Each candidate of a population has a
            larger one than that before, and the last begins with a prior draw.
        features: Families of features, each with a weight of its own in the kernel: "picture", "modes", "bands" and
            "colours" (docs/strategies.md), "package.module:name" of a function of images (n, 3, H, W) in [0, 1] that
            gives (n, m), or such functions.
        embedding: Folder or hub name, downloaded before, of a network of images, such as facebook/dinov2-small, whose
            vectors are a further family.
    Attributes:
        learned: Scored images of this run, for later prompts; None below 8 scores, or where choices were learned from.
        evidence: Natural logarithm of how much more likely the choices were by the predictions made before them than
            by chance; None without predicted choices.
    """

    STATE: ClassVar[tuple[str, ...]] = (
        *("_columns", "_choices", "_climbs", "_evidence", "_sizes"),
        *("_trusted_share", "_round", "_followed", "_falling_back"),
    )
    needs_gradient: ClassVar[bool] = False
    takes_reward_gradient: ClassVar[bool] = False
    KNOWN: ClassVar[type[Known]] = Known

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 8,
        first: int = 0,
        first_informed: int = 4,
        inner: Inner = "auto",
        renders: int = 0,
        step: float = 0.15,
        optimism: float = 0.15,
        fresh: float = 0.1,
        features: Sequence[str | Family] = PIXELS,
        embedding: str | None = None,
    ) -> None:
        super().__init__(problem, population=population)
        half = max(2, self.horizon // 2)
        first = first or min(FIRST, half - half % population or half)
        limits = (("first", first, 2), ("first_informed", first_informed, 2), ("renders", renders, 0))
        for name, value, least in limits:
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
        self.first_informed = min(first_informed, first)
        self.step, self.optimism, self.fresh = step, optimism, fresh
        self._describe = Features(features, embedding)
        self._seed, self._noisy = problem.seed, problem.noisy
        self._climbs = True
        self._evidence: list[list[float]] = []
        self._known: Known | None = None
        self._knowledge: Knowledge | None = None
        self._earlier: Earlier | None = None
        self._choices: list[list[list[int]]] = []  # lists of ids of each
        self._new_choices: list[Choice] = []
        self._measured: Measured | None = None
        self._last: Process | None = None
        self._trusted_share = 1.0  # of the usual steps
        self._round, self._followed = 0, True  # first id of the last round, but for first draws, and what it followed
        self._fallback, self._said = Fallback(problem, population), False

    @property
    def evidence(self) -> float | None:
        return evidence_of(self._evidence) if self._evidence else None

    @property
    def n_prior(self) -> int:
        return 0 if self.has_init else self._first

    @property
    def _first(self) -> int:
        return self.first if self._earlier is None else self.first_informed

    @property
    def learned(self) -> Learned | None:
        if self._known is None or self._choices:
            return None
        return Learned.of(self._known.features, self._known.rewards, self._describe.names, self._sizes)

    def start_from(self, knowledge: Knowledge) -> None:
        """Take what was learned on earlier prompts; fewer than 16 scores are not used."""
        if self._describe.own:
            self._describe(torch.rand(1, 3, 16, 16, generator=stream(0, "features")))
            knowledge.check_features(self._describe.names, self._sizes)
        self._knowledge = knowledge
        known = knowledge.thinned(_EARLIER)
        if len(known) >= _INFORMED:
            rewards = known.rewards.clone()
            for number in known.prompt_of.unique():
                rows = known.prompt_of == number
                rewards[rows] = without_outliers(rewards[rows])
            self._earlier = Earlier(known.features, rewards, known.prompt_of)

    @property
    def _columns(self) -> list[Tensor]:
        return [] if self._known is None else [*self._known.tensors.values()]

    @_columns.setter
    def _columns(self, columns: list[Tensor]) -> None:
        self._known = self.KNOWN(*columns) if columns else None

    @property
    def _falling_back(self) -> dict[str, Any]:
        return self._fallback.state_dict()

    @_falling_back.setter
    def _falling_back(self, state: dict[str, Any]) -> None:
        self._fallback.load_state_dict(state)

    @property
    def _sizes(self) -> tuple[int, ...]:
        return self._describe.sizes

    @_sizes.setter
    def _sizes(self, sizes: tuple[int, ...]) -> None:
        self._describe.sizes = tuple(sizes)

    def use_model(self, model: Model) -> None:
        if self.inner == "gradient" and not model.has_gradient:
            raise InputError("inner must be 'images' or 'auto' with a generator that has no gradient; got 'gradient'.")
        super().use_model(model)
        if not self._describe.own:
            self._check_features(torch.rand(2, *model.image_shape, generator=stream(0, "features")))

    def _check_features(self, images: Tensor) -> None:
        """Check features before a query is spent, and search without gradients where they have none."""
        self._describe.check(images)
        if self._knowledge is not None:
            self._describe(images)
            self._knowledge.check_features(self._describe.names, self._sizes)
        flat = self._describe.without_gradient(images) if self.inner != "images" and self.model.has_gradient else []
        if flat and self.inner == "gradient":
            raise InputError(
                f"inner must be 'images' or 'auto' with features without a gradient; {flat[0]!r} has none."
            )
        if flat:
            self._climbs = False
            log.warning("the search goes by images alone: features %r have no gradient", flat[0])

    def _sample(self) -> Tensor:
        if self._first_id == 0:
            return first_draws(self, self._first)
        if self._known is None or len(self._known) < 2:
            return rotate(self.start, self.randn(self.population), INIT_STEP if self.has_init else 1.0)
        acquisition = self._fitted(self._known)
        self._last = acquisition.process
        self._judge_last_round(better=self._is_better(self._known, acquisition))
        self._round, self._followed = self._first_id, self._is_trusted(self._known, acquisition.process)
        if self._followed:
            return self.model.project(self._searched(self._known, acquisition))
        proposed = self._unpredicted(self._known, acquisition)
        if not self._said:
            self._said = True
            log.info("predictions do not lead to better images now: %s proposes instead, at times", self._fallback)
        return self.model.project(proposed)

    def _is_better(self, known: Known, acquisition: Acquisition) -> bool:
        """Return whether the last round has the best candidate."""
        return int(known.ids[self._best(known, acquisition, 1)[0]]) >= self._round

    def _unpredicted(self, known: Known, acquisition: Acquisition) -> Tensor:
        """Propose a population that follows no predictions."""
        return self._fallback.ask(known.z[self._best(known, acquisition, 1)[0]], self._first_id)

    def _judge_last_round(self, *, better: bool) -> None:
        """Let the length of steps follow whether the last round had a new best candidate."""
        if not self._round:  # only first draws so far
            return
        if self._followed:
            self._trusted_share = after(self._trusted_share, better=better)
            if better:
                self._fallback.leave()
        else:
            self._trusted_share = after_fallback(self._trusted_share)

    def tell_choices(self, choices: Sequence[Choice]) -> None:
        """Take the choices behind the scores that are told next."""
        self._new_choices = list(choices)

    def tell_measured(self, measured: Measured) -> None:
        """Take what was measured of the images whose scores are told next."""
        self._measured = measured

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._last = None

    def _fitted(self, known: Known) -> Acquisition:
        return fitted(known, self._choices, self._earlier, self._sizes, self.optimism)

    def _is_trusted(self, known: Known, process: Process) -> bool:
        """Return whether the next round follows the predictions."""
        if self._trusted_share < LEAST:
            return False
        return isinstance(process, PreferenceProcess) or is_predictable(process.left_out(), known.rewards)

    def _searched(self, known: Known, acquisition: Acquisition) -> Tensor:
        """Search the model by its gradient, or without where there is none or it fails."""
        if self.inner == "gradient":
            return self._climbed(known, acquisition)
        if self.inner == "auto" and self._climbs and self.model.has_gradient:
            try:
                return self._climbed(known, acquisition)
            except (ZoDnoError, RuntimeError) as error:  # memory that runs out, numbers that overflow, no graph
                self._climbs = False
                log.warning("the search continues without gradients: %s", one_line(str(error)))
        return self._evolved(known, acquisition)

    def _climbed(self, known: Known, acquisition: Acquisition) -> Tensor:
        """Climb to every candidate from near one of the best."""
        best = self._best(known, acquisition, _PARENTS)
        parents = known.z[best[torch.arange(self.population) % len(best)]]
        fresh = self.fresh ** torch.linspace(1, 0, self.population)[:, None]
        z = self.retract(rotate(parents, self.randn(self.population), fresh))
        worth = OfImages(self._describe, acquisition)
        step = self._trusted_share * self.step
        return climb(z, self.model, worth, self.sizes, self.renders or GRADIENTS, step)

    def _evolved(self, known: Known, acquisition: Acquisition) -> Tensor:
        """Evolve noise from the best on by predictions, and choose from all that was rendered."""
        renders = max(2, self.renders or IMAGES) * self.population
        best = known.z[self._best(known, acquisition, 1)[0]]
        seed = stream_seed(self._seed, "inner", self._first_id)
        inner = NormalES(Problem(self.d, renders, seed, self.sizes, init=best), population=16)

        def predicted(z: Tensor) -> tuple[Tensor, Tensor]:
            features = self._seen(z)
            return features, acquisition(features)

        z, features = evolve(inner, predicted, renders)
        fit = features.isfinite().all(1) & (z != best).any(1)  # the best itself is scored already
        z, features = z[fit], features[fit]
        if len(z) < self.population:
            return self.retract(rotate(best, self.randn(self.population), INIT_STEP))
        return z[diverse(acquisition.process, features, self.population, self.optimism, acquisition.hope)]

    def _seen(self, z: Tensor) -> Tensor:
        """Return the features of the images of z as rewards see them, rounded; NaN where there is no image."""
        return self._describe(self._images(z))

    def _best(self, known: Known, acquisition: Acquisition, n: int) -> Tensor:
        """Return the rows of the n best, the best first: by utility behind choices, prediction if noisy, or score."""
        process, values = acquisition.process, known.scores.double()
        if isinstance(process, PreferenceProcess):
            values = process.mode + acquisition.hope(known.features)
        elif self._noisy:
            values = process(known.features)[0] + acquisition.hope(known.features)
        return values.argsort(descending=True, stable=True)[:n]

    def _update(self, z: Tensor, scores: Tensor) -> None:
        self._fallback.tell(scores)
        features, measured, self._measured = self._seen(z), self._measured, None
        if measured is None or len(measured.rewards) != len(scores):
            measured = Measured(scores, torch.zeros(len(scores)), torch.empty(len(scores), 0))
        told = self.KNOWN.of(z, features, scores, measured, self._first_id)
        new = told.rows(~scores.isnan() & features.isfinite().all(1))
        if self._new_choices and self._choices and self._known is not None:
            self._weigh(self._known, new)
        self._last = None
        self._choices += [one.lists for one in self._new_choices]
        self._new_choices = []
        known = new if self._known is None else self._known.joined(new)
        self._known = known.rows(self._kept(known))

    def _kept(self, known: Known) -> Tensor:
        """Return which images to learn from on: the latest, and the best."""
        kept = torch.zeros(len(known), dtype=torch.bool)
        kept[-(_LATEST_CHOSEN if self._choices else LATEST) :] = True
        kept[known.scores.argsort(descending=True, stable=True)[:_PARENTS]] = True
        return kept

    def _weigh(self, known: Known, new: Known) -> None:
        """Compare new choices with what was predicted of them."""
        process = self._last or self._fitted(known).process  # the one that searched, if this session asked
        assert isinstance(process, PreferenceProcess)
        utilities = torch.cat([process.mode, process(new.features)[0]])
        rows = {id_: row for row, id_ in enumerate([*known.ids.tolist(), *new.ids.tolist()])}
        choices = [one.renumbered(rows) for one in self._new_choices]
        self._evidence.append([log_odds_against_chance(scale * utilities, choices) for scale in SCALES])
