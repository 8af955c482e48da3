"""Every strategy on the built-in model with few steps: paired by prompt and seed, with all winners plausible.

Runs are independent, in any number of processes, and end as lines of one file; a run that is in it is not made again.
Rewards are put on one scale: 0 is the mean best-of-N at the smallest budget of a reward and prompt, 1 the best that any
entry reached at the largest.
"""

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import show

BUDGETS = (64, 256, 1024)
STEPS = 2
TUNED = ("mountains at day, cloudy, with a house", "sea at dusk, with a sailboat")
HELD_BACK = ("forest at night, snowy", "desert at day, with a tent", "city at dawn, with a tower")
REWARDS = ("jpeg_smaller", "jpeg_larger", "noisy_judge")
ENTRIES: dict[str, dict[str, Any]] = {
    "random_search": {},
    "hill_climb": {},
    "annealing": {},
    "zero_order": {},
    "trs": {},
    "genetic": {},
    "cosyne": {},
    "path_integral": {},
    "cross_entropy": {},
    "zo_sgd": {},
    "openai_es": {},
    "pgpe": {},
    "snes": {},
    "cmaes": {},
    "nevergrad": {},
    "snes, low band 256": {"strategy": "snes", "space": "low_band", "space_options": {"dims": 256}},
    "snes, low band 64": {"strategy": "snes", "space": "low_band", "space_options": {"dims": 64}},
    "cmaes, low band 64": {"strategy": "cmaes", "space": "low_band", "space_options": {"dims": 64}},
}


def noisy_judge(images: Sequence[Any], prompts: Sequence[str]) -> list[float]:
    """Rate warmth from 1 to 5 as a judge with moods would: the same image always gets the same mood."""
    scores = []
    for image in images:
        pixels = np.asarray(image, np.float64) / 255
        warmth = pixels[..., 0].mean() - pixels[..., 2].mean()
        mood = np.random.default_rng(int(pixels.sum() * 1e6) % 2**32).normal(0, 0.5)
        scores.append(float(np.clip(np.round(3 + 6 * warmth + mood), 1, 5)))
    return scores


def one_run(job: tuple[str, str, str, int, int]) -> dict[str, Any]:
    """Make one run; returns its line."""
    import torch

    import zo_dno
    from zo_dno.display import quiet_libraries

    name, reward, prompt, seed, queries = job
    torch.set_num_threads(1)
    entry = {"strategy": name, **ENTRIES[name]}
    with quiet_libraries():
        generator = _generator(prompt)
        scorer: Any = noisy_judge if reward == "noisy_judge" else reward
        started = time.perf_counter()
        result = zo_dno.optimize(
            generator, scorer, queries=queries, seed=seed, held_out=["prompt_match"], threads=1, **entry
        )
    values = [query.value if query.may_win(constrained=True) else None for query in result.history]
    best = np.fmax.accumulate(np.array([np.nan if value is None else value for value in values], float))
    return {
        "entry": name,
        "reward": reward,
        "prompt": prompt,
        "seed": seed,
        "queries": queries,
        "best": {str(budget): float(best[budget - 1]) for budget in BUDGETS if budget <= queries},
        "log_prob": result.best.log_prob,
        "feasible": result.best.feasible,
        "prompt_match": result.held_out["prompt_match"][1],
        "seconds": time.perf_counter() - started,
        "strategy_seconds": result.seconds["strategy"],
    }


_generators: dict[str, Any] = {}


def _generator(prompt: str) -> Any:
    import zo_dno

    if prompt not in _generators:
        _generators[prompt] = zo_dno.DiffusersGenerator.builtin(prompt, steps=STEPS)
    return _generators[prompt]


def table(lines: list[dict[str, Any]], budget: int, reward: str) -> list[list[Any]]:
    """Return a row an entry: mean normalised reward with a paired 95 % interval against best-of-N, and the rest."""
    key = str(budget)
    some = [line for line in lines if line["reward"] == reward and key in line["best"]]
    cells = {(line["entry"], line["prompt"], line["seed"]): line for line in some}
    scale = {}
    for prompt in {line["prompt"] for line in some}:
        of_prompt = [line for line in lines if line["reward"] == reward and line["prompt"] == prompt]
        low = np.mean([line["best"][str(BUDGETS[0])] for line in of_prompt if line["entry"] == "random_search"])
        high = max(value for line in of_prompt for value in line["best"].values())
        scale[prompt] = float(low), float(max(high - low, 1e-9))

    def normalised(line: dict[str, Any]) -> float:
        low, width = scale[line["prompt"]]
        return (line["best"][key] - low) / width

    rows = []
    for name in ENTRIES:
        own = [line for line in some if line["entry"] == name]
        if not own:
            continue
        pairs = [
            normalised(line) - normalised(other)
            for line in own
            if (other := cells.get(("random_search", line["prompt"], line["seed"]))) is not None
        ]
        half = 1.96 * np.std(pairs, ddof=1) / len(pairs) ** 0.5 if len(pairs) > 1 else float("nan")
        rows.append(
            [
                name,
                float(np.mean([normalised(line) for line in own])),
                f"{np.mean(pairs):+.3f} ± {half:.3f}",
                float(np.mean([line["best"][key] for line in own])),
                f"{sum(line['feasible'] for line in own)} of {len(own)}",
                min(line["log_prob"] for line in own),
                float(np.mean([line["prompt_match"] for line in own if line["prompt_match"] is not None])),
                float(np.mean([line["strategy_seconds"] for line in own])),
            ]
        )
    return sorted(rows, key=lambda row: -row[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/strategies.jsonl"))
    parser.add_argument("--entries", nargs="+", default=list(ENTRIES))
    parser.add_argument("--rewards", nargs="+", default=list(REWARDS))
    parser.add_argument("--prompts", nargs="+", default=list(TUNED))
    parser.add_argument("--held-back", action="store_true", help="take the prompts that nothing was tuned on")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--quick", action="store_true", help="one prompt, 2 seeds, 64 queries: about 10 minutes")
    options = parser.parse_args()
    prompts = list(HELD_BACK) if options.held_back else options.prompts
    if options.quick:
        prompts, options.seeds, options.queries = prompts[:1], 2, 64
    options.out.parent.mkdir(parents=True, exist_ok=True)
    lines = [json.loads(line) for line in options.out.read_text().splitlines()] if options.out.exists() else []
    done = {(line["entry"], line["reward"], line["prompt"], line["seed"]): line["queries"] for line in lines}
    jobs = [
        (name, reward, prompt, seed, options.queries)
        for seed in range(options.seeds)
        for prompt in prompts
        for reward in options.rewards
        for name in options.entries
        if done.get((name, reward, prompt, seed), 0) < options.queries
    ]
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.processes) as pool, options.out.open("a") as file:
        for line in pool.imap_unordered(partial(one_run), jobs):
            file.write(json.dumps(line) + "\n")
            file.flush()
            lines.append(line)
    columns = [
        "entry",
        "normalised",
        "against best-of-N",
        "mean",
        "feasible",
        "lowest log P",
        "prompt match",
        "ask+tell s",
    ]
    for reward in options.rewards:
        for budget in BUDGETS:
            rows = table([line for line in lines if line["prompt"] in prompts], budget, reward)
            if rows:
                title = f"{reward}, {budget} queries, {len(prompts)} prompts, up to {options.seeds} seeds"
                show(title, columns, rows, {"reward": reward, "budget": budget, "rows": rows})


if __name__ == "__main__":
    main()
