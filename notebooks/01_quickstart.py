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
# # Quickstart: a smaller picture from better noise
#
# A frozen diffusion pipeline maps Gaussian noise to an image. Here we search that noise for an image whose JPEG file is
# small. The size of a file has no gradient, so only its values are used. The noise has to stay plausible as a draw of a
# standard Gaussian, so that the image stays one that the pipeline would draw.

# %%
import torch

import zo_dno

torch.set_num_threads(2)
generator = zo_dno.DiffusersGenerator.builtin(prompt="mountains at day, cloudy, with a house")
print(f"{generator.layout.d} searched numbers, {generator.nfe} denoiser calls an image")

# %% [markdown]
# One call runs the search. `jpeg_smaller` is minus the size in kB: rewards are always maximised.

# %%
result = zo_dno.optimize(generator, "jpeg_smaller", queries=192, seed=0, held_out=["prompt_match"])
print(f"JPEG: {-result.first.reward:.2f} kB -> {-result.best.reward:.2f} kB after {result.queries} queries")

# %% [markdown]
# First what the pipeline draws without a search, then what it draws from the noise that was found.

# %%
result.first_image.resize((256, 256))

# %%
result.best_image.resize((256, 256))

# %% [markdown]
# Was the reward bought with noise that no Gaussian would draw? log P(z) is the probability indicator of Direct Noise
# Optimization; one true draw in a hundred lies below -2.25. The held-out judge never took part in the search.

# %%
best = result.best
print(f"log P {best.log_prob:.2f}, norm ratio {best.norm_ratio:.3f}, whiteness p = {best.whiteness:.2f}")
print(f"plausibly Gaussian: {best.feasible}; prompt match (first, best): {result.held_out['prompt_match']}")

# %%
from zo_dno.results.progress_figure import progress_figure

progress_figure(result)

# %% [markdown]
# Any function of images is a reward.

# %%
import numpy as np


def warm(images, prompts):
    pixels = [np.asarray(image, dtype=float) for image in images]
    return [p[..., 0].mean() - p[..., 2].mean() for p in pixels]


warmest = zo_dno.optimize(generator, warm, queries=96, seed=0)
print(f"red minus blue: {warmest.first.reward:.0f} -> {warmest.best.reward:.0f} grey levels")
warmest.best_image.resize((256, 256))
