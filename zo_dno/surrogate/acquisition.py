"""What it is worth to query an image, by the predictions of a process."""

from dataclasses import dataclass

from torch import Tensor

from zo_dno.surrogate.pixels import pixel_features
from zo_dno.surrogate.selection import Predicts


@dataclass(frozen=True, slots=True)
class UpperBound:
    """The upper bound of a prediction, its mean plus some standard deviations (GP-UCB, Srinivas et al. 2010).

    It refers to nothing but the process, so that it can be sent to other processes.

    Args:
        process: Process that predicts from features of pixels.
        optimism: Number of standard deviations.
    """

    process: Predicts
    optimism: float

    def __call__(self, images: Tensor) -> Tensor:
        """Return how much it is worth to query images (n, 3, H, W) in [0, 1], (n,), with gradients."""
        return self.of_features(pixel_features(images))

    def of_features(self, features: Tensor) -> Tensor:
        """Return how much it is worth to query images with these features (n, m), (n,), with gradients."""
        mean, deviation = self.process(features)
        return mean + self.optimism * deviation
