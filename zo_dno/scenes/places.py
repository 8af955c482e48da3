"""The six places, between sky and foreground."""

from collections.abc import Callable

import numpy as np

from zo_dno.scenes.canvas import SIZE, Canvas, Point
from zo_dno.scenes.palette import WHITE, Colour, Palette, mix

_ROCK: Colour = (124, 122, 138)
_GRASS: Colour = (104, 160, 76)
_WATER: Colour = (44, 116, 178)
_SAND: Colour = (232, 188, 120)
_PINE: Colour = (44, 106, 66)
_STREET: Colour = (118, 122, 128)
_LAMP: Colour = (255, 216, 110)

Place = Callable[[Canvas, Palette, np.random.Generator, float], None]


def draw_mountains(canvas: Canvas, palette: Palette, rng: np.random.Generator, sun: float) -> None:
    """Peaks with snow caps behind a meadow."""
    rock = mix(_ROCK, (110, 96, 84), float(rng.uniform(0, 1)))
    for depth, count, top, wide in ((0.5, 3, 20, 24), (0.12, 3, 24, 20)):
        start = float(rng.uniform(0, SIZE / count))
        for index in range(count):
            x = start + index * SIZE / count + float(rng.uniform(-4, 4))
            height = float(rng.uniform(-7, 7)) + top
            _draw_peak(canvas, palette, (x, height), wide, depth, rock, sun, rng)
    draw_slope(canvas, palette, _GRASS, float(rng.uniform(47, 51)), 2.0, 0.1, rng)
    draw_slope(canvas, palette, mix(_GRASS, (60, 110, 60), 0.3), 53, 1.5, 0.0, rng)


def draw_hills(canvas: Canvas, palette: Palette, rng: np.random.Generator, sun: float) -> None:
    """Rolling green hills with round trees."""
    green = mix(_GRASS, (158, 172, 70), float(rng.uniform(0, 1)))
    for index, base in enumerate((34, 40, 46, 53)):
        colour = mix(green, (44, 104, 58), 0.55 * ((index + 1) % 2))
        edge = draw_slope(
            canvas, palette, colour, base + float(rng.uniform(-2, 2)), 4.2 - index, 0.5 - 0.17 * index, rng
        )
        for _ in range(int(rng.integers(1, 5)) if index < 3 else 0):
            x, y = edge[int(rng.integers(len(edge)))]
            _draw_tree(canvas, palette, x, y + 1, 1.8 + 0.7 * index, 0.4 - 0.14 * index)


def draw_sea(canvas: Canvas, palette: Palette, rng: np.random.Generator, sun: float) -> None:
    """Water to the horizon, glittering under the sun or moon."""
    horizon = float(rng.uniform(31, 37))
    deep = mix(_WATER, (30, 140, 150), float(rng.uniform(0, 1)))
    bands = 12
    for band in range(bands):
        top = horizon + (SIZE - horizon) * band / bands
        colour = palette.lit(deep, 0.55 * (1 - band / bands) ** 1.5, snow=0.12)
        canvas.box(0, top, SIZE, SIZE, colour)
    for _ in range(int(rng.integers(10, 18))):
        y = float(rng.uniform(horizon + 3, SIZE))
        long = (y - horizon) * 0.2 + 1.5
        x = float(rng.uniform(0, SIZE))
        canvas.ellipse(x, y, long, 0.5, palette.lit(mix(deep, WHITE, 0.4), 0.1, snow=0.1))
    _draw_glitter(canvas, palette, horizon, sun, rng)


