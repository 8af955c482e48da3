"""The four objects of the foreground."""

from collections.abc import Callable

import numpy as np

from zo_dno.scenes.canvas import Canvas
from zo_dno.scenes.palette import WHITE, Colour, Palette, mix

_WATER: Colour = (58, 130, 190)
_BEACH: Colour = (226, 196, 140)
_LAMP: Colour = (255, 222, 110)
_DARK: Colour = (52, 40, 44)

Drawer = Callable[[Canvas, Palette, np.random.Generator, float, float, float], None]


def draw_object(canvas: Canvas, palette: Palette, name: str, place: str, rng: np.random.Generator) -> None:
    """Draw the object on the ground, or a boat on water."""
    x, y = float(rng.uniform(15, 49)), float(rng.uniform(55, 60))
    size = float(rng.uniform(0.9, 1.15))
    if name == "sailboat":
        if place == "sea":
            y -= float(rng.uniform(0, 8))
        else:
            _draw_lake(canvas, palette, x, y, rng)
    elif place == "sea":
        shore = palette.lit(_BEACH)
        canvas.ellipse(x, 64, float(rng.uniform(26, 34)), 67 - y, shore)
    _DRAWERS[name](canvas, palette, rng, x, y, size)


def _draw_lake(canvas: Canvas, palette: Palette, x: float, y: float, rng: np.random.Generator) -> None:
    across = float(rng.uniform(22, 30))
    canvas.ellipse(x, y + 1, across + 1.2, 7.4, palette.lit((150, 140, 110)))
    canvas.ellipse(x, y + 1.4, across, 6.6, palette.lit(_WATER, 0.12, snow=0.1))
    for _ in range(4):
        wave = palette.lit(mix(_WATER, WHITE, 0.4), 0.1, snow=0.1)
        canvas.ellipse(x + float(rng.uniform(-16, 16)), y + float(rng.uniform(-1, 5)), 2.4, 0.45, wave)


def draw_house(canvas: Canvas, palette: Palette, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """A cottage with a gable roof, a door and a window."""
    half, wall, roof = 8.5 * size, 8.5 * size, 7.5 * size
    walls: tuple[Colour, ...] = ((246, 236, 214), (240, 206, 150), (214, 226, 236))
    roofs: tuple[Colour, ...] = ((196, 62, 48), (150, 60, 60), (204, 92, 44))
    canvas.box(
        x + half * 0.35, y - wall - roof, x + half * 0.62, y - wall - roof * 0.2, palette.object_lit((130, 86, 76))
    )
    canvas.box(x - half, y - wall, x + half, y, palette.object_lit(walls[int(rng.integers(3))]))
    shingle = palette.object_lit(roofs[int(rng.integers(3))], snow=0.55)
    canvas.polygon([(x - half - 2, y - wall), (x, y - wall - roof), (x + half + 2, y - wall)], shingle)
    door = x - half * 0.62 if rng.random() < 0.5 else x + half * 0.18
    canvas.box(door, y - wall * 0.68, door + half * 0.44, y, palette.object_lit((110, 66, 46)))
    window = x + half * 0.2 if door < x else x - half * 0.7
    pane = _LAMP if palette.lamps > 0 else palette.object_lit((92, 150, 196))
    canvas.box(window, y - wall * 0.75, window + half * 0.5, y - wall * 0.3, pane)


def draw_sailboat(canvas: Canvas, palette: Palette, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """Two sails over a dark hull."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    tall, half = 19 * size, 8.5 * size
    deck = y - 1.0
    sails: tuple[Colour, ...] = ((252, 250, 244), (250, 236, 206), (250, 214, 96))
    sail = palette.object_lit(sails[int(rng.integers(3))])
    second = palette.object_lit((228, 76, 60) if rng.random() < 0.5 else (236, 236, 240))
    foot = deck - 1.4
    canvas.polygon([(x + side * 0.8, deck - tall), (x + side * 0.8, foot), (x + side * half * 0.95, foot)], sail)
    canvas.polygon(
        [(x - side * 0.6, deck - tall * 0.85), (x - side * 0.6, foot), (x - side * half * 0.75, foot)], second
    )
    canvas.box(x - 0.5, deck - tall, x + 0.5, deck, palette.object_lit(_DARK))
    hull = palette.object_lit((122, 58, 42) if rng.random() < 0.5 else (56, 62, 100))
    canvas.polygon(
        [(x - half, deck), (x + half, deck), (x + half * 0.7, deck + 3.4), (x - half * 0.7, deck + 3.4)], hull
    )


def draw_tower(canvas: Canvas, palette: Palette, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """A tapered tower in broad red and white bands with a lantern under a pointed roof."""
    tall, low, high = 21 * size, 4.6 * size, 3.2 * size
    bands = 4
    light, red = palette.object_lit((248, 244, 236)), palette.object_lit((212, 54, 50))
    for band in range(bands):
        bottom, top = y - tall * band / bands, y - tall * (band + 1) / bands
        below, above = (low + (high - low) * step / bands for step in (band, band + 1))
        corners = [(x - below, bottom), (x - above, top), (x + above, top), (x + below, bottom)]
        canvas.polygon(corners, (red, light)[band % 2])
    canvas.box(x - high - 1, y - tall - 0.8, x + high + 1, y - tall + 0.6, palette.object_lit(_DARK))
    lamp = _LAMP if palette.lamps > 0 else palette.object_lit((200, 226, 240))
    if palette.lamps > 0:
        canvas.glow(x, y - tall - 2.5, 9, _LAMP, 0.6)
    canvas.box(x - high * 0.7, y - tall - 4.2, x + high * 0.7, y - tall - 0.8, lamp)
    roof = palette.object_lit((70, 62, 84), snow=0.5)
    canvas.polygon([(x - high, y - tall - 4.2), (x, y - tall - 8), (x + high, y - tall - 4.2)], roof)


def draw_tent(canvas: Canvas, palette: Palette, rng: np.random.Generator, x: float, y: float, size: float) -> None:
    """A ridge tent seen from its open end."""
    tall, half = 14 * size, 10.5 * size
    cloths: tuple[Colour, ...] = ((244, 146, 36), (250, 190, 40), (238, 110, 60))
    cloth = cloths[int(rng.integers(3))]
    lean = 5.0 * (1.0 if rng.random() < 0.5 else -1.0)
    side = palette.object_lit(mix(cloth, (120, 40, 20), 0.45), snow=0.3)
    canvas.polygon(
        [(x, y - tall), (x + lean, y - tall + 1.5), (x + lean + np.sign(lean) * half, y - 1.5), (x, y)], side
    )
    canvas.polygon([(x - half, y), (x, y - tall), (x + half, y)], palette.object_lit(cloth, snow=0.1))
    inside = _LAMP if palette.lamps > 0 and rng.random() < 0.5 else palette.object_lit((70, 44, 44))
    canvas.polygon([(x - half * 0.36, y), (x, y - tall * 0.72), (x + half * 0.36, y)], inside)
    canvas.line([(x - 0.9, y - tall - 1.6), (x, y - tall), (x + 0.9, y - tall - 1.6)], palette.object_lit(_DARK), 0.6)


_DRAWERS: dict[str, Drawer] = {
    "house": draw_house,
    "sailboat": draw_sailboat,
    "tower": draw_tower,
    "tent": draw_tent,
}
