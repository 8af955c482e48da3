"""The sky: sun or moon, stars, clouds and falling snow."""

import numpy as np

from zo_dno.scenes.canvas import SIZE, Canvas
from zo_dno.scenes.palette import WHITE, Colour, Palette, mix

_CLOUD: Colour = (232, 236, 242)
_CLOUD_SHADE: Colour = (168, 176, 190)


def draw_sky(canvas: Canvas, palette: Palette, time: str, weather: str, rng: np.random.Generator) -> float:
    """Draw sun or moon and stars, and return the position of sun or moon from the left."""
    if time == "night" and weather != "snowy":
        _draw_stars(canvas, rng, count=int(rng.integers(14, 34)) if weather == "clear" else 6)
    x = float(rng.uniform(9, 55))
    y = float(rng.uniform(*palette.disc_height))
    radius = float(rng.uniform(*palette.disc_radius))
    halo = 30.0 if time == "day" else 40.0
    canvas.glow(x, y, halo, mix(palette.disc, palette.sky[2], 0.3), palette.glow)
    disc = palette.disc if weather == "clear" else mix(palette.disc, palette.sky[1], 0.35)
    if time == "night" and rng.random() < 0.6:
        _draw_crescent(canvas, x, y, radius * 1.15, disc, rng)
    else:
        canvas.ellipse(x, y, radius, radius, disc)
    return x


def draw_clouds(canvas: Canvas, palette: Palette, rng: np.random.Generator) -> None:
    """Draw banks of clouds over the upper sky."""
    for _ in range(int(rng.integers(4, 7))):
        x, y = float(rng.uniform(-2, 66)), float(rng.uniform(3, 22))
        _draw_cloud(canvas, palette, x, y, float(rng.uniform(8, 14)), rng)


def draw_snowfall(canvas: Canvas, palette: Palette, rng: np.random.Generator) -> None:
    """Draw snow flakes over everything."""
    flake = mix(palette.lit(WHITE), WHITE, 0.6)
    for _ in range(int(rng.integers(22, 48))):
        radius = float(rng.uniform(0.7, 1.2))
        canvas.ellipse(float(rng.uniform(0, SIZE)), float(rng.uniform(0, SIZE)), radius, radius, flake)


def _draw_stars(canvas: Canvas, rng: np.random.Generator, count: int) -> None:
    for _ in range(count):
        radius = float(rng.uniform(0.4, 0.85))
        x, y = float(rng.uniform(0, SIZE)), float(rng.uniform(0, 34))
        canvas.ellipse(x, y, radius, radius, (236, 238, 255))


def _draw_crescent(canvas: Canvas, x: float, y: float, radius: float, colour: Colour, rng: np.random.Generator) -> None:
    """Draw a waxing or a waning moon, from its outer and its inner arc."""
    side = 1.0 if rng.random() < 0.5 else -1.0
    turns = np.linspace(-np.pi / 2, np.pi / 2, 14)
    hollow = float(rng.uniform(-0.1, 0.45))
    outer = [(x + side * radius * np.cos(turn), y + radius * np.sin(turn)) for turn in turns]
    inner = [(x + side * hollow * radius * np.cos(turn), y + radius * np.sin(turn)) for turn in turns[::-1]]
    canvas.polygon(outer + inner, colour)


def _draw_cloud(canvas: Canvas, palette: Palette, x: float, y: float, width: float, rng: np.random.Generator) -> None:
    puffs = [(float(rng.uniform(-0.9, 0.9)), float(rng.uniform(0.28, 0.48))) for _ in range(6)]
    light = mix(palette.lit(_CLOUD), palette.sky[2], 0.2)
    shade = mix(palette.lit(_CLOUD_SHADE), palette.sky[1], 0.2)
    for colour, lift in ((shade, 0.0), (light, 1.4)):
        for across, size in puffs:
            high = width * size * (1.0 - 0.5 * abs(across))
            canvas.ellipse(x + across * width, y - lift - high * 0.4, width * 0.4, high, colour)
        canvas.ellipse(x, y - lift, width * 1.15, width * 0.2, colour)
