"""The output of the command line: summaries and lists."""

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from zo_dno.results.verdict import IMPLAUSIBLE, what_choices_say, what_held_out_says
from zo_dno.ui.terminal import console, styled

if TYPE_CHECKING:  # any of them imports torch, which takes seconds
    from zo_dno.comparison.compare import Comparison
    from zo_dno.results.diverse import Diverse
    from zo_dno.results.front import Front
    from zo_dno.results.overview import Overview
    from zo_dno.results.result import Result
    from zo_dno.reward import Adaptation, Reward
    from zo_dno.run.check_judge import JudgeCheck
    from zo_dno.run.draft import Drafted
    from zo_dno.run.many_prompts import Line

_ON_SCREEN = 7  # candidates of a front
_LIMITS = {
    "cost": "its money is spent, or the next query could exceed it",
    "nfe": "its denoiser calls are spent",
    "seconds": "its time is up",
}


def comparison(found: "Comparison") -> None:
    """Show the summary of a comparison, a line for each entry, and its claims."""
    from zo_dno.comparison.report import hacked, held_out_cells
    from zo_dno.comparison.sets import compared_by, set_words
    from zo_dno.comparison.statistics import Interval
    from zo_dno.results.markup import number, share

    budget = found.budgets[-1]
    table = Table(title=f"{budget} queries, rewards on one scale", title_justify="left")
    held_out = [f"{name}, held out" for name in found.held_out]
    for column in ("", "runs", "interquartile mean", f"beats {found.reference}", "mean rank", "plausible", *held_out):
        table.add_column(column, justify="right" if column else "left")
    for row in found.summary(budget).to_dict("records"):
        table.add_row(
            row["entry"],
            str(row["runs"]),
            str(Interval(row["iqm"], row["iqm_low"], row["iqm_high"])),
            share(row["better_than_reference"]),
            number(row["rank"]),
            share(row["feasible"]),
            *held_out_cells(found, row),
        )
    console.print(table)
    for sentence in [*compared_by(found), *set_words(found, budget)]:
        console.show(sentence)
    for sentence in hacked(found):
        console.show((sentence, "yellow"))
    for claim in found.claims(budget=budget):
        console.show(str(claim))
    for name, reason in found.failures.items():
        console.show((f"{name} failed:", "red"), f" {reason}")
    if found.unfinished:
        console.show((found.what_is_left, "yellow"))


def many(lines: Sequence["Line"], out: Path) -> None:
    """Show the results of many prompts, a line for each."""
    table = Table(title=f"{len(lines)} prompts", title_justify="left")
    for i, column in enumerate(("prompt", "status", "queries", "first", "best", "log P")):
        table.add_column(column, justify="right" if i > 1 else "left")
    for line in lines:
        prompt, status, queries, first, best, unit, log_prob, *_ = line.cells
        numbers = [value if value == "" else _text(value) for value in (first, best, log_prob)]
        table.add_row(prompt, status, str(queries), numbers[0], f"{numbers[1]} {unit}", numbers[2])
    console.print(table)
    files(out, {"summary.csv": "the same as a table"})
    left = sum(line.result is None or line.result["status"] in ("interrupted", "paused") for line in lines)
    if left:
        console.show(f"{left} not finished; resume with: zo-dno resume {out}")


def drafted(found: "Drafted") -> None:
    """Show how well the scores at few steps predict those at all steps."""
    console.show(str(found))


