"""A drawing surface that is enlarged and shrunk at the end, so that edges are smooth."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from zo_dno.scenes.palette import Colour

SIZE = 64
_ENLARGED = 4

Point = tuple[float, float]


class Canvas:
    """Fills shapes. Coordinates are pixels of the final 64 x 64 picture, from the top left."""

    def __init__(self, sky: Sequence[Colour]):
        self._image = _gradient(sky)
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self._draw.polygon([(x * _ENLARGED, y * _ENLARGED) for x, y in points], fill=_rgb(colour))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        if right > left and bottom > top:
            corners = (left * _ENLARGED, top * _ENLARGED, right * _ENLARGED - 1, bottom * _ENLARGED - 1)
            self._draw.rectangle(corners, fill=_rgb(colour))

    def ellipse(self, x: float, y: float, across: float, down: float, colour: Colour) -> None:
        """Fill the ellipse of half axes `across` and `down`."""
        corners = (x - across, y - down, x + across, y + down)
        self._draw.ellipse([corner * _ENLARGED for corner in corners], fill=_rgb(colour))

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        scaled = [(x * _ENLARGED, y * _ENLARGED) for x, y in points]
        self._draw.line(scaled, fill=_rgb(colour), width=max(1, round(width * _ENLARGED)))

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Add a soft halo."""
        side = int(2 * radius * _ENLARGED)
        mask = _HALO.resize((side, side), Image.Resampling.BILINEAR).point(lambda value: int(value * strength))
        corner = (int((x - radius) * _ENLARGED), int((y - radius) * _ENLARGED))
        self._image.paste(_rgb(colour), (*corner, corner[0] + side, corner[1] + side), mask)

    def finish(self) -> Image.Image:
        """Shrink to the final picture."""
        return self._image.reduce(_ENLARGED)


def _gradient(stops: Sequence[Colour]) -> Image.Image:
    """Return the sky from top to about the horizon, with its last colour below."""
    heights = np.linspace(0.0, 1.0, SIZE)
    at = np.linspace(0.0, 0.62, len(stops))
    column = np.stack([np.interp(heights, at, [stop[channel] for stop in stops]) for channel in range(3)], axis=-1)
    strip = Image.fromarray(np.clip(column, 0, 255).astype(np.uint8)[:, None, :])
    return strip.resize((SIZE * _ENLARGED, SIZE * _ENLARGED), Image.Resampling.BILINEAR)


def _halo() -> Image.Image:
    axis = np.linspace(-1.0, 1.0, 96)
    distance = np.hypot(axis[:, None], axis[None, :])
    return Image.fromarray((255 * np.clip(1.0 - distance, 0.0, 1.0) ** 1.6).astype(np.uint8))


def _rgb(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, round(channel))) for channel in colour)
    return (red, green, blue)


_HALO = _halo()
