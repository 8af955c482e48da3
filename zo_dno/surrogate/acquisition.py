"""The acquisition: how much it is worth to query an image, by predictions of its reward and of what is required."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zo_dno.surrogate.features import Features
from zo_dno.surrogate.preference import PreferenceProcess
from zo_dno.surrogate.process import GaussianProcess


@dataclass(frozen=True, slots=True, eq=False)
class Acquisition:
    """An upper bound of the reward, lowered by the logarithm of the probability that all requirements are met.

    A requirement is met with the probability Phi(mean / deviation) of its margin (Gardner et al. 2014, eq. 5). Its
    logarithm counts in standard deviations of the scored rewards, so that images without hope still have a slope.

    Args:
        process: Process of the reward, or of the utility behind choices.
        optimism: Standard deviations added to a mean.
        requirements: Processes of the margins by which thresholds are met.
    """

    process: GaussianProcess | PreferenceProcess
    optimism: float
    requirements: Sequence[GaussianProcess] = ()

    def __call__(self, features: Tensor) -> Tensor:
        """Return the worth of a query for features (n, m), (n,), differentiable."""
        mean, deviation = self.process(features)
        return mean + self.optimism * deviation + self.hope(features)

    def hope(self, features: Tensor) -> Tensor:
        """Return the part of the requirements for features (n, m), at most 0, (n,)."""
        logarithms = torch.zeros(len(features), dtype=torch.float64)
        for requirement in self.requirements:
            mean, deviation = requirement(features)
            logarithms = logarithms + torch.special.log_ndtr(mean / deviation)
        return self.process.unit * logarithms


@dataclass(frozen=True, slots=True, eq=False)
class OfImages:
    """An acquisition as a function of images. It refers to nothing of the search, so that actors can be sent it.

    Args:
        features: Features of images.
        acquisition: Worth of a query by features.
    """

    features: Features
    acquisition: Callable[[Tensor], Tensor]

    def __call__(self, images: Tensor) -> Tensor:
        """Return the worth of a query for images (n, 3, H, W) in [0, 1], (n,), with gradients."""
        return self.acquisition(self.features(images))