def summary(result: "Result") -> None:
    """Show first and best side by side, the tests of their noise, and the names of the pictures."""
    table = Table(title=f"{result.prompt or result.model}: {result.status}", title_justify="left")
    for column in ("", "first", "best"):
        table.add_column(column, justify="right" if column else "left")
    winner = styled((_text(result.best.reward), "bold"))
    if result.best.error is not None:
        source = "from {} choices" if result.choices else "mean of {} scores"
        winner += Text(f" ± {result.best.error:.2g}, {source.format(result.best.n_scores)}")
    table.add_row(f"{result.reward} ({result.unit})", _text(result.first.reward), winner)
    for name in [name for name in result.best.components or () if name != result.reward]:
        both = ((found.components or {}).get(name) for found in (result.first, result.best))
        table.add_row(f"  {name}", *map(_text, both))
    for name, (first, best) in result.held_out.items():
        table.add_row(f"{name} (held out)", _text(first), _text(best))
    for label, field in (("log P(z)", "log_prob"), ("norm ratio", "norm_ratio"), ("whiteness (p)", "whiteness")):
        table.add_row(label, *(_text(getattr(found, field)) for found in (result.first, result.best)))
    table.add_row("plausibly Gaussian", *("yes" if found.plausible else "no" for found in (result.first, result.best)))
    if result.baseline is not None:
        how = "" if result.baseline.measured else ", estimated"
        table.add_row(f"best of {result.baseline.queries}{how}", "", _text(result.baseline.reward))
    console.print(table)
    if result.front is not None:
        _front(result.front)
    if result.diverse is not None:
        _diverse(result.diverse, result.unit)
    if result.elites is not None:
        console.show(result.elites.words)
    if result.chosen:
        console.show(f"{result.strategy} chose {result.chosen}")
    seconds = result.seconds
    cached = f" ({result.cached_queries} cached)" if result.cached_queries else ""
    rendered = f", {result.images + result.unused_images} images ({result.unused_share:.1%} unused)"
    if result.strategy_images:
        rendered += f" and {result.strategy_images} of the strategy's own"
    console.print(
        f"{result.queries} queries{cached}{rendered}, {result.nfe} denoiser calls, {seconds['total']:.1f} s "
        f"(images {seconds['generate']:.1f}, reward {seconds['score']:.1f}, strategy {seconds['strategy']:.1f})"
    )
    if result.cost or result.tokens:
        console.print(_spent(result.cost, result.tokens))
    if result.stopped_by in ("cost", "nfe", "seconds"):
        console.print(f"stopped: {result.spent or _LIMITS[result.stopped_by]}")
    if evidence := what_choices_say(result.choices, result.evidence):
        console.print(evidence)
    for sentence in result.raters.get("words", ()):
        console.show(sentence)
    for sentence in what_held_out_says(result.held_out):
        console.show((sentence, "yellow"))
    if result.infeasible is None and not result.best.plausible:  # in a run without that constraint
        console.show((IMPLAUSIBLE, "yellow"))
    if result.unasked:
        console.print(result.unasked)
    if result.hint is not None:
        console.show(("all scores are equal:", "yellow"), f" {result.hint}")
    if result.infeasible is not None:
        console.show(("infeasible:", "red"), f" {result.infeasible}")
    else:
        _unmet(result.unmet)
    if result.drift:
        console.show(("cannot be repeated exactly:", "red"), f" {result.drift}")
    if result.failed_queries:
        console.show((f"{result.failed_queries} queries got no score:", "red"))
        for reason, count in result.failures.items():
            console.show(f"  {count} x {reason}")
    _adapted(result.adapted)
    if result.folder is not None:
        pictures = {
            "first.png": "what the pipeline renders",
            "best.png": "what it renders from the noise found",
            "strip.png": "from first to best",
            "progress.png": "rewards and log P against queries",
            **({} if result.elites is None else {"elites.png": "the best image of every cell"}),
            **({} if result.diverse is None else {"diverse.png": "the images that differ"}),
            **(
                {} if result.front is None else {"front.png": "the front", "front-images.png": "images along the front"}
            ),
        }
        files(result.folder, pictures)


def _front(front: "Front") -> None:
    """Show a front: its ends, its middle, and its hypervolume."""
    from zo_dno.results.strip import spread

    table = Table(title=f"front of {len(front)} candidates", title_justify="left")
    for column in ("query", *(f"{name} ({unit})" for name, unit in zip(front.rewards, front.units, strict=True))):
        table.add_column(column, justify="right")
    for place in spread(len(front), _ON_SCREEN):
        row = front.rows[place]
        table.add_row(str(row.id + 1), *map(_text, row.rewards.values()))
    console.print(table)
    console.show(f"hypervolume {front.hypervolume:.4g} ({front.unit}) above {front.stated}, {front.source}")


def _diverse(diverse: "Diverse", unit: str) -> None:
    """Show a diverse set: its members, best first, each with the distance from the nearest other."""
    table = Table(title=diverse.words, title_justify="left")
    for column in ("query", f"reward ({unit})", "nearest other"):
        table.add_column(column, justify="right")
    for member in diverse:
        table.add_row(str(member.id + 1), _text(member.reward), _text(member.nearest))
    console.print(table)
    if diverse.shortfall:
        console.show((diverse.shortfall, "yellow"))


