"""The report of a run: one HTML file with what was found, how, at what price, and whether to trust it."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from zo_dno.results.hacking_figure import hacking_figure
from zo_dno.results.markup import Table, address, embedded, number, templates
from zo_dno.results.stored import result_of
from zo_dno.results.verdict import CONVINCING, IMPLAUSIBLE, what_choices_say, what_held_out_says
from zo_dno.reward import Adaptation
from zo_dno.storage.atomic import read_yaml, write_text
from zo_dno.storage.images import decoded, png_bytes
from zo_dno.storage.ledger import Ledger, QueryRow
from zo_dno.storage.run_folder import CONFIG, FRONT_FIGURE, FRONT_SHEET, LEDGER, check_is_run, damage_named

if TYPE_CHECKING:
    from zo_dno.results.result import Result
    from zo_dno.search.archive import Found

_templates = templates("zo_dno.results")


def write_run_report(folder: Path, out: Path | None = None) -> Path:
    """Write the report of a run, by default as `report.html` in its folder; returns its path.

    Raises:
        InputError: The folder holds no run, or no result yet.
    """
    check_is_run(folder)
    path = folder / "report.html" if out is None else out
    write_text(path, run_report(folder))
    return path


def run_report(folder: Path) -> str:
    """Return the report of a run as HTML.

    Raises:
        InputError: The run has no result yet.
    """
    result = result_of(folder)
    with damage_named(folder):
        return _run_report(folder, result)


def _run_report(folder: Path, result: dict[str, Any]) -> str:
    ledger = Ledger(folder / LEDGER, read_only=True)
    rows = [row for row in ledger.queries("search") if row.completed]
    ledger.close()
    first, best = result["first"], result["best"]
    return _templates.get_template("report.html").render(
        title=str(result["prompt"] or result["model"]),
        result=result,
        warnings=_warnings(result),
        pictures=[
            (_file(folder / "first.png"), "candidate 0", number(first["reward"])),
            (_file(folder / "best.png"), f"the winner, {best['id']}", number(best["reward"])),
        ],
        found=_found(result, rows),
        front=_front(folder, result),
        strip=_file(folder / "strip.png"),
        progress=_file(folder / "progress.png"),
        plausibility=embedded(hacking_figure(rows)),
        spent=_spent(result),
        adapted=_adapted(result),
        config=_yaml(read_yaml(folder / CONFIG)),
        versions=_yaml(result.get("versions") or {}),
    )


def card(result: "Result") -> str:
    """Return first and best image, their rewards and the course of the search as a piece of HTML."""
    from zo_dno.results.progress_figure import progress_figure

    return _templates.get_template("card.html").render(
        result=result,
        pictures=[(label, _picture(found), number(found.reward)) for label, found in _first_and_best(result)],
        progress=embedded(progress_figure(result)),
        front=_front_of_card(result),
    )


def _front_of_card(result: "Result") -> dict[str, str] | None:
    """Return the pictures of a front; None where the run has a single reward."""
    if result.front is None:
        return None
    from zo_dno.results.front_figure import front_figure
    from zo_dno.results.front_sheet import front_sheet

    return {
        "hypervolume": number(result.front.hypervolume),
        "figure": embedded(front_figure(result.front, result.history)),
        "sheet": _png(front_sheet(result.front)) if len(result.front) else "",
    }


def _first_and_best(result: "Result") -> "tuple[tuple[str, Found], ...]":
    return ("first", result.first), ("best", result.best)


def _picture(found: "Found") -> str:
    return _png(Image.fromarray(found.image))


def _png(image: Image.Image) -> str:
    buffer = BytesIO()
    image.save(buffer, "PNG")
    return address(buffer.getvalue())


def _warnings(result: dict[str, Any]) -> list[str]:
    """Return what weakens a result, a sentence each."""
    notes = []
    if not result["best"]["feasible"]:
        notes.append(IMPLAUSIBLE)
    notes += what_held_out_says({name: (one["first"], one["best"]) for name, one in result["held_out"].items()})
    if result["status"] not in ("finished", "target"):
        notes.append(f"The run is {result['status']}.")
    if result.get("drift"):
        notes.append(f"It cannot be repeated exactly: {result['drift']}.")
    if any(one["field"] == "temperature" for one in result.get("adapted", ())):
        notes.append("A judge's server refused the temperature, so the same image may get another score.")
    if result.get("hint"):
        notes.append(result["hint"])
    choices, evidence = result.get("choices", 0), result.get("evidence")
    if evidence is not None and evidence < CONVINCING:
        notes.append(f"{what_choices_say(choices, evidence)}.")
    return notes


def _found(result: dict[str, Any], rows: Sequence[QueryRow]) -> Table:
    first, best, baseline = result["first"], result["best"], result.get("baseline")
    log_prob, norm_ratio, whiteness = (
        (rows[0].log_prob, rows[0].norm_ratio, rows[0].whiteness) if rows else (None, None, None)
    )
    error = best.get("error")
    winner = number(best["reward"]) + ("" if error is None else f" ± {number(error)}")
    found = [
        (f"{result['reward']} ({result['unit']})", number(first["reward"]), winner),
        *((f"{n} (held out)", number(v["first"]), number(v["best"])) for n, v in result["held_out"].items()),
        ("log P(z)", number(log_prob), number(best["log_prob"])),
        ("norm ratio", number(norm_ratio), number(best["norm_ratio"])),
        ("whiteness (p)", number(whiteness), number(best["whiteness"])),
    ]
    if baseline:
        how = "measured" if baseline["measured"] else "estimated"
        found.append((f"best of {baseline['queries']} prior draws ({how})", "", number(baseline["reward"])))
    return Table(("", "first", "best"), found)


def _front(folder: Path, result: dict[str, Any]) -> dict[str, Any] | None:
    """Return what the report shows of a front; None where the run has a single reward."""
    front = result.get("front")
    if front is None:
        return None
    named = list(zip(front["rewards"], front["units"], front["reference"], strict=True))
    head = ("query", *(f"{name} ({unit})" if unit else name for name, unit, _ in named))
    rows = [(str(row["id"] + 1), *(number(row["rewards"][name]) for name, *_ in named)) for row in front["rows"]]
    return {
        "hypervolume": number(front["hypervolume"]),
        "unit": " x ".join(unit or "1" for _, unit, _ in named),
        "reference": ", ".join(f"{name} {number(value)} {unit}".rstrip() for name, unit, value in named),
        "source": front["source"],
        "figure": _file(folder / FRONT_FIGURE),
        "sheet": _file(folder / FRONT_SHEET) if front["rows"] else "",
        "table": Table(head, rows),
    }


def _spent(result: dict[str, Any]) -> Table:
    spent = {
        "queries": result["queries"],
        "of them without a score": result["failed_queries"],
        "of them cached": result["cached_queries"],
        **({"images that the strategy rendered itself": own} if (own := result.get("strategy_images")) else {}),
        "denoiser calls": result["nfe"],
        "cost at most": number(result["cost"]),
        **{f"seconds: {name}": number(value) for name, value in result["seconds"].items()},
    }
    return Table(("", ""), [(name, str(value)) for name, value in spent.items()])


def _adapted(result: dict[str, Any]) -> Table | None:
    """Return what judges' servers refused, and what was sent instead."""
    changes = [Adaptation(**one) for one in result.get("adapted", ())]
    head = ("judge", "asked", "since the server said")
    return Table(head, [(one.judge, one.change, one.reason) for one in changes]) if changes else None


def _yaml(values: dict[str, Any]) -> str:
    from zo_dno.storage.plain_yaml import to_yaml

    return to_yaml(values)


def _file(path: Path) -> str:
    return address(png_bytes(decoded(path, formats=("PNG",)))) if path.exists() else ""
