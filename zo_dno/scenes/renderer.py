"""The renderer of scenes, whose pictures the built-in model is trained on."""

import numpy as np
from PIL import Image

from zo_dno.scenes.canvas import Canvas
from zo_dno.scenes.grammar import Scene
from zo_dno.scenes.objects import draw_object
from zo_dno.scenes.palette import choose
from zo_dno.scenes.places import PLACES
from zo_dno.scenes.sky import draw_clouds, draw_sky, draw_snowfall


def render(scene: Scene, generator: np.random.Generator) -> Image.Image:
    """Render one 64 x 64 RGB picture of `scene`; `generator` decides everything that the scene leaves open."""
    palette = choose(scene.time, scene.weather, generator)
    canvas = Canvas(palette.sky)
    sun = draw_sky(canvas, palette, scene.time, scene.weather, generator)
    if scene.weather == "cloudy":
        draw_clouds(canvas, palette, generator)
    PLACES[scene.place](canvas, palette, generator, sun)
    if scene.object != "none":
        draw_object(canvas, palette, scene.object, scene.place, generator)
    if scene.weather == "snowy":
        draw_snowfall(canvas, palette, generator)
    return canvas.finish()
