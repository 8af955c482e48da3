"""The card of a run on the page: its state, pictures, curve and warnings, and how far it is, in words."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zo_dno.errors import ZoDnoError
from zo_dno.failures import one_line
from zo_dno.judges.rating_store import RATINGS
from zo_dno.judges.rating_watch import raters_of
from zo_dno.results.markup import number
from zo_dno.results.overview import Overview, overview
from zo_dno.results.state import ENDED, IN_PROGRESS, RunState
from zo_dno.results.verdict import IMPLAUSIBLE, what_equal_scores_say, what_held_out_says, why_infeasible
from zo_dno.spaces import DEFAULT_SPACE
from zo_dno.storage.ledger import QueryRow
from zo_dno.storage.run_folder import LEDGER, check_is_run
from zo_dno.watch import facts
from zo_dno.watch.curve import Curve, curve_of
from zo_dno.watch.pictures import path_of

UNREADABLE, STARTING, FAILED = "unreadable", "starting", "failed"
_FAILED = "failed.txt"  # in the folder of a comparison's trial
_TITLE, _TEXT, _SHORT = 160, 400, 80  # characters
_TONES = {IN_PROGRESS: "live", STARTING: "live", **dict.fromkeys(ENDED, "good"), "infeasible": "bad", FAILED: "bad"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture with its caption.

    Attributes:
        label: What it is: "first" or "best".
        value: Its reward.
        sha256: Name of the image; empty where it was not kept.
    """

    label: str
    value: str
    sha256: str


@dataclass(frozen=True, slots=True)
class Card:
    """What the page shows of a run. Every text may be another's; templates escape it.

    Attributes:
        tone: Kind of the state: "live", "good", "bad" or "idle".
        reward: Name of the reward.
        unit: Unit of the reward; empty where it is not known, as before the run's end.
        strategy: Name of the strategy, with its search space where that is not all of the noise.
        seed: Seed of the run.
        completed: Number of completed queries of the search, of `planned`.
        first: Reward of candidate 0; None where it has none.
        best: Reward of the best feasible candidate; None while there is none.
        has_lost: Whether the winner lost on a held-out reward.
        is_plausible: Whether the winner's noise is plausible; None while there is no winner.
        facts: Lines of the card, a label and a text each.
        warnings: Sentences on what weakens the result.
        is_resumable: Whether the run was stopped before its end.
    """

    state: str
    tone: str
    title: str
    reward: str = ""
    unit: str = ""
    strategy: str = ""
    seed: str = ""
    completed: int = 0
    planned: int = 0
    first: float | None = None
    best: float | None = None
    has_lost: bool = False
    is_plausible: bool | None = None
    pictures: tuple[Picture, ...] = ()
    curve: Curve | None = None
    facts: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()
    is_resumable: bool = False


def card_of(folder: Path) -> Card:
    """Read the card of a run without changing anything in its folder; one that cannot be read has a card as well."""
    try:
        check_is_run(folder)
        if not (folder / LEDGER).exists():
            return _without_queries(folder)
        state = RunState.of(folder)
        return _card(overview(folder), state.result)
    except (ZoDnoError, OSError) as error:
        return Card(UNREADABLE, "bad", folder.name, warnings=(one_line(str(error), _TEXT),))


def _without_queries(folder: Path) -> Card:
    state = RunState.of(folder).name
    return Card(STARTING if state == IN_PROGRESS else state, "live" if state == IN_PROGRESS else "idle", folder.name)


def _card(run: Overview, result: Mapping[str, Any]) -> Card:
    history = [row for row in run.rows if row.stage == "search" and row.completed]
    constrained = run.config.get("min_log_prob", "1%") is not None
    config, is_live = run.config, run.state == IN_PROGRESS
    ended = {} if is_live else result
    state = _state(run)
    best = _best(run, ended)
    held_out = _held_out(run, best, ended)
    lost = what_held_out_says(held_out)
    return Card(
        state=state,
        tone=_TONES.get(state, "idle"),
        title=one_line(str(_prompt(run) or config.get("model") or run.folder.name), _TITLE),
        reward=one_line(str(config.get("reward")), _SHORT),
        unit=one_line(result.get("unit", ""), _SHORT),
        strategy=one_line(f"{config.get('strategy')}{_in_space(config.get('space'))}", _SHORT),
        seed=one_line(str(config.get("seed")), _SHORT),
        completed=len(history),
        planned=run.planned,
        first=None if run.first is None else run.first.value,
        best=None if best is None else best.value,
        has_lost=bool(lost),
        is_plausible=None if best is None else best.plausible,
        pictures=_pictures(run, best),
        curve=curve_of(history, run.planned, constrained=constrained),
        facts=tuple(_facts(run, best, held_out, ended)),
        warnings=tuple(_warnings(run, history, best, lost, ended, constrained=constrained)),
        is_resumable=run.resumable,
    )


