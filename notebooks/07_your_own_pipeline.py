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
# # Your own pipeline, and the noise of every step
#
# Any diffusers pipeline can be a generator: a folder, a name on the hub, or a loaded object. This notebook uses the pipeline that
# ships with the package; replace it with yours.

# %%
import diffusers
import torch
import transformers
from diffusers import DiffusionPipeline

import zo_dno
from zo_dno.scenes import PIPELINE_FOLDER

diffusers.utils.logging.set_verbosity_error()  # of the libraries' remarks about this folder
transformers.utils.logging.set_verbosity_error()
pipeline = DiffusionPipeline.from_pretrained(PIPELINE_FOLDER)
generator = zo_dno.DiffusersGenerator(pipeline, "sea at dusk", steps=6, guidance_scale=1.0, batch_size=8)
print("searched:", generator.layout.shapes, "with", generator.nfe, "denoiser calls per image")

# %% [markdown]
# With a stochastic sampler every step draws noise, and `search="all"` searches all of it. Draws without effect are left out.

# %%
every = zo_dno.DiffusersGenerator(
    pipeline, "sea at dusk", steps=6, guidance_scale=1.0, batch_size=8, search="all", eta=1.0
)
print(len(every.layout.shapes), "draws,", every.layout.d, "numbers")

# %% tags=["picture"]
results = {
    "initial noise": zo_dno.optimize(generator, "saturation", queries=48, seed=0),
    "every step's": zo_dno.optimize(every, "saturation", queries=48, seed=0),
    "the last two steps'": zo_dno.optimize(
        every, "saturation", queries=48, seed=0, space="draws", space_options={"only": [-2, -1]}
    ),
}
for name, result in results.items():
    print(f"{name}: {result.first.reward:.3f} -> {result.best.reward:.3f}")
results["initial noise"].best_image.resize((256, 256))

# %% [markdown]
# A generator can also be a function of noise.


# %% tags=["picture"]
def blobs(z: torch.Tensor) -> torch.Tensor:
    coarse = z.reshape(-1, 1, 4, 4).expand(-1, 3, -1, -1)
    return torch.nn.functional.interpolate(coarse, size=(64, 64), mode="bicubic").sigmoid()


flat = zo_dno.optimize(zo_dno.FunctionGenerator(blobs, shape=(16,)), "symmetry", queries=128, seed=0)
print(f"symmetry: {flat.first.reward:.3f} -> {flat.best.reward:.3f}")
flat.best_image.resize((128, 128))
