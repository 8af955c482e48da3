"""Every strategy on the built-in model with few steps: paired by prompt and seed, with all winners plausible.

Runs are independent, in any number of processes, and end as lines of one file; a run that is in it is not made again.
Rewards are put on one scale for each reward and prompt: 0 is the mean best-of-N at the smallest budget, 1 the best that
any entry reached. Images are rendered for every query, and no strategy knows the scores of another.
"""

import argparse
import json
import math
import multiprocessing
import time
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import memory
from benchmarks.strategy_rewards import (
    FREE,
    NOISY_JUDGE,
    OTHERS,
    PHOTO,
    REWARDS,
    WORDS,
    NoisyJudge,
    asked_for,
    noisy,
    reward_named,
    warmth,
)
from benchmarks.strategy_tables import (
    AUTO,
    BASELINE,
    BUDGETS,
    SCREENED,
    SECONDS,
    by_seconds,
    claims,
    compared,
    figure,
    markdown,
    reached,
    scores,
    table,
)
from benchmarks.tables import show
from zo_dno.run.processors import processors

SURROGATE = "surrogate"
MEASURED = (16, 32, 64, 128, 256, 512, 1024, 4096)
"""Numbers of queries after which the best reward and the seconds are noted."""
TUNED = ("mountains at day, cloudy, with a house", "sea at dusk, with a sailboat")
HELD_BACK = ("forest at night, snowy", "desert at day, with a tent", "city at dawn, with a tower")
PICTURE = Path("docs/pictures/strategies.png")


def _low(dims: int) -> dict[str, Any]:
    return {"space": "low_band", "space_options": {"dims": dims}}


ENTRIES: dict[str, dict[str, Any]] = {
    AUTO: {},
    SCREENED: {"strategy": "auto", "screen": 4},
    BASELINE: {},
    "hill_climb": {},
    "annealing": {},
    "zero_order": {},
    "trs": {},
    SURROGATE: {},
    "surrogate, images": {"strategy": SURROGATE, "strategy_options": {"inner": "images"}},
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
    "snes, low band 256": {"strategy": "snes", **_low(256)},
    "snes, low band 64": {"strategy": "snes", **_low(64)},
    "cmaes, low band 64": {"strategy": "cmaes", **_low(64)},
}
OUTSIDE: dict[str, dict[str, Any]] = {
    "pycma, diagonal": {"strategy": "cmaes", "strategy_options": {"mean_rate": 1.0}},
    "nevergrad NGOpt": {"strategy": "nevergrad", "strategy_options": {"optimizer": "NGOpt"}},
    "nevergrad OnePlusOne": {"strategy": "nevergrad", "strategy_options": {"optimizer": "OnePlusOne"}},
    "cmaes SepCMA": {"strategy": "benchmarks.outside:SepCMA"},
    "EvoTorch SNES": {"strategy": "benchmarks.outside:EvoTorchSNES"},
    "EvoTorch CoSyNE": {"strategy": "benchmarks.outside:EvoTorchCoSyNE"},
    "Optuna CMA-ES": {"strategy": "benchmarks.outside:OptunaCMA"},
}
"""From their packages, as they come; `nevergrad` above is nevergrad's DiagonalCMA."""


class Job(NamedTuple):
    """One run to make; its fields are keys of the run's line."""

    entry: str
    reward: str
    prompt: str
    seed: int
    queries: int
    constrained: bool = True
    noise: str = "initial"
    steps: int = 2