def draw_desert(canvas: Canvas, palette: Palette, rng: np.random.Generator, sun: float) -> None:
    """Dunes with a light and a shaded side, and cactuses."""
    sand = mix(_SAND, (226, 150, 92), float(rng.uniform(0, 1)))
    draw_slope(canvas, palette, sand, 36, 2.0, 0.45, rng)
    for base, depth in ((42, 0.2), (49, 0.05)):
        crest = float(rng.uniform(10, 54))
        top = base - float(rng.uniform(5, 10))
        bend = float(rng.uniform(2, 5))
        left, right = crest - float(rng.uniform(34, 50)), crest + float(rng.uniform(30, 50))
        lit = palette.lit(sand, depth, snow=0.7)
        shade = palette.lit(mix(sand, (120, 70, 50), 0.42), depth, snow=0.45)
        slope = [(left, base + 4), ((left + crest) / 2, (base + top) / 2 + bend), (crest, top)]
        back = [((right + crest) / 2, (base + top) / 2 + bend), (right, base + 4)]
        canvas.polygon([*slope, *back, (right, SIZE), (left, SIZE)], lit)
        canvas.polygon([(crest, top), *back, (crest + 4, base + 16), (crest - 3, base)], shade)
    draw_slope(canvas, palette, sand, 53, 1.5, 0.0, rng, snow=0.75)
    for _ in range(int(rng.integers(1, 4))):
        _draw_cactus(canvas, palette, float(rng.uniform(4, 60)), float(rng.uniform(44, 53)), rng)


def draw_forest(canvas: Canvas, palette: Palette, rng: np.random.Generator, sun: float) -> None:
    """Rows of pines around a clearing."""
    green = mix(_PINE, (70, 120, 50), float(rng.uniform(0, 1)))
    draw_slope(canvas, palette, mix(green, (90, 120, 110), 0.5), 34, 3.0, 0.5, rng)
    for base, height, depth, step in ((42, 13, 0.38, 5.0), (47, 18, 0.16, 6.5), (53, 24, 0.0, 9.0)):
        for x in np.arange(float(rng.uniform(-4, 2)), SIZE + 4, step):
            tall = height * float(rng.uniform(0.75, 1.2))
            _draw_pine(canvas, palette, float(x + rng.uniform(-1.5, 1.5)), base, tall, depth, mix(green, WHITE, 0.05))
    draw_slope(canvas, palette, mix(_GRASS, green, 0.4), 53, 1.2, 0.0, rng)


def draw_city(canvas: Canvas, palette: Palette, rng: np.random.Generator, sun: float) -> None:
    """A skyline with windows behind a street."""
    for low, high, depth in ((18, 32, 0.5), (24, 42, 0.08)):
        x = float(rng.uniform(-5, 0))
        while x < SIZE:
            wide = float(rng.uniform(7, 13))
            _draw_building(canvas, palette, x, x + wide, float(rng.uniform(low, high)), depth, rng)
            x += wide + float(rng.uniform(0, 2))
    canvas.box(0, 52, SIZE, SIZE, palette.lit(_STREET, 0.0))
    canvas.box(0, 51, SIZE, 53, palette.lit((164, 166, 170), 0.0))
    for x in np.arange(float(rng.uniform(-6, 2)), SIZE, 11.0):
        canvas.box(float(x), 60, float(x) + 6, 61.2, palette.lit((235, 225, 190), 0.0))


def draw_slope(
    canvas: Canvas,
    palette: Palette,
    colour: Colour,
    base: float,
    swing: float,
    depth: float,
    rng: np.random.Generator,
    snow: float = 1.0,
) -> list[Point]:
    """Fill the ground below a smooth wavy edge and return the edge."""
    x = np.linspace(0, SIZE, 17)
    first, second = rng.uniform(0, 2 * np.pi, 2)
    waves = np.sin(x * float(rng.uniform(0.06, 0.12)) + first) + 0.4 * np.sin(x * 0.23 + second)
    edge = [(float(across), float(base - swing * wave)) for across, wave in zip(x, waves, strict=True)]
    canvas.polygon([*edge, (SIZE, SIZE), (0, SIZE)], palette.lit(colour, depth, snow))
    return edge


