# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Rating by hand
#
# You are the reward: `RatingCell` shows images with buttons, and the search follows your choices. It runs in a separate thread, so
# other cells can run meanwhile.

# %%
import zo_dno

generator = zo_dno.DiffusersGenerator.builtin("forest at day, with a house", steps=4)
cell = zo_dno.RatingCell(generator, mode="best", queries=32, strategy_options={"population": 8}, seed=0)
cell

# %% [markdown]
# Click the image that you like best, in every round. **Undo** takes back the last choice, **Skip** skips an image.
#
# In the next cell, a function clicks for you, so that this notebook runs unattended. It prefers bright images. Skip that cell to
# click yourself.

# %%
import io
import time

import ipywidgets
import numpy as np
from PIL import Image


def shown(widget):
    return [widget, *(part for child in getattr(widget, "children", ()) for part in shown(child))]


def click_for_me():
    parts = shown(cell.widget)
    pictures = [part.value for part in parts if isinstance(part, ipywidgets.Image)]
    buttons = {part.description: part for part in parts if isinstance(part, ipywidgets.Button)}
    choices = [name for name in buttons if name.isdigit()]
    pictures = [picture for picture in pictures if len(picture)][: len(choices)]  # another thread fills them
    if choices and len(pictures) == len(choices):
        light = [np.asarray(Image.open(io.BytesIO(bytes(picture))).convert("L")).mean() for picture in pictures]
        buttons[str(1 + int(np.argmax(light)))].click()


while cell.running:
    click_for_me()
    time.sleep(0.5)

# %% [markdown]
# The score of an image is its strength in a model of all choices (Bradley and Terry 1952).

# %% tags=["picture"]
result = cell.result
print(f"{result.queries} images rated, best {result.best.reward:.2f} against {result.first.reward:.2f}")
result.best_image.resize((256, 256))

# %% [markdown]
# With `out="runs/liked"` the run has a folder. After the kernel ends, `zo_dno.RatingCell("runs/liked")` resumes it. Other people can
# rate it on a page, also on their phones: `zo-dno rate runs/liked`.