def overview(run: "Overview") -> None:
    """Show the overview of a run."""
    config = run.config
    table = Table(title=f"{config.get('prompt') or config.get('model', '')}: {run.state}", title_justify="left")
    for column in ("", "completed", "scored", "missing", "cached", "waiting"):
        table.add_column(column, justify="right" if column else "left")
    for stage, counts in run.counts.items():
        completed = counts["scored"] + counts["missing"]
        of = f" of {run.planned}" if stage == "search" else ""
        cells = (f"{completed}{of}", counts["scored"], counts["missing"], counts["cached"], counts["asked"])
        table.add_row(stage, *map(str, cells))
    console.print(table)
    console.show(f"{config.get('reward')}, {config.get('strategy')}, seed {config.get('seed')}")
    if run.best is not None:
        console.print(f"best {run.best.value:.6g}, query {run.best.id + 1}, log P {run.best.log_prob:.2f}")
    if run.front is not None:
        console.print(f"front of {run.front} candidates that no other beats in all rewards")
    if run.diverse is not None:
        console.show(run.diverse)
    if run.elites is not None:
        console.show(run.elites)
    for what, row in (("first", run.first), ("best", run.best)):
        if row is not None and row.components:
            made_of = ", ".join(f"{name} {value:.4g}" for name, value in row.components.items())
            console.show(f"  {what}: {made_of}")
    _unmet(run.unmet)
    console.print(f"{run.attempts} calls, {_spent(run.cost, run.tokens)}, {run.seconds:.1f} s")
    for title, counter in (("calls that failed", run.failed_calls), ("queries without a score", run.missing)):
        for kind, count in counter.most_common():
            console.show(f"  {count} x {kind}  ", (title, "dim"))
    kept = ", ".join(f"{count} {kind} files" for kind, count in sorted(run.files.items()))
    if kept:
        console.print(kept)
    if run.lost_files:
        console.show((f"{len(run.lost_files)} of them are gone", "red"), f", such as {run.lost_files[0]}")
    _adapted(run.adapted)
    for note in run.drift:
        console.show(("cannot be repeated exactly:", "red"), f" {note}")
    if run.resumable:
        console.show(f"resume with: zo-dno resume {run.folder}")


def served(url: str, reward: "Reward", *, token_needed: bool) -> None:
    """Show where a reward is served, and how to use it."""
    console.show(f"{reward.name} ({reward.unit}) at {url}")
    key = " --reward-option key_env=ZO_DNO_TOKEN" if token_needed else ""
    command = f"zo-dno run ... --reward http --reward-option url={url}{key}"
    console.show(f"use it with: {command}")


def judge(found: "JudgeCheck") -> None:
    """Show what a check found about a judge, and the command that uses it."""
    width = max(len(name) for name, _ in found.rows)
    for name, text in found.rows:
        console.show((f"{name:<{width}}  ", "bold"), text)
    _adapted(found.adapted)
    if found.failure is None:
        options = " ".join(shlex.join(["--reward-option", f"{name}={value}"]) for name, value in found.options.items())
        console.show(f"use it with: zo-dno run ... --reward vlm {options}")


def files(folder: Path, names: Mapping[str, str]) -> None:
    """List files of a folder with a description each."""
    for name, what in names.items():
        console.show(f"  {folder / name}  ", (what, "dim"))


def listing(title: str, lines: Mapping[str, str]) -> None:
    """List names with a line for each."""
    console.show((title, "bold"))
    width = max(map(len, lines))
    for name, line in lines.items():
        console.show(f"  {name:<{width}}  {line}")


def _adapted(changes: "Sequence[Adaptation]") -> None:
    """Show what servers of rewards refused."""
    if not changes:
        return
    table = Table(title="what judges' servers refused", title_justify="left")
    for column in ("judge", "asked", "since the server said"):
        table.add_column(column)
    for one in changes:
        table.add_row(one.judge, one.change, one.reason)
    console.print(table)


def _unmet(thresholds: Mapping[str, int]) -> None:
    for threshold, count in thresholds.items():
        console.show(f"  {threshold}: not met by {count} candidates")


def _spent(cost: float, tokens: int) -> str:
    return f"cost {cost:.4g}" + (f", {tokens} tokens" if tokens else "")


def _text(value: float | None) -> str:
    return "missing" if value is None else f"{value:.4g}"
