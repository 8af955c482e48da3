"""The contract of search strategies: propose candidates, learn from their scores."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from zo_dno.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from zo_dno.types import Candidates, Choice

Regularizer = Callable[["Tensor"], "Tensor"]
"""Function (n, d) -> (n,): gamma R(z) <= 0, differentiable."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """Everything that a strategy knows about its search; its options are passed separately.

    Args:
        d: Number of entries of one candidate's noise.
        horizon: Planned number of queries, for schedules.
        seed: Seed of the run.
        sizes: Number of entries of every Gaussian draw in z, in order; by default z is one draw.
        init: Noise to start from, (d,); by default a draw from the prior.
        start: Candidate 0 of a search of the whole prior, (d,); by default a draw of its own.
        lag: Number of earlier populations that may be untold when the next one is asked for.
        noisy: Whether the same noise may get another score when it is scored again.
        surrogate: Whether a strategy that chooses another one is to choose a surrogate.
        rewards: Number of rewards whose front is searched; 1 where there is a single one, or a combination.
        diverse: Number of members of the diverse set that is searched; 0 where there is none.
        measures: Number of measures of which the best candidate of every cell is searched; 0 where there are none.
    Raises:
        InputError: A number is below 1, the lag below 0, the sizes do not sum to d, or init is not (d,) and finite.
    """

    d: int
    horizon: int
    seed: int
    sizes: tuple[int, ...] = ()
    init: "Tensor | None" = None
    start: "Tensor | None" = None
    lag: int = 0
    noisy: bool = False
    surrogate: bool = False
    rewards: int = 1
    diverse: int = 0
    measures: int = 0

    def __post_init__(self) -> None:
        for name, value in (("d", self.d), ("horizon", self.horizon)):
            if value < 1:
                raise InputError(f"{name} must be at least 1; got {value}.")
        if self.lag < 0:
            raise InputError(f"lag must be at least 0; got {self.lag}.")
        if self.sizes and sum(self.sizes) != self.d:
            raise InputError(f"sizes must sum to d = {self.d}; got {self.sizes}. They come from another noise space.")
        if self.init is None:
            return
        if self.init.shape != (self.d,):
            raise InputError(
                f"init must be noise of {self.d} entries; got {tuple(self.init.shape)}. It was made for another model, "
                "size, number of steps or search space."
            )
        if not bool(self.init.isfinite().all()):
            raise InputError("init must be finite; got NaN or infinity. Pass noise on the N(0, I) scale.")


@runtime_checkable
class Strategy(Protocol):
    """Proposes noise and learns from scores; never sees a model, an image or a prompt. Built from a Problem.

    Laws that the tests check for every strategy:
        - the same problem and options, told the same scores, propose the same candidates, bit for bit;
        - id 0 is the noise that the search starts from;
        - a population may be told in several pieces, in any order, with NaN (missing) in any place;
        - a fresh instance after `load_state_dict(state_dict())` continues like the old one;
        - global random generators are neither read nor written.

    The protocols below name further abilities. Their attributes are plain attributes or properties of the class: from
    Python 3.12 on, `isinstance` does not see what `__getattr__` forwards.
    """

    def ask(self) -> "Candidates":
        """Propose the next population.

        Raises:
            AskTellError: More than `lag` populations are not told completely.
        """
        ...

    def tell(self, candidates: "Candidates", scores: "Tensor") -> None:
        """Learn from the scores of proposed candidates.

        Args:
            candidates: Rows of one `ask`, all or some of them.
            scores: Scores, (n,); higher is better, NaN is missing.
        Raises:
            AskTellError: The scores are not (n,), or a candidate was not proposed or was told already.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return the complete state: tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class Asynchronous(Protocol):
    """A strategy that need not know the scores of the last populations before it proposes the next one.

    Population k is asked for after exactly the tells of the populations up to k - 1 - lag, so that the proposals do not
    depend on the speed of anything.

    Attributes:
        lag: Number of populations that may be untold.
    """

    lag: int


@runtime_checkable
class HasStepSize(Protocol):
    """A strategy with a search step."""

    @property
    def step_size(self) -> float | None:
        """Search step sigma, on z's scale; None where there is none."""
        ...


@runtime_checkable
class HasPriorDraws(Protocol):
    """A strategy whose first candidates are draws from the prior, independent of the scores."""

    @property
    def n_prior(self) -> int:
        """Number of these candidates."""
        ...


@runtime_checkable
class Explains(Protocol):
    """A strategy that chose its method by the problem."""

    @property
    def reason(self) -> str | None:
        """What was chosen, and why."""
        ...


