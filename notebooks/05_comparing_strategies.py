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
# # Comparing strategies
#
# Which search is best for this reward, model and budget? Every strategy is run on the same prompts with the same seeds, and
# best-of-N is always among them. Ray Tune carries the runs out, one a CPU, and a comparison that is interrupted goes on where it
# was.

# %%
import zo_dno

found = zo_dno.compare(
    "comparison",
    strategies=["snes", "hill_climb", {"strategy": "cmaes", "space": "low_band", "space_options": {"dims": 64}}],
    prompts=["sea at dusk, with a sailboat", "mountains at day, cloudy, with a house"],
    rewards=["jpeg_larger"],
    seeds=3,
    queries=64,
    steps=2,
    held_out=["prompt_match"],
)
found

# %% [markdown]
# The same as numbers. Rewards are put on one scale for each reward and prompt: 0 is best-of-16, 1 the best that any run reached.

# %%
found.summary()[["entry", "iqm", "iqm_low", "iqm_high", "better_than_reference", "feasible", "seconds"]]

# %% [markdown]
# What can be said, and what cannot: 6 pairs are few.

# %%
for claim in found.claims():
    print(claim)

# %% [markdown]
# The figures one by one. Was the reward bought with noise that no Gaussian would draw?

# %%
# %matplotlib inline
from zo_dno.comparison.report import hacking_figure, profile_figure

profile_figure(found)

# %%
hacking_figure(found)

# %% [markdown]
# A row for each run and budget, for whatever else you want to know; and everything in one file to send to somebody.

# %%
print(found.report())
found.table.groupby(["entry", "budget"])["best"].mean().unstack()