def one_run(job: Job, device: str = "cpu") -> dict[str, Any]:
    """Make one run, with images drawn on a device; returns its line."""
    import torch

    import zo_dno
    from zo_dno.generators.quiet import quiet_libraries

    name, reward, prompt, seed, queries, constrained, noise, steps = job
    torch.set_num_threads(1)
    entry = {"strategy": name, **(ENTRIES | OUTSIDE)[name]}
    elapsed: dict[str, float] = {}
    with quiet_libraries():
        generator = _generator(prompt, noise, device, steps)
        judge = NoisyJudge(seed, _usual(prompt, device, steps)) if reward == NOISY_JUDGE else None
        scorer = noisy(judge) if judge else reward_named(reward)
        memory.reset_peak()
        before = memory.held()
        started = time.perf_counter()

        def note(step: zo_dno.Step) -> None:
            for budget in MEASURED:
                if step.queries >= budget:
                    elapsed.setdefault(str(budget), time.perf_counter() - started)

        result = zo_dno.optimize(
            generator,
            scorer,
            queries=queries,
            seed=seed,
            held_out=["prompt_match"],
            threads=1,
            min_log_prob="1%" if constrained else None,
            on_step=note,
            **entry,
        )
    best = {}
    for budget in [budget for budget in MEASURED if budget <= queries]:
        able = [row for row in result.history[:budget] if row.is_feasible(constrained=constrained)]
        winner = max(able, key=lambda row: -math.inf if row.value is None else row.value).image if able else ""
        if budget == queries:
            winner = result.best.sha256
        value = (
            judge.truth.get(winner)
            if judge
            else max((row.value for row in able if row.value is not None), default=None)
        )
        best[str(budget)] = value
    return job._asdict() | {
        "hardware": torch.cuda.get_device_name() if device == "cuda" else device,
        "best": best,
        "log_prob": result.best.log_prob,
        "norm_ratio": result.best.norm_ratio,
        "feasible": result.best.plausible,
        "prompt_match": result.held_out["prompt_match"][1],
        "nfe": result.nfe,
        "elapsed": elapsed,
        "seconds": time.perf_counter() - started,
        "strategy_seconds": result.seconds["strategy"],
        "peak_mb": memory.peak() - before,
    }


@cache
def _usual(prompt: str, device: str, steps: int) -> tuple[float, float]:
    """Return mean and standard deviation of warmth among 64 prior draws, the same for all runs."""
    import torch

    generator = _generator(prompt, "initial", device, steps)
    z = torch.randn(64, generator.layout.d, generator=torch.Generator().manual_seed(64))
    found = [warmth(image.numpy()) for image in generator(z)]
    return float(np.mean(found)), float(np.std(found))


@cache
def _generator(prompt: str, noise: str, device: str, steps: int) -> Any:
    import zo_dno

    eta = float(noise == "all")
    return zo_dno.DiffusersGenerator.builtin(
        prompt, model="scenes-64", steps=steps, search=noise, eta=eta, device=device
    )


def _side(text: str) -> tuple[str, int]:
    """Read one side of a claim, "ENTRY@QUERIES"."""
    entry, _, queries = text.rpartition("@")
    if entry not in ENTRIES | OUTSIDE or not (queries.isdecimal() and int(queries) in MEASURED):
        raise argparse.ArgumentTypeError(
            f"must be ENTRY@QUERIES, such as surrogate@128; got {text!r}. Entries are {'; '.join(ENTRIES | OUTSIDE)}. "
            f"Queries are {', '.join(map(str, MEASURED))}."
        )
    return entry, int(queries)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/strategies.jsonl"))
    parser.add_argument("--entries", nargs="+", default=list(ENTRIES | OUTSIDE))
    rewards = parser.add_mutually_exclusive_group()
    names = f"names of zo-dno's rewards, and {', '.join((*WORDS, PHOTO, NOISY_JUDGE))}"
    rewards.add_argument("--rewards", nargs="+", default=list(REWARDS), help=names)
    for flag, const, text in (
        ("--words", WORDS, "take the words of the scene judge as rewards"),
        ("--others", OTHERS, f"take as rewards {', '.join(OTHERS)}"),
    ):
        rewards.add_argument(flag, dest="rewards", action="store_const", const=list(const), help=text)
    parser.add_argument("--prompts", nargs="+", default=list(TUNED))
    parser.add_argument("--held-back", action="store_true", help="take the prompts that nothing was tuned on")
    parser.add_argument("--seeds", type=int, default=6)
    parser.add_argument("--queries", type=int, default=256)
    parser.add_argument("--device", default="cpu", help="to draw images on")
    parser.add_argument("--processes", type=int, default=processors())
    parser.add_argument("--quick", action="store_true", help="one prompt, 2 seeds, 64 queries: 5 minutes of 2 cores")
    parser.add_argument("--without-constraint", action="store_true", help="let any noise win")
    parser.add_argument("--noise", choices=("initial", "all"), default="initial", help="all: of every step, with eta 1")
    parser.add_argument("--steps", type=int, default=2, help="denoising steps")
    parser.add_argument("--show", "--tables", action="store_true", help="run nothing: tables of what is in the file")
    parser.add_argument(
        "--claim",
        type=_side,
        nargs=2,
        metavar="ENTRY@QUERIES",
        help="run nothing: how far the first entry is ahead of the second, each with queries of its own",
    )
    parser.add_argument("--markdown", action="store_true", help="print the table of docs/strategies.md as well")
    parser.add_argument(
        "--budgets",
        type=int,
        nargs="+",
        default=list(BUDGETS),
        help="to show; 0 is best-of-N at the smallest, 1 the best at all of them",
    )
    parser.add_argument("--picture", action="store_true", help=f"draw {PICTURE} of everything in the file")
    return parser


