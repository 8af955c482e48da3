"""The state of a run: the content of its `result.json`, and whether a process works on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError
from zo_dno.results.stored import result_of
from zo_dno.storage.run_folder import RunFolder

IN_PROGRESS, STOPPED = "in progress", "stopped"
ENDED = ("finished", "target", "infeasible")
"""Statuses of a run that spent a budget or reached its target."""


@dataclass(frozen=True, slots=True)
class RunState:
    """The state of a run, read from its folder.

    Attributes:
        folder: Folder of the run.
        result: Content of `result.json`; empty where there is none yet, or it is damaged.
    """

    folder: Path
    result: dict[str, Any]

    @classmethod
    def of(cls, folder: Path) -> "RunState":
        """Read the state of the run in a folder."""
        try:
            result = result_of(folder)
        except InputError:
            result = {}
        return cls(folder, result)

    @property
    def name(self) -> str:
        """The state in words: "in progress" while a process works on it, its result's status, or "stopped"."""
        return IN_PROGRESS if RunFolder.is_held(self.folder) else str(self.result.get("status", STOPPED))

    @property
    def ended(self) -> bool:
        """Whether the run ended by itself: it spent a budget or reached its target."""
        return self.result.get("status") in ENDED

    @property
    def spent_another_budget(self) -> bool:
        """Whether money, time or denoiser calls ended the run before its queries did."""
        return self.result.get("stopped_by") not in (None, "queries")

    def has_completed(self, queries: int) -> bool:
        """Whether the result has at least so many completed queries."""
        return bool(self.result) and self.result["queries"] >= queries
