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
# # More processes, more machines
#
# The search can run rewards and generators in Ray actors. Here the actors are on this machine; with `ray="HOST:PORT"` they are on a
# cluster (docs/cluster.md). The result is the same, bit for bit.

# %%
import functools

import torch

import zo_dno

torch.set_num_threads(1)
PROMPT = "city at night"


def slow_brightness(images, prompts):
    import time

    import numpy as np

    time.sleep(0.1)
    return [float(np.asarray(image).mean()) / 255 for image in images]


# %%
generator = zo_dno.DiffusersGenerator.builtin(PROMPT, steps=4, batch_size=8)
found = {}
for workers in (0, 8):
    result = zo_dno.optimize(generator, slow_brightness, queries=48, seed=0, workers=workers, worker_cpus=0)
    found[workers] = result.best.reward
    print(f"{workers} actors: {result.best.reward:.4f}")
assert found[0] == found[8]

# %% [markdown]
# Generators can run in actors too. Each actor loads the model once; on a machine with GPUs, use one actor per GPU
# (`zo_dno.Takes(gpus=1)`).

# %% tags=["picture"]
load = functools.partial(zo_dno.DiffusersGenerator.builtin, PROMPT, steps=4, batch_size=8)
pool = zo_dno.GeneratorPool(load, 2, takes=zo_dno.Takes(cpus=0), threads=1)
elsewhere = zo_dno.optimize(pool, "brightness", queries=48, seed=0)
pool.close()
here = zo_dno.optimize(generator, "brightness", queries=48, seed=0)
assert elsewhere.best.sha256 == here.best.sha256
print(f"rendered by 2 actors: {elsewhere.best.reward:.4f}, the same image")
elsewhere.best_image.resize((256, 256))
