"""The contract of a search strategy: ask for candidates, tell their scores."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from zo_dno.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from zo_dno.types import Candidates

Regularizer = Callable[["Tensor"], "Tensor"]
"""(n, d) -> (n,): gamma * R(z) <= 0, differentiable."""


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """All that a strategy knows of the search it is built for; its options come beside it.

    Attributes:
        d: entries of one candidate's noise.
        horizon: planned number of queries, for schedules.
        seed: of the run.
        sizes: entries of every draw in z, in order; by default z is one draw.
        init: (d,), noise to start from; by default a draw from the prior.
        start: (d,), candidate 0 of a search of the whole prior; by default a draw of its own.
        lag: how many earlier populations may be untold, in whole or in part, when the next is asked for.
        noisy: the same noise may get another score when it is asked about again.
    Raises:
        InputError: a number is below 1, the lag below 0, the sizes do not sum to d, or init is not (d,) and finite.
    """

    d: int
    horizon: int
    seed: int
    sizes: tuple[int, ...] = ()
    init: "Tensor | None" = None
    start: "Tensor | None" = None
    lag: int = 0
    noisy: bool = False

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

    Laws that the tests hold every strategy to:
        - the same problem and options, told the same scores, asks for the same candidates, bit for bit;
        - id 0 is the noise that the search starts from;
        - a population may be told in parts, in any order of the parts, and NaN (missing) in any place;
        - `load_state_dict(state_dict())` on a fresh instance goes on as the old one would;
        - global random generators are neither read nor written.

    A strategy that need not know the scores of the last populations has an attribute `lag`, how many. It is then asked
    for population k after exactly the tells of those up to k - 1 - lag, so that what it proposes does not depend on
    how fast anything was.
    """

    def ask(self) -> "Candidates":
        """Propose the next population.

        Raises:
            AskTellError: more than `lag` populations are not told completely.
        """
        ...

    def tell(self, candidates: "Candidates", scores: "Tensor") -> None:
        """Learn from the scores of what was asked, or of a part of it.

        Args:
            candidates: rows of one `ask`.
            scores: (n,), higher is better, NaN is missing.
        Raises:
            AskTellError: the scores are not (n,), or a candidate was not asked or was told already.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """Return everything needed to go on: tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None: ...


@runtime_checkable
class UsesRegularizer(Protocol):
    """A strategy that takes the regulariser's gradient itself; it is then told the rewards without it."""

    def use_regularizer(self, regularizer: Regularizer) -> None: ...


class Model(Protocol):
    """The generator as white-box strategies see it: images before rounding, and gradients through it.

    Attributes:
        image_shape: (3, H, W).
    """

    @property
    def image_shape(self) -> tuple[int, int, int]: ...

    def render(self, z: "Tensor") -> "Tensor":
        """Draw z (n, d) as (n, 3, H, W) float in [0, 1], without a graph."""
        ...

    def vjp(self, z: "Tensor", cotangent: Callable[["Tensor"], "Tensor"]) -> "Tensor":
        """Return J(z)^T h, (n, d) on the CPU.

        Args:
            z: (n, d).
            cotangent: from the images (n, 3, H, W) of z to h, of the same shape.
        """
        ...

    def project(self, z: "Tensor") -> "Tensor":
        """Move noise z (n, d) that may not win, since it is not plausible, to the nearest that may."""
        ...

    def reward_gradient(self, images: "Tensor") -> "Tensor":
        """Return the reward's gradient at images (n, 3, H, W), of a reward that has one."""
        ...


@runtime_checkable
class WhiteBox(Protocol):
    """A strategy that takes gradients through the generator.

    Attributes:
        takes_reward_gradient: through the reward as well.
    """

    takes_reward_gradient: bool

    def use_model(self, model: Model) -> None:
        """Take the generator, before the first `ask`."""
        ...


@runtime_checkable
class PerturbsImages(Protocol):
    """A strategy that has noise added to the images that are asked about."""

    def image_noise(self) -> "Tensor | None":
        """Noise for the last `ask`, (n, 3, H, W) on the scale of [0, 1]; a row of zeros leaves the image as it is."""
        ...
