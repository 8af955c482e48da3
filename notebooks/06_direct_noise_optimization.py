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
# # Direct Noise Optimization: gradients through the pipeline
#
# If you run the pipeline yourself, its gradients are available, even if the reward is a black box. The first example is the 2-D ring
# of the paper's tutorial ([Tang et al. 2024](https://arxiv.org/abs/2405.18881)) with a model of our own: a tiny diffusion model of
# points on a ring, the tutorial's reward with many hills, and 100 points whose noise is optimised separately. Schedule and steps are
# those of DDIM, so the numbers are not the tutorial's.

# %%
import matplotlib.pyplot as plt
import torch

import zo_dno
from zo_dno import ring

torch.set_num_threads(1)
model = ring.Ring()
z = torch.randn(1000, model.d)
points = model(z)
print(f"a point is a function of {model.d} numbers: its start, and the noise of every step but the last")

# %% [markdown]
# `gradient` uses gradients of model and reward. `hybrid2` uses only values of the reward, two probes per iteration, and the gradient
# of the model.

# %% tags=["picture"]
curves = {
    "gradient": ring.climb(model, "gradient", 50, particles=100),
    "hybrid2": ring.climb(model, "hybrid2", 50, particles=100),
}
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5))
side = torch.linspace(-1.5, 1.5, 200)
grid = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1)
left.pcolormesh(side, side, ring.reward(grid), cmap="Greys")
left.scatter(*points[:300].T, s=4, color="tab:blue")
left.set(title="the reward, and points of the model", aspect="equal")
for name, curve in curves.items():
    right.plot(curve, label=name)
right.set(title="mean reward of 100 points", xlabel="iteration")
right.legend()
plt.show()

# %% [markdown]
# The same on the built-in model: `hybrid2` with a reward that has no gradient, the size of a JPEG file.

# %%
generator = zo_dno.DiffusersGenerator.builtin("sea at dusk, with a sailboat", steps=3, batch_size=8)
result = zo_dno.optimize(generator, "jpeg_smaller", "hybrid2", queries=64, seed=1)
print(f"JPEG: {-result.first.reward:.2f} kB -> {-result.best.reward:.2f} kB after {result.queries} queries")

# %% [markdown]
# `dno` needs a reward with a gradient. After every step, the noise is projected back to plausible noise, so that every image is
# feasible.

# %%
generator = zo_dno.DiffusersGenerator.builtin("sea at dusk, with a sailboat", steps=3, batch_size=1)
bright = zo_dno.optimize(generator, "brightness", "dno", queries=24, seed=1)
print(f"brightness: {bright.first.reward:.3f} -> {bright.best.reward:.3f}, log P {bright.best.log_prob:.2f}")
print(f"plausible images: {sum(query.plausible for query in bright.history)} of {bright.queries}")

# %% tags=["picture"]
figure, axes = plt.subplots(1, 3, figsize=(7, 2.6))
pictures = {"start": result.first_image, "smaller file": result.best_image, "brighter": bright.best_image}
for axis, (title, image) in zip(axes, pictures.items(), strict=True):
    axis.imshow(image)
    axis.set(title=title)
    axis.axis("off")
plt.show()
