"""The worth of images that have to differ from members of a set."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from zo_dno.surrogate.scalarised import SplitError
from zo_dno.types.diversity import Distance

_PENALTY = 20.0  # standard deviations of the reward for a distance of 0: 5 % too near cost one
_MARGIN = 1.05  # of the least distance, which rounding must not undercut


@dataclass(frozen=True, slots=True, eq=False)
class ApartFrom:
    """The worth of images, lowered where they are nearer to members of a set than allowed.

    It refers to nothing of the search, so that actors can be sent it.

    Args:
        worth: Worth of images by themselves, (n,).
        distance: Distance of images.
        members: Descriptions of the members, (k, m).
        others: Whether an image has to differ from a member, (n, k) bool: a row for each image, or one for all.
        least: Least distance.
        unit: Standard deviation of the known rewards.
    """

    worth: Callable[[Tensor], Tensor]
    distance: Distance
    members: Tensor
    others: Tensor
    least: float
    unit: float

    def __call__(self, images: Tensor) -> Tensor:
        """Return the worth of images (n, 3, H, W) in [0, 1], (n,), differentiable.

        Raises:
            SplitError: There are several rows, and not as many images.
        """
        if len(self.others) not in (1, len(images)):
            raise SplitError(f"{len(self.others)} images to climb came as {len(images)}")
        apart = self.distance.between(self.distance.describe(images), self.members)
        short = (_MARGIN - apart / self.least).clamp_min(0) * self.others
        return self.worth(images) - _PENALTY * self.unit * short.sum(1)

    def of(self, row: int) -> "ApartFrom":
        """Return the worth of one image alone."""
        return replace(self, others=self.others[row, None])
