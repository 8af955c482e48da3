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
# Which search is best for this reward, model and budget? Every strategy runs on the same prompts with the same seeds, and best-of-N
# is always included. Ray Tune executes the runs, one per CPU. If the comparison is interrupted, the same call resumes it.

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
# The same as a table. Rewards are normalised for each reward and prompt: 0 is best-of-16, 1 the best that any run reached.

# %%
found.summary()[["entry", "iqm", "iqm_low", "iqm_high", "better_than_reference", "feasible"]]

# %% [markdown]
# The claims that the data support. 6 pairs are few.

# %%
for claim in found.claims():
    print(claim)

# %% [markdown]
# Single figures. The second one shows whether the reward rose through implausible noise.

# %% tags=["picture"]
from zo_dno.comparison.figures import hacking_figure, profile_figure

profile_figure(found)

# %% tags=["picture"]
hacking_figure(found)

# %% [markdown]
# `report` writes everything into one file, and `table` has one row for each run and budget for your own analysis.

# %%
print(found.report())
found.table.groupby(["entry", "budget"])["best"].mean().unstack()
