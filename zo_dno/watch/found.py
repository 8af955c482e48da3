"""The folders that a page watches: runs, and groups of runs such as a comparison or many prompts."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from zo_dno.failures import one_line
from zo_dno.storage.plain_json import parse_json
from zo_dno.storage.run_folder import CONFIG

_MOST_BYTES = 2**22  # of a file that lists runs
_SHORT = 120  # characters of a name
MOST_SHOWN, MOST_MEMBERS = 12, 100  # runs and groups on the page; runs of a group
_GROUPS = {"comparison.yaml": "comparison", "prompts.json": "prompts", "draft.yaml": "draft"}  # file -> kind of group
_LISTS = {"comparison": "runs.json", "prompts": "prompts.json"}  # kind of group -> file that lists its runs
_DEEPEST, _MOST_FOLDERS = 4, 5000  # levels below a folder, and folders, in which runs are looked for


@dataclass(frozen=True, slots=True)
class Watched:
    """A run, or a group of runs.

    Attributes:
        folder: Its folder, absolute.
        kind: "run", or the kind of the group: "comparison", "prompts" or "draft".
        started: Time at which its folder was set up, in seconds since the epoch.
    """

    folder: Path
    kind: str
    started: float

    @property
    def key(self) -> str:
        """Name of the run in addresses of the page."""
        return hashlib.sha256(os.fsencode(self.folder)).hexdigest()[:16]


def find(folders: Sequence[Path]) -> list[Watched]:
    """Return the runs and groups in folders, those of each folder newest first; a group stands for its runs."""
    found: dict[Path, Watched] = {}
    for folder in folders:
        below = islice(_walk(folder.resolve(), _DEEPEST), _MOST_FOLDERS)
        inside = [one for path in below if (one := _watched(path)) is not None]
        for one in sorted(inside, key=lambda one: one.started, reverse=True):
            found.setdefault(one.folder, one)
    return list(found.values())


def members(group: Watched) -> list[Watched]:
    """Return the runs of a group, in the order of their names."""
    below = islice(_walk(group.folder, _DEEPEST, inside=True), _MOST_FOLDERS)
    inside = [one for path in below if (one := _watched(path)) is not None and one.kind == "run"]
    return sorted(inside, key=lambda one: one.folder)


def listed(group: Watched) -> list[tuple[str, str]]:
    """List a group's runs, also those that have not begun: folder and name; empty where that cannot be read.

    Only a comparison names its runs: strategies of one name may have other options.
    """
    if group.kind == "draft":
        return [("draft", ""), ("full", "")]
    file = group.folder / _LISTS[group.kind]
    with suppress(OSError, ValueError, TypeError, LookupError):
        if file.stat().st_size <= _MOST_BYTES:
            kept = parse_json(file.read_bytes())
            if group.kind != "comparison":
                return [("", "") for _ in kept]
            return [
                (str(one["folder"]), one_line(f"{one['entry']} for {one['reward']}", _SHORT)) for one in kept["runs"]
            ]
    return []


def is_member(folder: Path) -> bool:
    """Whether a run belongs to a comparison, many prompts or a draft, whose process works on all of its runs."""
    return any((above / name).is_file() for above in list(folder.parents)[:2] for name in _GROUPS)


def _walk(folder: Path, levels: int, *, inside: bool = False) -> Iterator[Path]:
    """Yield a folder and those below it; nothing below a run, or a group unless the walk begins `inside` of it."""
    yield folder
    if levels == 0 or (not inside and _watched(folder) is not None):
        return
    with suppress(OSError):  # a folder that is gone, or that this user cannot read
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _walk(Path(entry.path), levels - 1)


def _watched(folder: Path) -> Watched | None:
    for name, kind in {**_GROUPS, CONFIG: "run"}.items():
        with suppress(OSError):
            return Watched(folder, kind, (folder / name).stat().st_mtime)
    return None
