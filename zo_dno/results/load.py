"""The result of a run, read back from its folder."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zo_dno.errors import InputError, given, sentence
from zo_dno.failures import one_line
from zo_dno.results.diverse import Diverse
from zo_dno.results.elites import Elites
from zo_dno.results.front import Front
from zo_dno.results.outputs import files_of
from zo_dno.results.result import Result
from zo_dno.results.stored import result_of
from zo_dno.results.verdict import why_infeasible
from zo_dno.search import best_of_n
from zo_dno.search.archive import Archive, Found
from zo_dno.search.elites import Grid
from zo_dno.search.recorded import found_of
from zo_dno.search.reevaluation import Standing
from zo_dno.storage.artifacts import Artifacts
from zo_dno.storage.images import UnreadableImageError, read_png
from zo_dno.storage.ledger import BASELINE, Ledger, QueryRow
from zo_dno.storage.noise_files import load_noise
from zo_dno.storage.run_folder import DIVERSE_FOLDER, ELITES_FOLDER, FRONT_FOLDER, LEDGER, check_is_run, damage_named


def load(run: str | Path) -> Result:
    """Read a run's result back from its folder. Nothing is rendered, scored or changed.

    An image that was not kept raises an error when it is read; those of first, best and `top` are always there. Noise
    that was not kept is NaN; that of best and of several in `top` is always there.

    Args:
        run: Folder of the run.
    Raises:
        InputError: The folder holds no run, or one without a result yet.
    """
    if not isinstance(run, str | PathLike):
        raise InputError(f"run must be the folder of a run; got {given(run)}.")
    path = Path(run)
    check_is_run(path)
    result = result_of(path)
    with damage_named(path):
        return _loaded(path, result)


def _loaded(path: Path, result: dict[str, Any]) -> Result:
    ledger = Ledger(path / LEDGER, read_only=True)
    rows, prior = ledger.queries("search"), ledger.queries(BASELINE)
    config, populations = ledger.get("config") or {}, ledger.populations()
    artifacts = Artifacts(path, known=ledger.artifacts())
    ledger.close()
    constrained = config.get("min_log_prob", "1%") is not None
    history = [row for row in rows if row.completed]
    reader = _Reader(path, artifacts, load_noise(path), constrained=constrained)
    best = reader.found(_row(history, result["best"]["id"]), "best.png", reader.best_z)
    if "answers" in result["best"]:  # the mean of several
        kept = result["best"]
        best = replace(best, reward=kept["reward"], n_scores=kept["answers"], error=kept["error"])
    unmet: dict[str, int] = result.get("unmet", {})
    return Result(
        **{name: result[name] for name in _AS_THEY_ARE},
        first=reader.found(history[0], "first.png", reader.best_z if history[0].id == best.id else None),
        best=best,
        top=tuple(reader.of_top(_row(history, one["id"]), place) for place, one in enumerate(result["top"], 1)),
        improvements=tuple(map(reader.found, _improvements(history, len(reader.best_z), constrained=constrained))),
        history=tuple(history),
        held_out={name: (both["first"], both["best"]) for name, both in result["held_out"].items()},
        baseline=_baseline(result["baseline"], prior, rows, populations[0].size, constrained=constrained),
        folder=path,
        infeasible=None if best.feasible else why_infeasible(history, unmet, constrained=constrained),
        unmet=unmet,
        scales={name: (mean, deviation) for name, (mean, deviation) in result.get("scales", {}).items()},
        repeats=tuple(Standing(**one) for one in result.get("repeats", ())),
        noise=result.get("noise"),
        unasked=result.get("unasked"),
        spent=result.get("spent"),
        images=result.get("images", result["queries"]),
        unused_images=result.get("unused_images", 0),
        strategy_images=result.get("strategy_images", 0),
        choices=result.get("choices", 0),
        raters=result.get("raters", {}),
        evidence=result.get("evidence"),
        chosen=result.get("chosen"),
        hint=result.get("hint"),
        front=_front(result.get("front"), history, reader),
        diverse=_diverse(result.get("diverse"), history, reader),
        elites=_elites(result.get("elites"), history, reader),
        lowest_log_prob=result.get("lowest_log_prob"),
    )


_AS_THEY_ARE = (
    *("status", "prompt", "model", "reward", "unit", "strategy", "seed", "queries", "nfe", "failed_queries"),
    *("cached_queries", "stopped_by", "cost", "tokens", "drift", "seconds"),
)


class _Reader:
    """Makes archive entries from the rows and the files of a run."""

    def __init__(self, folder: Path, artifacts: Artifacts, best_z: Tensor, *, constrained: bool) -> None:
        self._folder, self._artifacts, self._constrained = folder, artifacts, constrained
        self.best_z = best_z

    def found(self, row: QueryRow, name: str | None = None, z: Tensor | None = None) -> Found:
        """Read one candidate; `name` is a file that always has its image."""
        if z is None:
            z = self._artifacts.noise("search", row.id)
        if z is None:
            z = torch.full_like(self.best_z, torch.nan)
        return found_of(row, z, partial(self._image, row, name), constrained=self._constrained)

    def of_top(self, row: QueryRow, place: int) -> Found:
        """Read one of the best that differ from each other."""
        name = f"top/{place:02d}.png"
        kept = (self._folder / name).exists()
        return self.found(row, name if kept else "best.png", load_noise(self._noise(place)) if kept else self.best_z)

    def of_several(self, row: QueryRow, folder: str, place: int) -> Found:
        """Read a candidate of several in a folder of their own."""
        image, noise = files_of(self._folder / folder, place)
        return self.found(row, str(image.relative_to(self._folder)), load_noise(noise))

    def _noise(self, place: int) -> Path:
        return self._folder / "top" / f"{place:02d}.safetensors"

    def _image(self, row: QueryRow, name: str | None) -> np.ndarray:
        kept = self._artifacts.image(row.image) if name is None else self._picture(self._folder / name)
        if kept is None:
            raise InputError(
                f"image of candidate {row.id} was not kept in {self._folder}. Keep more with keep_images=1."
            )
        return kept

    def _picture(self, path: Path) -> np.ndarray:
        try:
            return read_png(path)
        except UnreadableImageError as error:
            reason = sentence(one_line(str(error)))
            raise InputError(
                f"image {path} cannot be used: {reason} Write it again: zo-dno resume {self._folder}"
            ) from error


def _front(kept: dict[str, Any] | None, history: Sequence[QueryRow], reader: _Reader) -> Front | None:
    """Read the front of a run."""
    if kept is None:
        return None
    found = [
        reader.of_several(_row(history, one["id"]), FRONT_FOLDER, place) for place, one in enumerate(kept["rows"], 1)
    ]
    return Front.of(found, kept["rewards"], kept["units"], kept["reference"], kept["source"])


def _diverse(kept: dict[str, Any] | None, history: Sequence[QueryRow], reader: _Reader) -> Diverse | None:
    """Read the diverse set of a run."""
    if kept is None:
        return None
    members = enumerate(kept["members"], 1)
    found = [reader.of_several(_row(history, one["id"]), DIVERSE_FOLDER, place) for place, one in members]
    distances = np.array(kept["distances"], float)
    return Diverse.of(found, distances, kept["apart"], kept["size"], kept["least"], kept["usual"])


def _elites(kept: dict[str, Any] | None, history: Sequence[QueryRow], reader: _Reader) -> Elites | None:
    """Read the elites of a run."""
    if kept is None:
        return None
    grid = Grid(tuple(kept["measures"]), tuple((low, high) for low, high in kept["ranges"]), kept["cells"])
    rows = enumerate(kept["rows"], 1)
    found = {tuple(one["cell"]): reader.of_several(_row(history, one["id"]), ELITES_FOLDER, n) for n, one in rows}
    return Elites.of(found, grid, kept["offset"], kept["source"])


def _row(history: Sequence[QueryRow], id_: int) -> QueryRow:
    for row in history:
        if row.id == id_:
            return row
    raise LookupError(f"candidate {id_} has no score in the ledger")


def _improvements(history: Sequence[QueryRow], d: int, *, constrained: bool) -> list[QueryRow]:
    """Return the rows of the first candidate with a score and of every new best, as an archive ranks them."""
    archive, rows, no_noise = Archive(0), {row.id: row for row in history}, torch.full((d,), torch.nan)
    for row in history:
        archive.offer(found_of(row, no_noise, _no_image, constrained=constrained))
    return [rows[found.id] for found in archive.improvements]


def _no_image() -> np.ndarray:
    raise AssertionError("an archive without a top looks at no image")


def _baseline(
    kept: dict[str, Any] | None,
    measured: Sequence[QueryRow],
    rows: Sequence[QueryRow],
    first: int,
    *,
    constrained: bool,
) -> best_of_n.Baseline | None:
    """Compute the curve of best-of-N again, from the same scores.

    Args:
        kept: Entry of `result.json`.
        measured: Scored prior draws.
        rows: Queries of the search.
        first: Size of the first population, the prior draws of a run that does not say how many it had.
        constrained: Whether a winner must be plausible.
    """
    if kept is None:
        return None
    if kept["measured"]:
        return best_of_n.measured([row for row in measured if row.completed], constrained=constrained)
    highest = math.inf if kept["reward"] is None else kept["reward"]  # which the estimate rises to
    return best_of_n.estimated(rows[: kept.get("draws", first)], kept["queries"], highest)
