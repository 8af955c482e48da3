"""The board: the cards of all watched runs as HTML, read again where a run has changed."""

import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment

from zo_dno.judges.rating_store import RATINGS
from zo_dno.storage.run_folder import LEDGER, RESULT, RunFolder
from zo_dno.watch.card import Card, card_of
from zo_dno.watch.found import MOST_MEMBERS, MOST_SHOWN, Watched, find, is_member, listed, members
from zo_dno.watch.group import group_of
from zo_dno.watch.process import Holder, Processes, holder

_FILES = (LEDGER, f"{LEDGER}-wal", RESULT, RATINGS, f"{RATINGS}-wal", "failed.txt")  # whose change alters a card
_PAUSE = 1.0  # seconds between two looks at the runs
_SHARE = 10  # a run is read in a tenth of the time at most, as a long one takes seconds
_MOST_LIVE = 4  # cards of runs in progress below their group


@dataclass(slots=True)
class _Read:
    """A card, and when and for which state of its files it was read."""

    card: Card
    signature: tuple[object, ...]
    until: float


class Board:
    """The cards of runs, newest first.

    Args:
        folders: Folders of runs, of groups of runs, or above them.
        templates: Templates of the page.
        processes: The runs' processes.
        clock: Function that returns a time in seconds that never goes back.
    """

    def __init__(
        self,
        folders: Sequence[Path],
        templates: Environment,
        processes: Processes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folders, self._templates, self._processes, self._clock = folders, templates, processes, clock
        self._lock = threading.Lock()
        self._looked = -_PAUSE
        self._read: dict[Path, _Read] = {}
        self._html: dict[str, str] = {}
        self._runs: dict[str, Watched] = {}
        self._messages: dict[Path, str] = {}
        self.left_out = 0  # runs and groups that are not shown

    def cards(self) -> dict[str, str]:
        """Return the cards as HTML by their keys, in the order of the page."""
        with self._lock:
            if self._clock() >= self._looked + _PAUSE:
                self._look()
                self._looked = self._clock()
            return dict(self._html)

    def state(self) -> dict[str, Any]:
        """Return the keys of the cards in order, with a version of each, which changes with the card."""
        versions = {key: hashlib.sha256(html.encode()).hexdigest()[:16] for key, html in self.cards().items()}
        return {"cards": list(versions.items()), "left_out": self.left_out}

    def folder(self, key: str) -> Path | None:
        """Return the folder of a run or group that has a card; None if there is none."""
        found = self._runs.get(key)
        return None if found is None else found.folder

    def shows(self, key: str, sha256: str) -> Path | None:
        """Return the folder of the run whose card shows an image; None if there is none."""
        folder = self.folder(key)
        read = None if folder is None else self._read.get(folder)
        names = [] if read is None else [picture.sha256 for picture in read.card.pictures]
        return folder if sha256 in names else None

    def tell(self, folder: Path, message: str) -> None:
        """Show a message on the card of a run or group, in place of an earlier one."""
        with self._lock:
            self._messages[folder] = message
            self._looked = -_PAUSE + self._clock()

    def _look(self) -> None:
        found = find(self._folders)
        self.left_out = max(0, len(found) - MOST_SHOWN)
        shown: dict[str, Watched] = {}
        html: dict[str, str] = {}
        for watched in found[:MOST_SHOWN]:
            shown[watched.key] = watched
            if watched.kind == "run":
                html[watched.key] = self._of_run(watched)
            else:
                inside = members(watched)
                html[watched.key], live = self._of_group(watched, inside)
                for one in live:
                    shown[one.key] = one
                    html[one.key] = self._of_run(one)
        self._html, self._runs = html, shown

    def _of_run(self, watched: Watched) -> str:
        folder = watched.folder
        works = holder(folder)
        card = self._card(folder)
        if is_member(folder):  # Ctrl-C would end all runs of the group
            works, card = works and Holder(reason="It is stopped with its group."), replace(card, is_resumable=False)
        return self._templates.get_template("card.html").render(card=card, **self._about(watched, works))

    def _of_group(self, watched: Watched, inside: Sequence[Watched]) -> tuple[str, list[Watched]]:
        cards = [self._card(one.folder) for one in inside[:MOST_MEMBERS]]
        live = [one for one, card in zip(inside, cards, strict=False) if card.tone == "live"]
        runs, works = listed(watched), holder(watched.folder)
        named = {watched.folder / folder: name for folder, name in runs}
        names = [named.get(one.folder, "") for one in inside[:MOST_MEMBERS]]
        html = self._templates.get_template("group.html").render(
            group=group_of(watched.kind, cards, names, planned=len(runs), is_held=works is not None),
            unread=max(0, len(inside) - MOST_MEMBERS),
            **self._about(watched, works),
        )
        return html, live[:_MOST_LIVE]

    def _about(self, watched: Watched, works: Holder | None) -> dict[str, Any]:
        """Return what the cards of runs and of groups have in common."""
        folder = watched.folder
        return {
            "key": watched.key,
            "folder": _shown(folder),
            "holder": works,
            "is_stopping": self._processes.is_stopping(folder),
            "is_starting": works is None and self._processes.is_starting(folder),
            "message": self._messages.get(folder) or self._processes.failure(folder),
        }

    def _card(self, folder: Path) -> Card:
        signature = _signature(folder)
        known = self._read.get(folder)
        if known is not None and (known.signature == signature or self._clock() < known.until):
            return known.card
        began = self._clock()
        card = card_of(folder)
        ended = self._clock()
        self._read[folder] = _Read(card, signature, ended + _SHARE * (ended - began))
        return card


def _shown(folder: Path) -> str:
    """Return a folder as a command in the server's own folder would name it."""
    return str(folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder)


def _signature(folder: Path) -> tuple[object, ...]:
    """Return what changes with what a card shows."""
    found: list[object] = [RunFolder.is_held(folder)]
    for name in _FILES:
        with suppress(OSError):
            status = (folder / name).stat()
            found.append((name, status.st_mtime_ns, status.st_size))
    return tuple(found)
