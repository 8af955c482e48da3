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
# # Your own reward, in five lines
#
# A reward is any function of images. It need not have a gradient, and its unit is yours.

# %%
import numpy as np

import zo_dno


def blue_sky(images, prompts):
    tops = [np.asarray(image, dtype=float)[: image.height // 3] for image in images]
    return [float(top[..., 2].mean() - top[..., 0].mean()) for top in tops]


# %%
generator = zo_dno.DiffusersGenerator.builtin("mountains at day, cloudy", steps=8)
result = zo_dno.optimize(generator, blue_sky, queries=96, seed=0, held_out=["prompt_match"])
print(f"blue minus red: {result.first.reward:.0f} -> {result.best.reward:.0f} grey levels")
print(f"prompt match, never optimised: {result.held_out['prompt_match']}")
result.best_image.resize((256, 256))

# %% [markdown]
# A reward that costs something says so, and the search keeps to the budget. What fails is asked again, and what fails for
# good is missing: never a score.

# %%
calls = 0


def dear(images, prompts):
    global calls
    calls += 1
    if calls % 7 == 0:
        raise ConnectionError("the line was cut")
    return blue_sky(images, prompts)


dear.policy = zo_dno.CallPolicy(price=0.01, attempts=3)
paid = zo_dno.optimize(generator, dear, queries=48, max_cost=0.40, seed=0)
print(f"{paid.queries} queries, {paid.failed_queries} without a score, at most {paid.cost:.2f} spent; ended by {paid.stopped_by}")

# %% [markdown]
# Several rewards at once: a weighted sum of standardised ones, or one under a condition.

# %%
both = zo_dno.optimize(
    generator, "jpeg_smaller", queries=96, seed=0, require=["prompt_match >= 0.9"], strategy="snes"
)
print(f"JPEG: {-both.first.reward:.2f} kB -> {-both.best.reward:.2f} kB with prompt match {both.best.components}")
both.best_image.resize((256, 256))
