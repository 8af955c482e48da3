"""What the second to the tenth prompt gain from the surrogate of the prompts before them.

Every prompt is searched alone with all queries, and with half of them after the prompts before it, whose surrogate a
file passes on. A prompt's gain is its best reward above the mean of the prior draws that its search alone began with.
The first prompt has no earlier ones: with half of the queries, it shows what a search gains by being shorter. Every
finished chain of prompts is a line of a file; chains that have a line are not repeated.
"""

import argparse
import json
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

import torch

import zo_dno
from benchmarks.fronts import interval
from benchmarks.tables import git, hardware, show
from zo_dno.generators.quiet import quiet_libraries

PROMPTS = (
    "forest at night, snowy",
    "desert at day, with a tent",
    "city at dawn, with a tower",
    "hills at dusk",
    "sea at night, cloudy",
    "mountains at dawn, snowy",
    "forest at day, with a house",
    "desert at night",
    "city at day, cloudy",
    "hills at dawn, with a house",
)
"""The first three are the ones that nothing was tuned on; the others show other places, times and weather."""

_SAME = ("reward", "steps", "queries", "prompts")


def _search(prompt: str, queries: int, seed: int, file: Path | None, options: argparse.Namespace) -> zo_dno.Result:
    generator = zo_dno.DiffusersGenerator.builtin(prompt, model="scenes-64", steps=options.steps)
    given: dict[str, Any] = {"queries": queries, "seed": seed, "threads": options.threads, "surrogate": file}
    return zo_dno.optimize(generator, options.reward, "surrogate", prompt=prompt, **given)


def one_chain(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Search every prompt alone and after those before it, and return their first mean and their best rewards."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "learned.safetensors"
        for prompt in options.prompts:
            alone = _search(prompt, options.queries, seed, None, options)
            after = _search(prompt, options.queries // 2, seed, file, options)
            first = fmean(row.value for row in alone.history if row.population == 0 and row.value is not None)
            rows.append([first, alone.best.reward, after.best.reward, alone.best.plausible and after.best.plausible])
            print(prompt, rows[-1], flush=True)
    return {
        "seed": seed,
        **{key: getattr(options, key) for key in _SAME},
        "runs": rows,
        "commit": git("rev-parse", "HEAD"),
        "hardware": hardware(),
    }


def shares(line: dict[str, Any]) -> list[float]:
    """Return each prompt's gain with half of the queries, as a share of its gain alone with all of them."""
    return [(after - first) / (alone - first) for first, alone, after, _ in line["runs"]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--reward", default="jpeg_smaller")
    parser.add_argument("--prompts", nargs="+", default=list(PROMPTS))
    parser.add_argument("--queries", type=int, default=32, help="of a prompt alone")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "transfer.jsonl")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.out.touch()
    lines = [json.loads(line) for line in options.out.read_text(encoding="utf-8").splitlines()]
    lines = [line for line in lines if all(line[key] == getattr(options, key) for key in _SAME)]
    for seed in options.seeds:
        if not any(line["seed"] == seed for line in lines):
            with quiet_libraries():
                lines.append(one_chain(seed, options))
            with options.out.open("a", encoding="utf-8") as file:
                file.write(json.dumps(lines[-1]) + "\n")
    rows = []
    for number, prompt in enumerate(options.prompts):
        runs = [line["runs"][number] for line in lines]
        own = [shares(line)[number] for line in lines]
        rows.append([prompt, *(fmean(column) for column in list(zip(*runs, strict=True))[:3]), interval(own)])
    later = [share for line in lines for share in shares(line)[1:]]
    rows.append(["second to last prompt", "", "", "", interval(later)])
    half = options.queries // 2
    title = f"{options.reward}, {options.steps} steps, seeds {' '.join(str(line['seed']) for line in lines)}"
    head = ["", "prior draws", f"alone, {options.queries}", f"after others, {half}", "share of the gain"]
    show(title, head, rows, {"seeds": [line["seed"] for line in lines], "shares": [shares(line) for line in lines]})


if __name__ == "__main__":
    main()
