"""Images to be rated, and forms of the rating page."""

import re

import numpy as np
from PIL import Image

from zo_dno.storage.images import image_hash, png_bytes

TOKEN = "a-token"


def pictures(n):
    """Make flat pictures of n greys, by their names."""
    greys = [np.full((64, 64, 3), 40 + 20 * number, dtype=np.uint8) for number in range(n)]
    return {image_hash(grey): png_bytes(Image.fromarray(grey)) for grey in greys}


FILES = pictures(6)
NAMES = [*FILES]


def form_of(page):
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    return {name: fields[name] for name in ("proof", "task") if name in fields}
