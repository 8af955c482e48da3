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
# # Quickstart: a smaller JPEG by searching the noise
#
# A frozen diffusion pipeline maps Gaussian noise to an image. This notebook searches that noise for an image with a small JPEG
# file. The size of a file has no gradient, so the search uses only its values. The noise must stay plausible under a standard
# Gaussian, so that the image stays typical of the pipeline.

# %%
import zo_dno

generator = zo_dno.DiffusersGenerator.builtin(prompt="mountains at day, cloudy, with a house")
print(f"{generator.layout.d} searched numbers, {generator.nfe} denoiser calls per image")

# %% [markdown]
# One call runs the search. `jpeg_smaller` is minus the size in kB: rewards are always maximised.

# %%
result = zo_dno.optimize(generator, "jpeg_smaller", queries=128, seed=0, held_out=["prompt_match"])
print(f"JPEG: {-result.first.reward:.2f} kB -> {-result.best.reward:.2f} kB after {result.queries} queries")

# %% [markdown]
# The first image is the pipeline's image without a search, the second its image of the best noise.

# %% tags=["picture"]
result.first_image.resize((256, 256))

# %% tags=["picture"]
result.best_image.resize((256, 256))

# %% [markdown]
# Is the best noise plausible under a Gaussian? log P(z) is the probability indicator of Direct Noise Optimization; one true draw
# in a hundred lies below -2.25. The search never used the held-out judge.

# %%
best = result.best
print(f"log P {best.log_prob:.2f}, norm ratio {best.norm_ratio:.3f}, whiteness p = {best.whiteness:.2f}")
first_match, best_match = result.held_out["prompt_match"]
print(f"plausibly Gaussian: {best.plausible}; prompt match {first_match:.3f} -> {best_match:.3f}")

# %% tags=["picture"]
from zo_dno.results.progress_figure import progress_figure

progress_figure(result)

# %% [markdown]
# Any function of images can be a reward.

# %% tags=["picture"]
import numpy as np


def warm(images, prompts):
    pixels = [np.asarray(image, dtype=float) for image in images]
    return [p[..., 0].mean() - p[..., 2].mean() for p in pixels]


warmest = zo_dno.optimize(generator, warm, queries=64, seed=0)
print(f"red minus blue: {warmest.first.reward:.0f} -> {warmest.best.reward:.0f} grey levels")
warmest.best_image.resize((256, 256))
