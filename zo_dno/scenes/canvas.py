"""A drawing surface that is enlarged and shrunk at the end, so that edges are smooth."""

from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from zo_dno.scenes.palette import Colour

SIZE = 64
"""Width and height of the coordinates, and of a picture in pixels unless it is larger."""
_REDUCED = 4  # in the end

Point = tuple[float, float]


class Canvas:
    """Fills shapes. Coordinates go from (0, 0), the top left, to (SIZE, SIZE).

    Args:
        sky: Colours of the sky, from the top down.
        side: Width and height of the picture in pixels, a multiple of SIZE.
    """

    def __init__(self, sky: Sequence[Colour], side: int = SIZE):
        self._enlarged = side // SIZE * _REDUCED
        self._image = _gradient(sky, SIZE * self._enlarged)
        self._draw = ImageDraw.Draw(self._image)

    def polygon(self, points: Sequence[Point], colour: Colour) -> None:
        self._draw.polygon([(x * self._enlarged, y * self._enlarged) for x, y in points], fill=_rgb(colour))

    def box(self, left: float, top: float, right: float, bottom: float, colour: Colour) -> None:
        if right > left and bottom > top:
            corners = (
                left * self._enlarged,
                top * self._enlarged,
                right * self._enlarged - 1,
                bottom * self._enlarged - 1,
            )
            self._draw.rectangle(corners, fill=_rgb(colour))

    def ellipse(self, x: float, y: float, across: float, down: float, colour: Colour) -> None:
        """Fill the ellipse of half axes `across` and `down`."""
        corners = (x - across, y - down, x + across, y + down)
        self._draw.ellipse([corner * self._enlarged for corner in corners], fill=_rgb(colour))

    def line(self, points: Sequence[Point], colour: Colour, width: float) -> None:
        scaled = [(x * self._enlarged, y * self._enlarged) for x, y in points]
        self._draw.line(scaled, fill=_rgb(colour), width=max(1, round(width * self._enlarged)))

    def glow(self, x: float, y: float, radius: float, colour: Colour, strength: float) -> None:
        """Add a soft halo."""
        side = int(2 * radius * self._enlarged)
        mask = _HALO.resize((side, side), Image.Resampling.BILINEAR).point(lambda value: int(value * strength))
        corner = (int((x - radius) * self._enlarged), int((y - radius) * self._enlarged))
        self._image.paste(_rgb(colour), (*corner, corner[0] + side, corner[1] + side), mask)

    def finish(self) -> Image.Image:
        """Shrink to the final picture."""
        return self._image.reduce(_REDUCED)


def _gradient(stops: Sequence[Colour], side: int) -> Image.Image:
    """Return the sky from top to about the horizon, with its last colour below, `side` pixels wide and high."""
    heights = np.linspace(0.0, 1.0, SIZE)
    at = np.linspace(0.0, 0.62, len(stops))
    column = np.stack([np.interp(heights, at, [stop[channel] for stop in stops]) for channel in range(3)], axis=-1)
    strip = Image.fromarray(np.clip(column, 0, 255).astype(np.uint8)[:, None, :])
    return strip.resize((side, side), Image.Resampling.BILINEAR)


def _halo() -> Image.Image:
    axis = np.linspace(-1.0, 1.0, 96)
    distance = np.hypot(axis[:, None], axis[None, :])
    return Image.fromarray((255 * np.clip(1.0 - distance, 0.0, 1.0) ** 1.6).astype(np.uint8))


def _rgb(colour: Colour) -> tuple[int, int, int]:
    red, green, blue = (min(255, max(0, round(channel))) for channel in colour)
    return (red, green, blue)


_HALO = _halo()
