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
# A reward is any function of images. It needs no gradient, and you choose its unit.

# %%
import numpy as np

import zo_dno


def blue_sky(images, prompts):
    tops = [np.asarray(image, dtype=float)[: image.height // 3] for image in images]
    return [float(top[..., 2].mean() - top[..., 0].mean()) for top in tops]


# %% tags=["picture"]
generator = zo_dno.DiffusersGenerator.builtin("mountains at day, cloudy", steps=8)
result = zo_dno.optimize(generator, blue_sky, queries=64, seed=0, held_out=["prompt_match"])
print(f"blue minus red: {result.first.reward:.0f} -> {result.best.reward:.0f} grey levels")
first_match, best_match = result.held_out["prompt_match"]
print(f"prompt match, never optimised: {first_match:.3f} -> {best_match:.3f}")
result.best_image.resize((256, 256))

# %% [markdown]
# A reward that costs money declares its price, and the search stays within the budget. Failed calls are retried. If all attempts
# fail, the score is missing. With a price, `auto` climbs a surrogate of the reward: that needs fewer queries, but minutes of a
# CPU, so `climb=False` keeps this notebook short.

# %%
calls = 0


def expensive(images, prompts):
    global calls
    calls += 1
    if calls % 7 == 0:
        raise ConnectionError("the connection was lost")
    return blue_sky(images, prompts)


expensive.policy = zo_dno.CallPolicy(price=0.01, attempts=3)
paid = zo_dno.optimize(generator, expensive, queries=48, max_cost=0.40, seed=0, climb=False)
print(
    f"{paid.queries} queries, {paid.failed_queries} without a score, at most {paid.cost:.2f} spent; stopped by {paid.stopped_by}"
)

# %% [markdown]
# Several rewards can be combined: as a weighted sum of standardised rewards, or, as here, as one reward with a threshold on another.

# %% tags=["picture"]
both = zo_dno.optimize(generator, "jpeg_smaller", queries=64, seed=0, require=["prompt_match >= 0.9"], strategy="snes")
print(f"JPEG: {-both.first.reward:.2f} kB -> {-both.best.reward:.2f} kB with prompt match {both.best.components['prompt_match']:.3f}")
both.best_image.resize((256, 256))
