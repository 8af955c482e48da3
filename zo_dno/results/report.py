"""The report of a run: one HTML file with what was found, how, at what price, and whether to trust it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from zo_dno.errors import InputError
from zo_dno.results.elites_sheet import elites_sheet
from zo_dno.results.front_figure import front_figure
from zo_dno.results.front_sheet import MOST
from zo_dno.results.hacking_figure import hacking_figure
from zo_dno.results.load import load
from zo_dno.results.markup import Table, address, drawing, embedded, number, templates, write_figures
from zo_dno.results.progress_figure import progress_figure
from zo_dno.results.stored import result_of
from zo_dno.results.strip import spread, step_image, steps
from zo_dno.results.verdict import CONVINCING, IMPLAUSIBLE, what_choices_say, what_held_out_says
from zo_dno.reward import Adaptation
from zo_dno.storage.atomic import read_yaml, write_text
from zo_dno.storage.images import decoded, png_bytes
from zo_dno.storage.ledger import QueryRow
from zo_dno.storage.run_folder import CONFIG, damage_named

if TYPE_CHECKING:
    from zo_dno.results.diverse import Diverse
    from zo_dno.results.elites import Elites
    from zo_dno.results.front import Front
    from zo_dno.results.plot import Plot
    from zo_dno.results.result import Result
    from zo_dno.search.archive import Found

_templates = templates("zo_dno.results")


def write_run_report(folder: Path, out: Path | None = None, *, figures: str | None = None) -> Path:
    """Write the report of a run, by default as `report.html` in its folder; returns its path.

    Args:
        folder: Folder of the run.
        out: Path of the report.
        figures: Kind of the files "svg", "pdf" or "png" in which the figures are written, too, into the folder
            `figures` beside the report; None for none.
    Raises:
        InputError: The folder holds no run, or no result yet.
        StorageError: A file could not be written.
    """
    path = folder / "report.html" if out is None else out
    write_text(path, run_report(folder))
    if figures is not None:
        write_figures(_figures(load(folder)), path, figures)
    return path


def run_report(folder: Path) -> str:
    """Return the report of a run as HTML.

    Raises:
        InputError: The folder holds no run, or no result yet.
    """
    loaded = load(folder)
    with damage_named(folder):
        return _run_report(folder, loaded, result_of(folder))


def _figures(loaded: "Result") -> "dict[str, Callable[..., Plot]]":
    front = loaded.front
    return {
        **({} if front is None else {"front": partial(front_figure, front, loaded.history)}),
        "progress": partial(progress_figure, loaded),
        "plausibility": partial(hacking_figure, loaded.history),
    }


def _run_report(folder: Path, loaded: "Result", result: dict[str, Any]) -> str:
    figures = {name: drawing(make) for name, make in _figures(loaded).items()}
    first, best = result["first"], result["best"]
    return _templates.get_template("report.html").render(
        title=str(result["prompt"] or result["model"]),
        result=result,
        warnings=_warnings(result),
        pictures=[
            (_file(folder / "first.png"), "First", f"{number(first['reward'])} {result['unit']}"),
            (_file(folder / "best.png"), f"Best, query {best['id'] + 1}", f"{number(best['reward'])} {result['unit']}"),
        ],
        found=_found(result, loaded.history),
        of_front=None if loaded.front is None else _of_front(loaded.front),
        of_diverse=None if loaded.diverse is None else _of_diverse(loaded.diverse, loaded.unit),
        of_elites=None if loaded.elites is None else _of_elites(loaded.elites),
        steps=[*_steps(loaded)],
        **{"front": None, **figures},
        spent=_spent(result),
        adapted=_adapted(result),
        config=_yaml(read_yaml(folder / CONFIG)),
        versions=_yaml(result.get("versions") or {}),
    )


def card(result: "Result") -> str:
    """Return first and best image, their rewards and the course of the search as a piece of HTML."""
    return _templates.get_template("card.html").render(
        result=result,
        pictures=[(label, _picture(found), number(found.reward)) for label, found in _first_and_best(result)],
        warnings=what_held_out_says(result.held_out),
        progress=embedded(progress_figure(result)),
        of_front=None if result.front is None else _of_front(result.front),
        of_diverse=None if result.diverse is None else _of_diverse(result.diverse, result.unit),
        of_elites=None if result.elites is None else _of_elites(result.elites),
        front=None if result.front is None else embedded(front_figure(result.front, result.history)),
    )


def _first_and_best(result: "Result") -> "tuple[tuple[str, Found], ...]":
    return ("first", result.first), ("best", result.best)


def _steps(result: "Result") -> Iterator[tuple[str, str, int]]:
    """Yield image, reward and query of some improvements, leaving out images that are no longer there."""
    for found in steps(result.improvements):
        with suppress(InputError):
            yield address(png_bytes(step_image(found))), number(found.reward), found.id + 1


def _of_front(front: "Front") -> dict[str, Any]:
    """Return what a report shows of a front beside its figure: words, images along it, and a table."""
    names = zip(front.rewards, front.units, strict=True)
    head = ("query", *(f"{name} ({unit})" if unit else name for name, unit in names))
    rows = [(str(row.id + 1), *map(number, row.rewards.values())) for row in front]
    return {
        "words": (
            f"{len(front)} candidates that no other beats in all rewards, each plausible and within all requirements. "
            f"Hypervolume {number(front.hypervolume)} ({front.unit}) above the reference point {front.stated}: "
            f"{front.source}."
        ),
        "images": [*_along(front)],
        "table": Table(head, rows),
    }


def _along(front: "Front") -> Iterator[tuple[str, list[str], int]]:
    """Yield image, rewards and query of some candidates along a front, leaving out images that are no longer there."""
    for place in spread(len(front), MOST):
        row = front.rows[place]
        with suppress(InputError):
            values = [f"{name} {number(value)}" for name, value in row.rewards.items()]
            yield address(png_bytes(step_image(row.found))), values, row.id + 1


def _of_diverse(diverse: "Diverse", unit: str) -> dict[str, Any]:
    """Return what a report shows of a diverse set: words, its images, and the distances of all pairs."""
    head = ("query", f"reward ({unit})" if unit else "reward", *(f"from {one.id + 1}" for one in diverse))
    rows = [
        (str(one.id + 1), number(one.reward), *map(number, apart))
        for one, apart in zip(diverse, diverse.distances, strict=True)
    ]
    return {
        "words": f"{diverse.words}. Each is plausible and within all requirements.",
        "shortfall": diverse.shortfall,
        "images": [*_members(diverse, unit)],
        "table": Table(head, rows),
    }


def _members(diverse: "Diverse", unit: str) -> Iterator[tuple[str, list[str], int]]:
    """Yield image, captions and query of the members of a diverse set, without images that are no longer there."""
    for member in diverse:
        with suppress(InputError):
            near = [] if member.nearest is None else [f"nearest {number(member.nearest)} away"]
            lines = [f"{number(member.reward)} {unit}".rstrip(), *near]
            yield address(png_bytes(step_image(member.found))), lines, member.id + 1


def _of_elites(elites: "Elites") -> dict[str, str]:
    """Return what a report shows of elites: words, and the image of every cell at its place; none if one is lost."""
    sheet = ""
    with suppress(InputError):
        sheet = address(png_bytes(elites_sheet(elites)))
    return {"words": f"{elites.words}. Each is plausible and within all requirements.", "sheet": sheet}


def _picture(found: "Found") -> str:
    return address(png_bytes(Image.fromarray(found.image)))


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
    notes += result.get("raters", {}).get("words", ())
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
