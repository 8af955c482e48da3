"""Direct Noise Optimization, with gradients through the pipeline and the reward."""

from typing import ClassVar

from torch import Tensor

from zo_dno.strategies.gradient_ascent import GradientAscent, Scale
from zo_dno.strategy import Problem


class DNO(GradientAscent):
    """Climb along the gradient of the reward itself (Tang et al. 2024, arXiv:2405.18881), as a reference.

    The reward must be differentiable. Every step has one image scored, for the budget and for the best so far.

    Args:
        lr, momentum, retraction, scale: Options of `GradientAscent`.
    """

    takes_reward_gradient: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 1,
        lr: float = 0.1,
        momentum: float = 0.9,
        retraction: bool = True,
        scale: Scale = "reward",
    ) -> None:
        super().__init__(problem, population=population, lr=lr, momentum=momentum, retraction=retraction, scale=scale)

    def _sample(self) -> Tensor:
        return self._z.expand(self.population, -1).clone()

    def _slope(self, z: Tensor, scores: Tensor, x: Tensor) -> Tensor:
        return self.model.reward_gradient(x)
