"""The progress bars of the command line: of a run, of many prompts and of a comparison."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from zo_dno.ui.terminal import console

if TYPE_CHECKING:
    from zo_dno.search.progress import Step


@contextmanager
def bar_of_run() -> Iterator[Callable[["Step"], None]]:
    """Show at once that the model loads, then the bar of the run; the yielded function takes the run's steps."""
    bar = Progress(*_columns(), console=console)
    tasks: dict[str, TaskID] = {}

    def on_step(step: "Step") -> None:
        _remove(bar, loading)
        if step.stage not in tasks:
            tasks[step.stage] = bar.add_task(step.stage, total=step.planned, figures="")
        bar.update(tasks[step.stage], completed=step.queries, figures=Live(step))

    with bar:
        loading = bar.add_task("loading", total=None, figures="the libraries and the model")
        try:
            yield on_step
        finally:
            _remove(bar, loading)


def _remove(bar: Progress, task: TaskID) -> None:
    if task in bar.task_ids:
        bar.remove_task(task)


class Live:
    """The figures of a step, and those of its actors at the moment of display."""

    def __init__(self, step: "Step") -> None:
        self._step, self._figures = step, figures(step)

    def __str__(self) -> str:
        return f"{self._figures}  {_actor_pools(self._step)}".rstrip()


def _actor_pools(step: "Step") -> str:
    """Return how many actors are alive, how many calls are in flight, and how busy the actors were."""
    return "  ".join(
        f"{actors.what} {actors.alive}/{actors.size}, {actors.in_flight} calls, {actors.utilisation:.0%} busy"
        for actors in step.actor_pools
    )


def _columns() -> tuple[ProgressColumn, ...]:
    text = TextColumn("{task.fields[figures]}", markup=False)
    return (
        TextColumn("{task.description:>8}", markup=False),
        BarColumn(bar_width=6),
        MofNCompleteColumn(),
        text,
        TimeElapsedColumn(),
    )


@contextmanager
def bar_of_many() -> Iterator[Callable[[str, "Step"], None]]:
    """Show one progress bar for many prompts; the yielded function takes a prompt and its run's steps."""
    begun: dict[str, tuple[int, int]] = {}
    with Progress(*_columns(), console=console) as bar:
        task = bar.add_task("prompts", total=None, figures="")

        def on_step(prompt: str, step: "Step") -> None:
            begun[prompt] = (step.queries, step.planned)
            done, planned = (sum(values) for values in zip(*begun.values(), strict=True))
            bar.update(task, completed=done, total=planned, figures=f"{len(begun)} begun  {_actor_pools(step)}")

        yield on_step


@contextmanager
def bar_of_trials() -> Iterator[Callable[[int, int], None]]:
    """Show the progress bar of a comparison; the yielded function takes the runs that are over, and all of them."""
    bar = Progress(*_columns(), console=console)
    task = bar.add_task("runs", total=None, figures="")

    def on_trial(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)

    with bar:
        yield on_trial


def figures(step: "Step") -> str:
    """Return the figures of a step in one line."""
    best = step.best.reward if step.best else None
    texts = ["best -" if best is None else f"best {best:.4g}"]
    if step.sigma is not None:
        texts.append(f"sigma {step.sigma:.2f}")
    texts.append(f"log P {step.median_log_prob:.2f}")
    texts.append(f"{step.images_per_second:.0f} img/s")
    if step.cost:
        texts.append(f"cost {step.cost:.3g}")
    if step.failed:
        texts.append(f"{step.failed} missing")
    return "  ".join(texts)
