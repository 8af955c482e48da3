"""The renderer of scenes, whose pictures the built-in model is trained on."""

import numpy as np
from PIL import Image

from zo_dno.scenes.canvas import SIZE, Canvas
from zo_dno.scenes.grammar import Scene
from zo_dno.scenes.objects import draw_object
from zo_dno.scenes.palette import choose
from zo_dno.scenes.places import PLACES
from zo_dno.scenes.sky import draw_clouds, draw_sky, draw_snowfall


def render(scene: Scene, generator: np.random.Generator, side: int = SIZE) -> Image.Image:
    """Render one RGB picture of a scene.

    Args:
        scene: Scene to show.
        generator: Random numbers that decide everything that the scene leaves open.
        side: Width and height in pixels, 64 or a multiple of it.
    """
    palette = choose(scene.time, scene.weather, generator)
    canvas = Canvas(palette.sky, side)
    sun = draw_sky(canvas, palette, scene.time, scene.weather, generator)
    if scene.weather == "cloudy":
        draw_clouds(canvas, palette, generator)
    PLACES[scene.place](canvas, palette, generator, sun)
    if scene.object != "none":
        draw_object(canvas, palette, scene.object, scene.place, generator)
    if scene.weather == "snowy":
        draw_snowfall(canvas, palette, generator)
    return canvas.finish()