def _run(options: argparse.Namespace, prompts: Sequence[str], lines: list[dict[str, Any]]) -> None:
    """Make the runs that are not among the lines yet, and append theirs to the file and to the lines."""
    done = {tuple(line.get(field, Job._field_defaults.get(field)) for field in Job._fields) for line in lines}
    settings = (options.queries, not options.without_constraint, options.noise, options.steps)
    jobs = [
        job
        for seed in range(options.seeds)
        for prompt in prompts
        for reward in options.rewards
        if not asked_for(reward, prompt)
        for name in options.entries
        if (job := Job(name, reward, prompt, seed, *settings)) not in done
    ]
    options.out.parent.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    with context.Pool(options.processes) as pool, options.out.open("a", encoding="utf-8") as file:
        for line in pool.imap_unordered(partial(one_run, device=options.device), jobs):
            file.write(json.dumps(line) + "\n")
            file.flush()
            lines.append(line)


def main() -> None:
    parser = _parser()
    options = parser.parse_args()
    prompts = list(HELD_BACK) if options.held_back else options.prompts
    if options.quick:
        prompts, options.seeds, options.queries = prompts[:1], 2, 64
    lines = (
        [json.loads(line) for line in options.out.read_text(encoding="utf-8").splitlines()]
        if options.out.exists()
        else []
    )
    if not (options.show or options.claim):
        _run(options, prompts, lines)
    wanted = {
        "prompt": prompts,
        "reward": options.rewards,
        "constrained": [not options.without_constraint],
        "noise": [options.noise],
    }
    lines = [
        line for line in lines if all(line[k] in v for k, v in wanted.items()) and line.get("steps", 2) == options.steps
    ]
    frame = scores(lines, options.budgets)
    if options.claim:
        (one, other) = options.claim
        rows = compared(scores(lines, (one[1], other[1]), scale=frame), one, other)
        if not rows:
            parser.error(
                f"argument --claim: must name two entries that ran with the same reward, prompt and seed; got none in "
                f"{options.out} for these rewards and prompts. Make the runs first, or choose others."
            )
        title = f"{one[0]} at {one[1]} queries minus {other[0]} at {other[1]}, with 95 % intervals"
        show(
            title,
            ["reward", "prompt", "normalised difference", "pairs won", "pairs"],
            rows,
            {"claim": title, "rows": rows},
        )
        return
    columns = ["entry", "normalised", "above best-of-N", "auto above it", "mean", "runs", "plausible", "log P"]
    columns += ["prompt match", "ask+tell s", "peak MB"]
    for reward in options.rewards:
        for budget in options.budgets:
            rows = table(frame, reward, budget)
            if rows:
                title = f"{reward}, {budget} queries, {len(prompts)} prompts"
                show(title, columns, rows, {"reward": reward, "budget": budget, "rows": rows})
    free = reached([line for line in lines if line["reward"] in FREE], scale=frame)
    for (reward, hardware), some in free.groupby(["reward", "hardware"]):
        rows = by_seconds(some)
        title = f"{reward}, {len(prompts)} prompts, {hardware}: best by so many seconds, normalised (ended/all runs)"
        headings = ["entry", *(f"{limit} s" for limit in SECONDS)]
        show(title, headings, rows, {"reward": reward, "hardware": hardware, "rows": rows})
    found = claims(frame)
    if found:
        headings = ["reward", "queries", "entry", "best other", "ahead of it", "p", "lowest end"]
        show("claims", [*headings, "ahead of best-of-N", "p", "pairs"], found, {"rows": found})
    if options.markdown:
        print(markdown(frame))
    if options.picture:
        figure(frame, OUTSIDE).savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    main()
