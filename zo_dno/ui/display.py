"""The output of the command line: summaries and lists."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:  # any of them imports torch, which takes seconds
    from zo_dno.comparison.compare import Comparison
    from zo_dno.results.overview import Overview
    from zo_dno.results.result import Result
    from zo_dno.reward import Reward
    from zo_dno.run.draft import Drafted
    from zo_dno.run.many_prompts import Line

console = Console()
_LIMITS = {
    "cost": "its money is spent, or the next query could exceed it",
    "nfe": "its denoiser calls are spent",
    "seconds": "its time is up",
}


def comparison(found: "Comparison") -> None:
    """Show the summary of a comparison, a line for each entry, and its claims."""
    from zo_dno.comparison.statistics import Interval

    budget = found.budgets[-1]
    table = Table(title=f"{budget} queries, rewards on one scale", title_justify="left")
    for column in ("", "runs", "interquartile mean", f"beats {found.reference}", "mean rank", "plausible"):
        table.add_column(column, justify="right" if column else "left")
    for row in found.summary(budget).to_dict("records"):
        table.add_row(
            escape(row["entry"]),
            str(row["runs"]),
            str(Interval(row["iqm"], row["iqm_low"], row["iqm_high"])),
            f"{row['better_than_reference']:.0%}",
            _text(row["rank"]),
            f"{row['feasible']:.0%}",
        )
    console.print(table)
    for claim in found.claims(budget=budget):
        console.print(str(claim), markup=False, soft_wrap=True)
    for name, reason in found.failures.items():
        console.print(f"[red]{escape(name)} failed:[/] {escape(reason)}", soft_wrap=True)
    if found.unfinished:
        console.print(f"[yellow]{escape(found.what_is_left)}[/]", soft_wrap=True)


def many(lines: Sequence["Line"], out: Path) -> None:
    """Show the results of many prompts, a line for each."""
    table = Table(title=f"{len(lines)} prompts", title_justify="left")
    for i, column in enumerate(("prompt", "status", "queries", "first", "best", "log P")):
        table.add_column(column, justify="right" if i > 1 else "left")
    for line in lines:
        prompt, status, queries, first, best, unit, log_prob, *_ = line.cells
        numbers = [value if value == "" else _text(value) for value in (first, best, log_prob)]
        table.add_row(escape(prompt), escape(status), str(queries), numbers[0], f"{numbers[1]} {unit}", numbers[2])
    console.print(table)
    files(out, {"summary.csv": "the same as a table"})
    left = sum(line.result is None or line.result["status"] in ("interrupted", "paused") for line in lines)
    if left:
        console.print(f"{left} not finished; resume with: zo-dno resume {out}", markup=False, soft_wrap=True)


def drafted(found: "Drafted") -> None:
    """Show how well the scores at few steps predict those at all steps."""
    console.print(escape(str(found)), soft_wrap=True)


def summary(result: "Result") -> None:
    """Show first and best side by side, the tests of their noise, and the names of the pictures."""
    table = Table(title=f"{result.prompt or result.model}: {result.status}", title_justify="left")
    for column in ("", "first", "best"):
        table.add_column(column, justify="right" if column else "left")
    winner = f"[bold]{_text(result.best.reward)}[/]"
    if result.best.error is not None:
        winner += f" ± {result.best.error:.2g}, mean of {result.best.answers} scores"
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
    if result.chosen:
        console.print(f"{result.strategy} chose {result.chosen}", markup=False, soft_wrap=True)
    seconds = result.seconds
    remembered = f" ({result.cached_queries} remembered)" if result.cached_queries else ""
    rendered = f", {result.images} images" if result.images > result.queries else ""
    console.print(
        f"{result.queries} queries{remembered}{rendered}, {result.nfe} denoiser calls, {seconds['total']:.1f} s "
        f"(images {seconds['generate']:.1f}, reward {seconds['score']:.1f}, strategy {seconds['strategy']:.1f})"
    )
    if result.cost or result.tokens:
        console.print(_spent(result.cost, result.tokens))
    if result.stopped_by in ("cost", "nfe", "seconds"):
        console.print(f"stopped: {_LIMITS[result.stopped_by]}")
    if result.infeasible is not None:
        console.print(f"[red]infeasible:[/] {escape(result.infeasible)}", soft_wrap=True)
    else:
        _unmet(result.unmet)
    if result.drift:
        console.print(f"[red]cannot be repeated exactly:[/] {escape(result.drift)}", soft_wrap=True)
    if result.failed_queries:
        console.print(f"[red]{result.failed_queries} queries got no score:[/]")
        for reason, count in result.failures.items():
            console.print(f"  {count} x {reason}", markup=False, soft_wrap=True)
    if result.folder is not None:
        pictures = {
            "first.png": "what the pipeline renders",
            "best.png": "what it renders from the noise found",
            "strip.png": "from first to best",
            "progress.png": "rewards and log P against queries",
        }
        files(result.folder, pictures)


def overview(run: "Overview") -> None:
    """Show the overview of a run."""
    config = run.config
    table = Table(title=f"{config.get('prompt') or config.get('model', '')}: {run.state}", title_justify="left")
    for column in ("", "answered", "scored", "missing", "remembered", "waiting"):
        table.add_column(column, justify="right" if column else "left")
    for stage, counts in run.counts.items():
        answered = counts["scored"] + counts["missing"]
        of = f" of {run.planned}" if stage == "search" else ""
        cells = (f"{answered}{of}", counts["scored"], counts["missing"], counts["cached"], counts["asked"])
        table.add_row(stage, *map(str, cells))
    console.print(table)
    console.print(f"{config.get('reward')}, {config.get('strategy')}, seed {config.get('seed')}", markup=False)
    if run.best is not None:
        console.print(f"best {run.best.value:.6g}, query {run.best.id + 1}, log P {run.best.log_prob:.2f}")
    for what, row in (("first", run.first), ("best", run.best)):
        if row is not None and row.components:
            made_of = ", ".join(f"{name} {value:.4g}" for name, value in row.components.items())
            console.print(f"  {what}: {made_of}", markup=False, soft_wrap=True)
    _unmet(run.unmet)
    console.print(f"{run.attempts} calls, {_spent(run.cost, run.tokens)}, {run.seconds:.1f} s")
    for title, counter in (("calls that failed", run.failed_calls), ("queries without a score", run.missing)):
        for kind, count in counter.most_common():
            console.print(f"  {count} x {kind}  [dim]{title}[/]", soft_wrap=True)
    kept = ", ".join(f"{count} {kind} files" for kind, count in sorted(run.files.items()))
    if kept:
        console.print(kept)
    if run.lost_files:
        console.print(f"[red]{len(run.lost_files)} of them are gone[/], such as {run.lost_files[0]}", soft_wrap=True)
    for note in run.drift:
        console.print(f"[red]cannot be repeated exactly:[/] {escape(note)}", soft_wrap=True)
    if run.resumable:
        console.print(f"resume with: zo-dno resume {run.folder}", markup=False, soft_wrap=True)


def served(url: str, reward: "Reward", *, token_needed: bool) -> None:
    """Show where a reward is served, and how to use it."""
    console.print(f"{reward.name} ({reward.unit}) at {url}", markup=False, highlight=False, soft_wrap=True)
    key = " --reward-option key_env=ZO_DNO_TOKEN" if token_needed else ""
    command = f"zo-dno run ... --reward http --reward-option url={url}{key}"
    console.print(f"use it with: {command}", markup=False, highlight=False, soft_wrap=True)


def files(folder: Path, names: Mapping[str, str]) -> None:
    """List files of a folder with a description each."""
    for name, what in names.items():
        console.print(f"  {folder / name}  [dim]{what}[/]", soft_wrap=True)


def listing(title: str, lines: Mapping[str, str]) -> None:
    """List names with a line for each."""
    console.print(f"[bold]{title}[/]")
    width = max(map(len, lines))
    for name, line in lines.items():
        console.print(f"  {name:<{width}}  {line}", markup=False, highlight=False, soft_wrap=True)


def _unmet(thresholds: Mapping[str, int]) -> None:
    for threshold, count in thresholds.items():
        console.print(f"  {threshold}: not met by {count} candidates", markup=False, soft_wrap=True)


def _spent(cost: float, tokens: int) -> str:
    return f"cost {cost:.4g}" + (f", {tokens} tokens" if tokens else "")


def _text(value: float | None) -> str:
    return "missing" if value is None else f"{value:.4g}"
