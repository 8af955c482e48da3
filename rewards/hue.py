"""The closeness of an image's colours to one hue."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from zo_dno.errors import InputError
from zo_dno.reward import Reward

_TURN = 360.0


@dataclass(frozen=True)
class Hue(Reward):
    """Closeness of the colours to a hue, in [0, 1]: 1 is that hue, 0.5 is 90 degrees off, 0 its opposite.

    A pixel's hue is its angle around the grey axis, which is within 1.2 degrees of HSV's. Pixels weigh as much as they
    are away from that axis. An image without any colour scores 0.

    Args:
        hue: Hue in degrees, 0 to 360: red 0, yellow 60, green 120, cyan 180, blue 240, magenta 300.
    Raises:
        InputError: `hue` is out of range.
    """

    name = "hue"
    unit = "of that hue"
    range = (0.0, 1.0)
    hue: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.hue <= _TURN:
            raise InputError(f"hue must be 0 to {_TURN:g} degrees; got {self.hue}.")

    def __call__(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        return [self._closeness(np.asarray(image.convert("RGB"), np.float64)) for image in images]

    def _closeness(self, colours: np.ndarray) -> float:
        red, green, blue = np.moveaxis(colours, 2, 0)
        along, across = red - (green + blue) / 2, np.sqrt(3) / 2 * (green - blue)
        weights = np.hypot(along, across)
        if not weights.any():
            return 0.0
        away = (np.degrees(np.arctan2(across, along)) - self.hue) % _TURN
        return float(np.average(1 - np.minimum(away, _TURN - away) / (_TURN / 2), weights=weights))
