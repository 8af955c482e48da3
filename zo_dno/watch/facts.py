"""How far a run is, in words: queries in flight, time and money left, plausibility, held-out rewards, failures."""

from collections.abc import Mapping
from typing import Any

from zo_dno.failures import one_line
from zo_dno.judges.rating_watch import AT_WORK, Raters
from zo_dno.results.markup import number
from zo_dno.results.overview import Overview
from zo_dno.results.state import IN_PROGRESS
from zo_dno.results.verdict import LOST, lost_share
from zo_dno.storage.ledger import QueryRow

_RECENT = 32  # candidates whose plausibility is told
_SHORT = 200  # characters of a reason


def in_flight(run: Overview) -> str:
    """Say which queries were sent and have no response yet; empty where none is known."""
    waiting = sum(row.status == "asked" for row in run.rows)
    if not waiting:
        return ""
    if run.state == IN_PROGRESS:
        return f"{_counted(waiting, 'query', 'queries')} sent, without a response so far"
    return f"none; {_counted(waiting, 'query waits', 'queries wait')} for a response, and resuming sends them again"


def time_of(run: Overview) -> str:
    """Say how long the search took, and how long it still takes at this rate, within its limit of time."""
    if not run.seconds:
        return ""
    text = f"{duration(run.seconds)} so far"
    limit: float | None = run.config.get("seconds")
    if run.state != IN_PROGRESS:
        return f"{duration(run.seconds)} of searching" + (f", of at most {duration(limit)}" if limit else "")
    timed = {one.number for one in run.populations if one.seconds}
    done = sum(row.completed and row.stage == "search" for row in run.rows)
    rated = sum(row.completed and row.stage == "search" and row.population in timed for row in run.rows)
    if rated and done < run.planned:
        left = run.seconds / rated * (run.planned - done)
        cut = limit if limit is not None and run.seconds + left > limit else None
        text += f", about {duration(left if cut is None else max(0.0, cut - run.seconds))} left"
        text += "" if cut is None else f": the limit of {duration(cut)} ends it before its queries do"
    return text


def money(run: Overview) -> str:
    """Say what was spent at most, and what is left of the cap."""
    cap = run.config.get("max_cost")
    tokens = f", {run.tokens} tokens" if run.tokens else ""
    if cap is None:
        return f"at most {number(run.cost)} spent, without a cap{tokens}" if run.cost or run.tokens else ""
    return f"at most {number(run.cost)} spent, {number(max(0.0, cap - run.cost))} left of {cap:g}{tokens}"


def plausibility(run: Overview, best: QueryRow | None) -> str:
    """Say whether the best noise is plausible as a draw of a Gaussian, and how many of the latest candidates are."""
    recent = [row for row in run.rows if row.stage == "search" and row.settled][-_RECENT:]
    latest = f"{sum(row.plausible for row in recent)} of the last {len(recent)} candidates are"
    if best is None:
        return f"{latest} plausible" if recent else ""
    measured = f"log P {best.log_prob:.2f}, norm ratio {best.norm_ratio:.3f}, whiteness {best.whiteness:.2g}"
    return f"the best {'is' if best.plausible else 'is not'} plausible ({measured}); {latest}"


def held_out(run: Overview, found: Mapping[str, tuple[float | None, float | None]]) -> str:
    """Say how the winner does on held-out rewards; they are scored at the end."""
    if not found:
        return "scored at the end" if run.config.get("held_out") and run.state == IN_PROGRESS else ""
    return "; ".join(_of_held_out(name, first, best) for name, (first, best) in found.items())


def _of_held_out(name: str, first: float | None, best: float | None) -> str:
    if first is None or best is None:
        return f"{name}, not scored for both images"
    share = lost_share(first, best)
    lost = f"lost {'more' if share > LOST else 'less'} than {LOST:.0%}" if share > 0 else "nothing lost"
    return f"{name} {number(first)} to {number(best)}, {lost}"


def baseline(ended: Mapping[str, Any]) -> str:
    """Say what the best of as many draws without a search would have been."""
    found = ended.get("baseline")
    if not found:
        return ""
    how = "measured" if found["measured"] else "estimated"
    return f"{number(found['reward'])} for the best of {found['queries']} images without a search ({how})"


def failures(run: Overview) -> str:
    """Count failed calls and queries without a score by kind, with an example."""
    calls = ", ".join(f"{count} x {one_line(kind, 40)}" for kind, count in run.failed_calls.most_common(5))
    missing = ", ".join(f"{count} x {one_line(kind, 40)}" for kind, count in run.missing.most_common(5))
    example = next((row.error for row in reversed(run.rows) if row.error), "")
    parts = [f"calls that failed: {calls}"] if calls else []
    parts += [f"queries without a score: {missing}"] if missing else []
    parts += [f"such as “{one_line(example, _SHORT)}”"] if example else []
    return "; ".join(parts)


def raters(found: Raters) -> str:
    """Say how far the newest round is, and who is at work."""
    text = f"{found.given} of {found.needed} ratings given in this population"
    if found.at_work:
        names = ", ".join(f"{name} ({given} in all)" for name, given in found.at_work)
        text += f"; at work in the last {duration(AT_WORK)}: {names}"
    else:
        text += f"; no rating in the last {duration(AT_WORK)}"
    return text + (f"; {_counted(found.others, 'other rater', 'other raters')}" if found.others else "")


def duration(seconds: float) -> str:
    """Return a duration in words, such as 45 s, 3 min or 2.5 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


def _counted(n: int, one: str, several: str) -> str:
    return f"{n} {one if n == 1 else several}"
