"""Sets of good images that differ at equal queries: ROBOT, niching, and sets chosen from an ordinary search's images.

Every method of a seed has the same least distance, 0.85 of the mean of the same prior draws, and the same choice of a
set from all candidates that may win: of `surrogate` and `best_of_n`, these are the best that are apart by that
threshold. Every finished run is a line of a file; runs that have a line are not repeated.
"""

import argparse
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

import zo_dno
from benchmarks.fronts import interval
from benchmarks.tables import git, hardware, show
from zo_dno.generators.quiet import quiet_libraries

PROMPT, REWARD = "forest at night, snowy", "jpeg_smaller"
METHODS = ("robot", "niching", "surrogate", "best_of_n")
_SAME = ("reward", "steps", "queries", "members", "apart", "renders")


def one_run(method: str, seed: int, prompt: str, options: argparse.Namespace) -> dict[str, Any]:
    """Search a set of images that differ, and return how good and how different they are."""
    generator = zo_dno.DiffusersGenerator.builtin(prompt, model="scenes-64", steps=options.steps)
    name = "random_search" if method == "best_of_n" else method
    own = {"renders": options.renders} if options.renders and name in ("robot", "surrogate") else {}
    given: dict[str, Any] = {"queries": options.queries, "seed": seed, "threads": options.threads}
    given |= {"diverse": options.members, "apart": options.apart, "strategy_options": own}
    result = zo_dno.optimize(generator, options.reward, name, prompt=prompt, **given)
    found = result.diverse
    assert found is not None
    rows = [row for row in result.history if row.is_feasible(constrained=True)]
    return {
        "method": method,
        "seed": seed,
        "prompt": prompt,
        **{key: getattr(options, key) for key in _SAME},
        "found": len(found),
        "mean_reward": found.mean_reward,
        "mean_distance": found.mean_distance,
        "usual": found.usual,
        "best": result.best.reward,
        "mean_score": fmean(row.value for row in rows if row.value is not None),
        "feasible": len(rows) / len(result.history),
        "seconds": result.seconds["total"],
        "commit": git("rev-parse", "HEAD"),
        "hardware": hardware(),
    }


def _shares(lines: list[dict[str, Any]]) -> list[float]:
    """Return each set's share of the gain of the best single image over the mean prior draw, of its seed and prompt."""
    return [line["share"] for line in lines if line["share"] is not None]


def _with_shares(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for line in lines:
        same = [one for one in lines if (one["seed"], one["prompt"]) == (line["seed"], line["prompt"])]
        drawn = next((one["mean_score"] for one in same if one["method"] == "best_of_n"), None)
        single = next((one["best"] for one in same if one["method"] == "surrogate"), None)
        known = drawn is not None and single is not None and line["mean_reward"] is not None
        share = (line["mean_reward"] - drawn) / (single - drawn) if known else None
        found.append({**line, "share": share})
    return found


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--prompts", nargs="+", default=[PROMPT])
    parser.add_argument("--reward", default=REWARD)
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--apart", default="pixels")
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--renders", type=int, default=0, help="of robot and surrogate for a query; 0 takes their own")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "diverse.jsonl")
    return parser


def main() -> None:
    options = _parser().parse_args()
    torch.set_num_threads(options.threads)
    options.out.touch()
    lines = [json.loads(line) for line in options.out.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if all(line[key] == getattr(options, key) for key in _SAME)]
    lines = [line for line in lines if line["prompt"] in options.prompts]
    done = {(line["method"], line["seed"], line["prompt"]) for line in lines}
    for prompt in options.prompts:
        for seed in options.seeds:
            for method in options.methods:
                if (method, seed, prompt) in done:
                    continue
                with quiet_libraries():
                    lines.append(one_run(method, seed, prompt, options))
                with options.out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(lines[-1]) + "\n")
                print(lines[-1], flush=True)
    lines, rows = _with_shares(lines), []
    for method in dict.fromkeys(line["method"] for line in lines):
        own = [line for line in lines if line["method"] == method]
        apart = [line["mean_distance"] / line["usual"] for line in own if line["mean_distance"] is not None]
        rewards = [line["mean_reward"] for line in own if line["mean_reward"] is not None]
        cells = [interval(values) if values else "" for values in (rewards, _shares(own), apart)]
        sizes, seconds = fmean(line["found"] for line in own), fmean(line["seconds"] for line in own)
        rows.append([method, len(own), sizes, *cells, fmean(line["best"] for line in own), seconds])
    prompts = " and ".join(map(repr, options.prompts))
    title = f"{options.members} images by {options.reward}, {options.queries} queries, {options.steps} steps, {prompts}"
    head = ["", "runs", "members", "mean reward", "of the single gain", "distance of prior draws'", "best", "s"]
    show(title, head, rows, {"runs": lines})


if __name__ == "__main__":
    main()
