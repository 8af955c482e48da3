"""The light of a scene: the colours of the sky, and all other colours under it."""

from dataclasses import dataclass, replace

import numpy as np

Colour = tuple[float, float, float]

WHITE: Colour = (250, 252, 255)
_SNOW: Colour = (240, 244, 252)
_CLOUD_GREY: Colour = (150, 158, 170)
_SNOW_GREY: Colour = (205, 212, 224)


@dataclass(frozen=True)
class Palette:
    """Sky from top to horizon, the light on the ground, and the sun or moon."""

    sky: tuple[Colour, Colour, Colour]
    light: Colour
    disc: Colour
    disc_radius: tuple[float, float]
    disc_height: tuple[float, float]
    glow: float
    lamps: float
    snow: float = 0.0

    def lit(self, colour: Colour, depth: float = 0.0, snow: float = 1.0) -> Colour:
        """Return `colour` under this light, with `depth` of it lost in haze and `snow` of it under snow."""
        covered = mix(colour, _SNOW, self.snow * snow)
        shown = (covered[0] * self.light[0], covered[1] * self.light[1], covered[2] * self.light[2])
        return mix(shown, self.sky[2], depth)

    def object_lit(self, colour: Colour, snow: float = 0.0) -> Colour:
        """Return the colour of an object, which stays visible in the dark."""
        return mix(self.lit(colour, snow=snow), colour, 0.5 - 0.15 * min(1.0, self.light[0]))


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """Blend two colours; a `share` of 0 is the first."""
    keep = 1.0 - share
    return (
        first[0] * keep + second[0] * share,
        first[1] * keep + second[1] * share,
        first[2] * keep + second[2] * share,
    )


PALETTES = {
    "dawn": Palette(
        sky=((150, 170, 222), (250, 190, 196), (255, 228, 180)),
        light=(0.92, 0.78, 0.80),
        disc=(255, 246, 205),
        disc_radius=(4.0, 5.5),
        disc_height=(22, 32),
        glow=0.6,
        lamps=0.25,
    ),
    "day": Palette(
        sky=((48, 120, 220), (120, 186, 244), (205, 233, 250)),
        light=(1.0, 1.0, 1.0),
        disc=(255, 244, 150),
        disc_radius=(4.0, 6.0),
        disc_height=(7, 17),
        glow=0.5,
        lamps=0.0,
    ),
    "dusk": Palette(
        sky=((56, 34, 104), (176, 52, 96), (252, 132, 44)),
        light=(0.62, 0.40, 0.44),
        disc=(255, 190, 70),
        disc_radius=(5.0, 7.5),
        disc_height=(24, 33),
        glow=0.55,
        lamps=0.55,
    ),
    "night": Palette(
        sky=((7, 9, 34), (16, 24, 66), (40, 54, 104)),
        light=(0.24, 0.28, 0.44),
        disc=(244, 240, 214),
        disc_radius=(3.6, 5.2),
        disc_height=(7, 20),
        glow=0.35,
        lamps=0.65,
    ),
}


def choose(time: str, weather: str, rng: np.random.Generator) -> Palette:
    """Return a random palette of a time of day, dulled by the weather."""
    palette = PALETTES[time]
    gain = rng.uniform(0.88, 1.1)
    low, middle, high = (_vary(colour, gain, rng) for colour in palette.sky)
    light = palette.light
    palette = replace(palette, sky=(low, middle, high), light=(light[0] * gain, light[1] * gain, light[2] * gain))
    if weather == "cloudy":
        return _dull(palette, _CLOUD_GREY, 0.42, 0.5)
    if weather == "snowy":
        return replace(_dull(palette, _SNOW_GREY, 0.34, 0.6), snow=0.72)
    return palette


def _vary(colour: Colour, gain: float, rng: np.random.Generator) -> Colour:
    shift = rng.normal(0.0, 7.0, 3)
    red, green, blue = (min(255.0, max(0.0, channel * gain + by)) for channel, by in zip(colour, shift, strict=True))
    return (red, green, blue)


def _dull(palette: Palette, grey: Colour, share: float, glow: float) -> Palette:
    light = palette.light
    mean = sum(light) / 3
    shown = (grey[0] * mean, grey[1] * mean, grey[2] * (mean + 0.05))
    top, middle, bottom = (mix(colour, shown, share) for colour in palette.sky)
    soft = mix(light, (mean, mean, mean), 0.3)
    return replace(palette, sky=(top, middle, bottom), light=soft, glow=palette.glow * glow)
