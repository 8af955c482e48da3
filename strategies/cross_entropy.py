"""The cross-entropy method: a Gaussian that is fitted to the best candidates of every population."""

from typing import ClassVar

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.strategies.prior import first_gaussian
from zo_dno.strategy import Problem


class CrossEntropy(PopulationStrategy):
    """Move mean and widths towards those of the elites (Rubinstein 1999; de Boer et al. 2005), on the shell.

    In a low-frequency band this is the spectral evolution search of the literature. The mean is not put on the shell:
    as it grows against the widths, candidates turn by ever smaller angles.

    Args:
        elite: Share of the population that the Gaussian is fitted to.
        mean_rate: Step of the mean towards the elites'; above 1 it goes beyond, which helps in high dimensions.
        sigma_rate: Step of the widths towards the elites'; small, since few elites underestimate them.
        last_sigma: Least width.
    """

    STATE: ClassVar[tuple[str, ...]] = ("_mu", "_sigma", "_noise")
    OF_POPULATION: ClassVar[tuple[str, ...]] = ("_noise",)
    TAKES_LAG: ClassVar[bool] = True

    def __init__(
        self,
        problem: Problem,
        *,
        population: int = 16,
        elite: float = 0.25,
        mean_rate: float = 2.5,
        sigma_rate: float = 0.05,
        last_sigma: float = 0.05,
    ) -> None:
        super().__init__(problem, population=population)
        if not 0 < elite <= 1:
            raise InputError(f"elite must be in (0, 1]; got {elite}. It is a share of the population.")
        if not (mean_rate > 0 and 0 <= sigma_rate <= 1 and last_sigma > 0):
            raise InputError(
                "mean_rate and last_sigma must be above 0, sigma_rate in [0, 1]; got "
                f"{mean_rate}, {last_sigma} and {sigma_rate}."
            )
        self._elite, self._eta_mu, self._eta_sigma, self._floor = elite, mean_rate, sigma_rate, last_sigma
        self._mu, sigma = first_gaussian(self.start, self.has_init)
        self._sigma = torch.full((self.d,), sigma)
        self._noise = torch.empty(0, self.d)

    @property
    def step_size(self) -> float:
        return float(self._sigma.mean())

    def _sample(self) -> Tensor:
        self._noise = self.randn(self.population).mul_(self._sigma)
        z = self.retract(self._mu + self._noise)
        if self._first_id == 0:
            self._noise[0] = self.start - self._mu
            z[0] = self.start
        return z

    def _update(self, z: Tensor, scores: Tensor) -> None:
        reached = scores[~scores.isnan()]
        if len(reached) > 1 and bool((reached == reached[0]).all()):
            return
        threshold = reached.sort(descending=True).values[max(1, round(self._elite * len(reached))) - 1]
        elite = (scores >= threshold).float()  # with all that tie with the last of them
        count = int(elite.sum())
        step = elite @ self._noise / count  # before the shell, which would draw the mean back to 0
        self._mu = self._mu + self._eta_mu * step
        if count > 1:
            squares = torch.zeros(self.d)
            for row in elite.nonzero()[:, 0].tolist():  # row by row: a copy of the elites would be half a population
                squares.add_((self._noise[row] - step).square_())
            width = squares.div_(count - 1).sqrt_()
            self._sigma = torch.lerp(self._sigma, width, self._eta_sigma).clamp_min_(self._floor)
