"""The base class of white-box strategies, which climb along gradients through the pipeline."""

from abc import abstractmethod
from typing import ClassVar, Literal

from torch import Tensor

from zo_dno.errors import InputError, unknown_name
from zo_dno.strategies.cotangents import normalised
from zo_dno.strategies.slopes import slope_of
from zo_dno.strategies.step_rules import adam, zero_moments
from zo_dno.strategies.with_model import WithModel
from zo_dno.strategy import Problem, Regularizer

Scale = Literal["reward", "unit"]


class GradientAscent(WithModel):
    """Adam on one noise, with gamma times the regulariser's gradient added; there is no weight decay.

    Args:
        lr: Learning rate of Adam; one step changes an entry of z by about this much.
        momentum: beta_1 of Adam.
        retraction: Whether to put the noise back on the Gaussian shell after every step, and to project it to plausible
            noise. The paper does neither.
        scale: Scale of the reward's gradient at the image; "reward" leaves it in reward units per unit of the image, so
            that gamma means what it means in reward + gamma R; "unit" divides it by its norm, as the paper's code does.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_z", "_moments", "_count")
    needs_gradient: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        population: int,
        lr: float,
        momentum: float = 0.9,
        retraction: bool = True,
        scale: Scale = "reward",
    ) -> None:
        super().__init__(problem, population=population)
        if not lr > 0:
            raise InputError(f"lr must be above 0; got {lr}.")
        if not 0 <= momentum < 1:
            raise InputError(f"momentum must be in [0, 1); got {momentum}.")
        if scale not in ("reward", "unit"):
            raise unknown_name("scale", scale, ("reward", "unit"))
        self.lr, self.momentum, self.retraction, self.scale = lr, momentum, retraction, scale
        self._regularizer: Regularizer | None = None
        self._z, self._moments, self._count = self.start, zero_moments(self.d), 0

    @property
    def n_prior(self) -> int:
        return 0

    def use_regularizer(self, regularizer: Regularizer) -> None:
        self._regularizer = regularizer

    @abstractmethod
    def _slope(self, z: Tensor, scores: Tensor, x: Tensor) -> Tensor:
        """Return the reward's gradient at the current image.

        Args:
            z: Noise of the last population, (n, d).
            scores: Scores of the last population, (n,).
            x: Image of the current noise, (1, 3, H, W).
        Returns:
            Gradient of the reward at the image, (1, 3, H, W); NaN if no score tells it.
        """

    def _update(self, z: Tensor, scores: Tensor) -> None:
        gradient = self.model.vjp(self._z[None], lambda x: self._scaled(self._slope(z, scores, x)))[0]
        if bool(gradient.isnan().any()):  # no score that it needs is known
            return
        if self._regularizer is not None:
            gradient = gradient + slope_of(self._regularizer, self._z)
        self._count += 1
        self._z = self._z + adam(gradient, self._moments, self._count, self.lr, self.momentum)
        if self.retraction:
            self._z = self.model.project(self.retract(self._z)[None])[0]

    def _scaled(self, slope: Tensor) -> Tensor:
        return slope if self.scale == "reward" else normalised(slope.flatten(1)).view_as(slope)