@runtime_checkable
class UsesRegularizer(Protocol):
    """A strategy that takes the regularizer's gradient itself; it is told rewards without gamma R(z)."""

    def use_regularizer(self, regularizer: Regularizer) -> None: ...


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured of the images of a population.

    Args:
        rewards: Rewards without any penalty, (n,) float64; NaN is missing.
        errors: Standard errors of the rewards, (n,) float64; 0 where they are not known.
        margins: Margins by which every threshold is met, in its own unit, (n, k) float64; negative where it is missed,
            NaN where its value is missing.
        values: Values of the rewards whose front is searched, (n, m) float64, each in its own unit; NaN where one is
            missing. None where there is no front.
        violations: Violations of all constraints, (n,) float64; 0 where a candidate can win. None where there is no
            front.
        reference: Reference point of the hypervolume, (m,) float64; candidates below it in a reward add nothing. None
            where there is no front.
        members: Ids of the members of the diverse set after this population, the best first. None where there is no
            such set.
        measures: Values of the measures of elites, (n, k) float64; NaN where one is missing, or the candidate may not
            win. None without measures.
    """

    rewards: "Tensor"
    errors: "Tensor"
    margins: "Tensor"
    values: "Tensor | None" = None
    violations: "Tensor | None" = None
    reference: "Tensor | None" = None
    members: tuple[int, ...] | None = None
    measures: "Tensor | None" = None


@runtime_checkable
class LearnsFromMeasured(Protocol):
    """A strategy that learns from rewards, their errors and margins of thresholds beside the scores made of them."""

    def tell_measured(self, measured: Measured) -> None:
        """Take what was measured of a population before its scores are told."""
        ...


@runtime_checkable
class SearchesFronts(Protocol):
    """A strategy that searches the front of several rewards, which it is told as what was measured.

    Attributes:
        searches_fronts: Whether it does.
    """

    searches_fronts: bool

    def tell_measured(self, measured: Measured) -> None:
        """Take what was measured of a population before its scores are told."""
        ...


class Model(Protocol):
    """A generator as white-box strategies see it: images, before rounding where it can, latents, and gradients.

    Attributes:
        image_shape: Shape of an image, (3, H, W).
    """

    @property
    def image_shape(self) -> tuple[int, int, int]: ...

    @property
    def has_gradient(self) -> bool:
        """Whether `vjp` works."""
        ...

    def render(self, z: "Tensor") -> "Tensor":
        """Render z (n, d) as (n, 3, H, W) float in [0, 1], without a graph."""
        ...

    def vjp(self, z: "Tensor", cotangent: Callable[["Tensor"], "Tensor"]) -> "Tensor":
        """Return J(z)^T h, (n, d) on the CPU.

        Args:
            z: Noise, (n, d).
            cotangent: Function from the images (n, 3, H, W) of z to h, of the same shape. It is called with a block of
                images at a time. With generators in other processes it is pickled and sent there.
        """
        ...

    @property
    def has_latents(self) -> bool:
        """Whether `latents` works."""
        ...

    def latents(self, z: "Tensor") -> "Tensor":
        """Return the final latents of z (n, d), before decoding: (n, *shape) float32 on the CPU, without a graph."""
        ...

    def project(self, z: "Tensor") -> "Tensor":
        """Move implausible noise in z (n, d) to plausible noise near it."""
        ...

    def reward_gradient(self, images: "Tensor") -> "Tensor":
        """Return the gradient of a differentiable reward at images (n, 3, H, W)."""
        ...


@runtime_checkable
class WhiteBox(Protocol):
    """A strategy that renders and takes gradients through the generator itself.

    Attributes:
        needs_gradient: Whether it works only with a generator that has gradients.
        takes_reward_gradient: Whether it takes gradients through the reward as well.
    """

    needs_gradient: bool
    takes_reward_gradient: bool

    def use_model(self, model: Model) -> None:
        """Take the generator, before the first `ask`."""
        ...


@runtime_checkable
class NeedsLatents(Protocol):
    """A white-box strategy that works only with a generator that gives its latents.

    Attributes:
        needs_latents: Whether it does.
    """

    needs_latents: bool


@runtime_checkable
class PerturbsImages(Protocol):
    """A strategy that has noise added to the images before they are scored."""

    def image_noise(self) -> "Tensor | None":
        """Return noise for the last `ask`, (n, 3, H, W) on the scale of [0, 1]; a row of zeros changes nothing."""
        ...


@runtime_checkable
class LearnsFromChoices(Protocol):
    """A strategy that learns from choices among candidates as well, where a reward scores by them.

    Attributes:
        evidence: Natural logarithm of how much more likely the choices were by predictions made before them than by
            chance; None where it predicted none.
    """

    @property
    def evidence(self) -> float | None: ...

    def tell_choices(self, choices: "Sequence[Choice]") -> None:
        """Take the choices behind the scores of a population, by ids of candidates, before these are told."""
        ...