def _draw_peak(
    canvas: Canvas,
    palette: Palette,
    top: Point,
    wide: float,
    depth: float,
    rock: Colour,
    sun: float,
    rng: np.random.Generator,
) -> None:
    x, y = top
    foot = 52.0
    side = 1.0 if sun < x else -1.0
    left, right = x - wide * float(rng.uniform(0.8, 1.2)), x + wide * float(rng.uniform(0.8, 1.2))
    canvas.polygon([(left, foot), (x, y), (right, foot)], palette.lit(rock, depth, snow=0.5))
    far = right if side > 0 else left
    dark = palette.lit(mix(rock, (40, 44, 70), 0.45), depth, snow=0.35)
    canvas.polygon([(x, y), (far, foot), (x - side * 3, foot), (x + side * 2, (y + foot) / 2)], dark)
    share = float(rng.uniform(0.25, 0.42))
    low = y + (foot - y) * share
    cap_left, cap_right = x + (left - x) * share, x + (right - x) * share
    teeth = [(cap_right, low), ((x + cap_right) / 2, low - 2), (x, low + 2), ((x + cap_left) / 2, low - 2)]
    canvas.polygon([(x, y), *teeth, (cap_left, low)], palette.lit(WHITE, depth))


def _draw_tree(canvas: Canvas, palette: Palette, x: float, y: float, size: float, depth: float) -> None:
    canvas.box(x - 0.35, y - size, x + 0.35, y, palette.lit((96, 70, 50), depth, snow=0.2))
    canvas.ellipse(x, y - size * 1.5, size, size * 1.1, palette.lit((58, 112, 54), depth, snow=0.3))


def _draw_glitter(canvas: Canvas, palette: Palette, horizon: float, sun: float, rng: np.random.Generator) -> None:
    shine = mix(palette.disc, palette.lit(_WATER), 0.3)
    for y in np.arange(horizon + 1, SIZE, 3.0):
        spread = 1.5 + (y - horizon) * 0.14
        x = sun + float(rng.normal(0, 0.5 + (y - horizon) * 0.04))
        canvas.ellipse(x, float(y), spread * float(rng.uniform(0.7, 1.6)), 0.65, shine)


def _draw_cactus(canvas: Canvas, palette: Palette, x: float, y: float, rng: np.random.Generator) -> None:
    tall = float(rng.uniform(6, 10))
    green = palette.lit((62, 128, 70), 0.0, snow=0.4)
    canvas.line([(x, y), (x, y - tall)], green, 1.7)
    arm = y - tall * 0.5
    canvas.line([(x - 2.4, arm - 2.5), (x - 2.4, arm), (x, arm)], green, 1.1)
    canvas.line([(x + 2.4, arm - 4), (x + 2.4, arm - 1.2), (x, arm - 1.2)], green, 1.1)


def _draw_pine(
    canvas: Canvas, palette: Palette, x: float, base: float, tall: float, depth: float, green: Colour
) -> None:
    canvas.box(x - 0.6, base - tall * 0.2, x + 0.6, base + 2, palette.lit((86, 62, 46), depth, snow=0.0))
    for step, (low, high, half) in enumerate(((0.1, 0.55, 0.26), (0.35, 0.78, 0.2), (0.6, 1.0, 0.14))):
        colour = palette.lit(mix(green, (20, 50, 46), 0.35 - 0.15 * step), depth, snow=0.25 + 0.25 * step)
        edge = [(x - tall * half, base - tall * low), (x, base - tall * high), (x + tall * half, base - tall * low)]
        canvas.polygon(edge, colour)


def _draw_building(
    canvas: Canvas, palette: Palette, left: float, right: float, top: float, depth: float, rng: np.random.Generator
) -> None:
    tones: tuple[Colour, ...] = ((150, 140, 150), (112, 124, 152), (168, 132, 112), (96, 104, 120))
    wall = tones[int(rng.integers(len(tones)))]
    canvas.box(left, top, right, 53, palette.lit(wall, depth, snow=0.12))
    canvas.box(left, top, right, top + 1.4, palette.lit(mix(wall, WHITE, 0.2), depth))
    if depth > 0.3:
        return
    pane = palette.lit(mix(wall, (60, 84, 120), 0.6), depth, snow=0.1)
    for y in np.arange(top + 3, 49, 3.8):
        for x in np.arange(left + 1.4, right - 2.2, 3.2):
            on = rng.random() < palette.lamps
            canvas.box(float(x), float(y), float(x) + 1.8, float(y) + 2.2, _LAMP if on else pane)


PLACES: dict[str, Place] = {
    "mountains": draw_mountains,
    "hills": draw_hills,
    "sea": draw_sea,
    "desert": draw_desert,
    "forest": draw_forest,
    "city": draw_city,
}
