"""Fronts of two rewards at equal queries: the hypervolume of ParEGO, NSGA-II, a weighted-sum sweep and best-of-N.

Every method of a seed has the same reference point and scales, those of the same 16 prior draws, and is measured by
all candidates that may win. Every finished run is a line of a file; runs that have a line are not repeated.
"""

import argparse
import json
import shutil
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np
import torch
from scipy import stats

import zo_dno
from benchmarks.tables import git, hardware, show
from zo_dno.generators.quiet import quiet_libraries
from zo_dno.surrogate.pareto import front_rows, hypervolume

PROMPT, REWARDS = "forest at night, snowy", ("jpeg_smaller", "prompt_match")
METHODS = ("parego", "nsga2", "sweep", "best_of_n")
SHARES = (0.2, 0.4, 0.6, 0.8)  # weights of the first reward in the sweep
_SEEDS = 1000  # between the seeds of the sweep's runs, so that they start from other draws


def one_run(method: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Search a front, and return what it dominates."""
    generator = zo_dno.DiffusersGenerator.builtin(options.prompt, model="scenes-64", steps=options.steps)
    rewards, queries = list(options.rewards), options.queries
    given: dict[str, Any] = {"prompt": options.prompt, "seed": seed, "threads": options.threads}
    kept = None if options.keep is None else options.keep / f"{method}-{seed}"
    if kept is not None:
        shutil.rmtree(kept, ignore_errors=True)  # of a run that was stopped
    name = {"sweep": "random_search", "best_of_n": "random_search"}.get(method, method)
    # of a sweep, the first run only measures scales and the reference point
    spent = 1 if method == "sweep" else queries
    modelled = {"renders": options.renders} if options.renders else {}
    own = modelled if name == "parego" else {}
    first = zo_dno.optimize(generator, rewards, name, queries=spent, out=kept, strategy_options=own, **given)
    results = [first]
    if method == "sweep":
        results = []
        for place, share in enumerate(SHARES):
            weights = dict(zip(rewards, (share, 1 - share), strict=True))
            summed = {"parts": weights, "scales": first.scales}
            sweep = {**given, "seed": seed + _SEEDS * place, "queries": queries // len(SHARES)}
            sweep |= {"reward_options": summed, "strategy_options": modelled if options.sweeper == "surrogate" else {}}
            results.append(zo_dno.optimize(generator, "weighted_sum", options.sweeper, **sweep))
    assert first.front is not None
    rows = [row for result in results for row in result.history if row.is_feasible(constrained=True)]
    values = np.array([[(row.components or {})[name] for name in rewards] for row in rows])
    ends = values.max(0).tolist()
    return {
        "method": method,
        "seed": seed,
        "prompt": options.prompt,
        "rewards": rewards,
        "steps": options.steps,
        "renders": options.renders,
        "queries": sum(result.queries for result in results),
        "reference": list(first.front.reference),
        "hypervolume": hypervolume(values, np.array(first.front.reference)),
        "front": len(front_rows(values)),
        "ends": ends,
        "feasible": len(rows) / sum(len(result.history) for result in results),
        "seconds": sum(result.seconds["total"] for result in results),
        "commit": git("rev-parse", "HEAD"),
        "hardware": hardware(),
    }


def interval(values: list[float]) -> str:
    """Write a mean with its 95 % interval over seeds (Student's t)."""
    half = stats.t.ppf(0.975, len(values) - 1) * stdev(values) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return f"{fmean(values):.3g} ± {half:.2g}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--rewards", nargs=2, default=list(REWARDS))
    parser.add_argument("--prompt", default=PROMPT)
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sweeper", default="surrogate", help="strategy of the sweep's runs")
    parser.add_argument("--renders", type=int, default=0, help="of parego and surrogate for a query; 0 takes their own")
    parser.add_argument("--keep", type=Path, help="folder for the runs' folders")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "fronts.jsonl")
    return parser


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    options.out.touch()
    same = ("prompt", "rewards", "steps", "queries", "renders")
    lines = [json.loads(line) for line in options.out.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if all(line[key] == getattr(options, key) for key in same)]
    for seed in options.seeds:
        for method in options.methods:
            if any((line["method"], line["seed"]) == (method, seed) for line in lines):
                continue
            with quiet_libraries():
                lines.append(one_run(method, seed, options))
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(lines[-1]) + "\n")
            print(lines[-1], flush=True)
    drawn = {line["seed"]: line["hypervolume"] for line in lines if line["method"] == "best_of_n"}
    rows = []
    for method in dict.fromkeys(line["method"] for line in lines):
        own = [line for line in lines if line["method"] == method]
        shares = [line["hypervolume"] / drawn[line["seed"]] for line in own if line["seed"] in drawn]
        volumes = [line["hypervolume"] for line in own]
        sizes, seconds = fmean(line["front"] for line in own), fmean(line["seconds"] for line in own)
        rows.append([method, len(own), interval(volumes), interval(shares) if shares else "", sizes, seconds])
    title = f"{' and '.join(options.rewards)}, {options.queries} queries, {options.steps} steps, {options.prompt!r}"
    show(title, ["", "seeds", "hypervolume", "of best-of-N's", "on the front", "s"], rows, {"runs": lines})


if __name__ == "__main__":
    main()
