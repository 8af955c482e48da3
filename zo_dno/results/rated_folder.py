"""A run in a folder, as its raters see it."""

import math
import shlex
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError, ZoDnoError
from zo_dno.judges.rated_run import Plan, RatedRun, RunEnd
from zo_dno.results.state import ENDED
from zo_dno.results.stored import result_of
from zo_dno.results.verdict import CONVINCING, what_choices_say
from zo_dno.storage.atomic import read_yaml
from zo_dno.storage.images import image_hash, read_png
from zo_dno.storage.run_folder import CONFIG, RESULT, RunFolder

_TITLES = {
    "finished": "The search has finished",
    "target": "The search has reached its target",
    "infeasible": "The search has finished, but no image may win",
    "paused": "The search is paused",
}
_STOPPED = "The search was stopped"


class RatedFolder(RatedRun):
    """The run in a folder.

    Args:
        folder: Folder of the run.
    Attributes:
        name: Path of the folder, as a shell takes it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self.name = folder, shlex.quote(str(folder))
        self._end: tuple[int, RunEnd] | None = None

    def is_searching(self) -> bool:
        return RunFolder.is_held(self._folder)

    def plan(self) -> Plan | None:
        config = self._config()
        queries = config.get("queries")
        if not isinstance(queries, int):
            return None
        return Plan(queries, exact=config.get("reward") == "human" and not config.get("require"))

    def end(self) -> RunEnd | None:
        try:
            written = (self._folder / RESULT).stat().st_mtime_ns
            if self._end is None or self._end[0] != written:  # pages look every few seconds
                self._end = written, self._read_end()
        except (ZoDnoError, OSError):
            return None
        return self._end[1]

    def _read_end(self) -> RunEnd:
        result = result_of(self._folder)
        first, best = self._folder / "first.png", self._folder / "best.png"
        more = f" --queries {2 * result['queries']}" if result["status"] in ENDED else ""
        return RunEnd(
            title=_TITLES.get(result["status"], _STOPPED),
            first=image_hash(read_png(first)),
            best=result["best"]["image"],
            first_png=first.read_bytes(),
            best_png=best.read_bytes(),
            prompt=result["prompt"],
            words=tuple(_meaning(result)),
            resume=f"zo-dno resume {self.name}{more}",
            near=self._nearer() if result["status"] in ENDED and result["best"]["feasible"] else "",
        )

    def _nearer(self) -> str:
        """Return the command of a search near the best image at a distance that a rater chooses."""
        config, usual = self._config(), {"reward": "human", "strategy": "auto", "space": "all", "init": None}
        if any(config.get(name) not in (value, None) for name, value in usual.items()):
            return ""  # of another strategy, which may search all of the noise, or of objects that have no name
        out = shlex.quote(f"{self._folder}-near")
        return f"zo-dno run {shlex.quote(str(self._folder / CONFIG))} --near {self.name} --distance ask --out {out}"

    def _config(self) -> dict[str, Any]:
        try:
            return read_yaml(self._folder / CONFIG)
        except InputError:
            return {}


def _meaning(result: dict[str, Any]) -> list[str]:
    """Say what the choices behind a result mean, and nothing that random clicks would make true as well."""
    choices, evidence, best = result.get("choices", 0), result.get("evidence"), result["best"]
    if not choices or (not best["id"] and evidence is None):  # no winner but the first image
        return []
    learned = what_choices_say(choices, evidence)
    if learned is None or evidence is None:
        return ["Whether there is more than luck behind this was not measured: the winner of many is in part lucky."]
    found = [f"{learned}."]
    error = best.get("error")
    if evidence >= CONVINCING and error and best["reward"]:
        low, high = (100 / (1 + math.exp(-(best["reward"] + sign * error))) for sign in (-1, 1))
        found.append(
            f"By all choices together, it would be preferred to the first image in about {low:.0f} to {high:.0f} of "
            "100 choices (within one standard error)."
        )
    return found
