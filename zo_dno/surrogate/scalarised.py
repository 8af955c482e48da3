"""The acquisition of a front: several predicted rewards in one direction, and what is required."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from zo_dno.errors import ZoDnoError
from zo_dno.surrogate.process import GaussianProcess

AUGMENTED = 0.05  # weight of the sum beside the lowest reward (Knowles 2006)
_SMOOTH = 0.05  # width of the smooth minimum, as a share of the front's extent


def scalarised(scaled: Tensor, weights: Tensor, smooth: float = 0.0) -> Tensor:
    """Return the augmented Tchebycheff scalarisation of rewards, higher is better, (n,).

    Args:
        scaled: Rewards, (n, m), with the best known value of each at 0 and the worst of the front at -1.
        weights: Weights of the rewards, which sum to 1: (m,), or (n, m) with those of every row.
        smooth: Width of a smooth minimum, which has a slope in every reward (Lin et al. 2024); 0 takes the minimum.
    """
    weighted = weights * scaled
    lowest = -smooth * torch.logsumexp(-weighted / smooth, 1) if smooth else weighted.min(1).values
    total: Tensor = lowest + AUGMENTED * weighted.sum(1)
    return total


class SplitError(ZoDnoError):
    """Images of several directions were not rendered together, so that it is not known which is whose."""


@dataclass(frozen=True, slots=True, eq=False)
class FrontScale:
    """The extent of the known front, on which rewards of different units are compared (Knowles 2006).

    Attributes:
        ideal: Best value of each reward on the front, (m,).
        span: Distance of the worst from it, (m,), above 0.
    """

    ideal: Tensor
    span: Tensor

    @classmethod
    def of(cls, front: Tensor, counted: Tensor) -> "FrontScale":
        """Measure the front (k, m); rewards that hardly vary on it take the spread of all that count (n, m)."""
        ideal, span = front.max(0).values, front.max(0).values - front.min(0).values
        spread = counted.std(0, correction=0)
        usual = torch.where(spread > 0, spread, torch.ones_like(spread))
        return cls(ideal, torch.where(span > 0.1 * usual, span, usual))

    def __call__(self, values: Tensor) -> Tensor:
        """Scale rewards (n, m)."""
        scaled: Tensor = (values - self.ideal) / self.span
        return scaled


@dataclass(frozen=True, slots=True, eq=False)
class FrontAcquisition:
    """Upper bounds of the rewards in one direction, lowered where requirements are unlikely to be met.

    The bounds of all rewards are made one (Paria et al. 2019). What is required, and that every reward is above the
    reference point, counts as in `zo_dno.surrogate.acquisition.Acquisition`.

    Args:
        processes: Process of each reward.
        scale: Extent of the known front.
        weights: Weights of the rewards, (n, m): a direction for each of the images that are climbed together.
        optimism: Standard deviations added to a mean.
        requirements: Processes of the margins by which thresholds are met.
        unit: Standard deviation of the known rewards in each direction, (n,).
        reference: Reference point, (m,); minus infinity where there is none.
    """

    processes: Sequence[GaussianProcess]
    scale: FrontScale
    weights: Tensor
    optimism: float
    requirements: Sequence[GaussianProcess]
    unit: Tensor
    reference: Tensor

    def __call__(self, features: Tensor) -> Tensor:
        """Return the worth of a query for features (n, k), (n,), differentiable.

        Raises:
            SplitError: There are several directions, and not as many images.
        """
        if len(self.weights) not in (1, len(features)):
            raise SplitError(f"{len(self.weights)} directions came with {len(features)} images")
        bounds, margins = [], [requirement(features) for requirement in self.requirements]
        for process, least in zip(self.processes, self.reference, strict=True):
            mean, deviation = process(features)
            bounds.append(mean + self.optimism * deviation)
            if least > -torch.inf:
                margins.append((mean - least, deviation))
        worth = scalarised(self.scale(torch.stack(bounds, 1)), self.weights, _SMOOTH)
        for mean, deviation in margins:
            worth = worth + self.unit * torch.special.log_ndtr(mean / deviation)
        return worth

    def of(self, row: int) -> "FrontAcquisition":
        """Return the acquisition of one direction alone."""
        return replace(self, weights=self.weights[row, None], unit=self.unit[row, None])