def _prompt(run: Overview) -> str | None:
    """Return the prompt, which a generator of Python brings itself, so that the config has none."""
    return run.config.get("prompt") or next((row.prompt for row in run.rows), None)


def _in_space(space: Any) -> str:
    return "" if space in (None, DEFAULT_SPACE) else f" in {space}"


def _state(run: Overview) -> str:
    if run.state == IN_PROGRESS:
        return run.state
    has_no_score = bool(run.failed_calls) and all(row.value is None for row in run.rows)
    return FAILED if (run.folder / _FAILED).is_file() or has_no_score else one_line(run.state, _SHORT)


def _best(run: Overview, ended: Mapping[str, Any]) -> QueryRow | None:
    """Return the row of the winner, which after a re-evaluation is not the one with the highest score."""
    if ended and ended["best"]["feasible"]:
        winner = ended["best"]["id"]
        return next((row for row in run.rows if row.stage == "search" and row.id == winner), run.best)
    return run.best


def _held_out(
    run: Overview, best: QueryRow | None, ended: Mapping[str, Any]
) -> dict[str, tuple[float | None, float | None]]:
    """Return the scores of the first and of the best image by each held-out reward, as far as they are there."""
    if ended:
        return {one_line(name, _SHORT): (both["first"], both["best"]) for name, both in ended["held_out"].items()}
    found: dict[str, tuple[float | None, float | None]] = {}
    scores = {(row.oracle, row.id): row.value for row in run.rows if row.stage == "held_out"}
    for name, _ in scores:
        found[one_line(name, _SHORT)] = (scores.get((name, 0)), None if best is None else scores.get((name, best.id)))
    return found


def _pictures(run: Overview, best: QueryRow | None) -> tuple[Picture, ...]:
    rows = (("first", run.first), ("best" if run.state != IN_PROGRESS else "best so far", best))
    return tuple(
        Picture(label, number(row.value), row.image if path_of(run.folder, row.image) else "")
        for label, row in rows
        if row is not None
    )


def _facts(
    run: Overview,
    best: QueryRow | None,
    held_out: Mapping[str, tuple[float | None, float | None]],
    ended: Mapping[str, Any],
) -> list[tuple[str, str]]:
    found = [
        ("In flight", facts.in_flight(run)),
        ("Time", facts.time_of(run)),
        ("Money", facts.money(run)),
        ("Noise", facts.plausibility(run, best)),
        ("Held out", facts.held_out(run, held_out)),
        ("Best of N", facts.baseline(ended)),
        ("Failures", facts.failures(run)),
    ]
    if (run.folder / RATINGS).is_file() and (raters := raters_of(run.folder / RATINGS)) is not None:
        found.append(("Raters", facts.raters(raters)))
    return [(label, text) for label, text in found if text]


def _warnings(
    run: Overview,
    history: list[QueryRow],
    best: QueryRow | None,
    lost: list[str],
    ended: Mapping[str, Any],
    *,
    constrained: bool,
) -> list[str]:
    """Return what weakens a result, a sentence each."""
    notes = list(lost)
    if best is not None and not best.plausible:
        notes.append(IMPLAUSIBLE)
    if best is None and any(row.value is not None for row in history):
        notes.append(why_infeasible(history, run.unmet, constrained=constrained))
    if run.state != IN_PROGRESS and run.failed_calls and all(row.value is None for row in run.rows):
        notes.append("No query got a score. Fix what the failures say, then resume the run.")
    if equal := what_equal_scores_say(history):
        notes.append(equal)
    if ended.get("drift"):
        notes.append(f"It cannot be repeated exactly: {ended['drift']}.")
    with suppress(OSError, UnicodeError):
        notes.append((run.folder / _FAILED).read_text(encoding="utf-8"))
    return [one_line(note, _TEXT) for note in notes]
