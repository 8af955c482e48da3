"""The dialect of a judge's server: fields that it takes by another name, with another value, or not at all.

It starts from the server's preset and is learnt from its refusals. What was learnt is kept in the run's folder.
"""

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from zo_dno.errors import StorageError
from zo_dno.failures import one_line
from zo_dno.judges.refusals import Refusal
from zo_dno.judges.servers import Server
from zo_dno.reward import Adaptation
from zo_dno.storage.atomic import write_text
from zo_dno.storage.plain_json import parse_json

log = logging.getLogger(__name__)
KEPT = "judge-{}.json"
_LIMITS = ("max_tokens", "max_completion_tokens")
_SEEDS = ("seed", "random_seed")
_DROPPED = ("temperature", "response_format", *_SEEDS)
_LIKELIEST = "top_logprobs"
_FEWER = 5  # likely tokens, which servers that refuse 20 give
ADAPTED = (*_LIMITS, *_DROPPED, _LIKELIEST)
"""Fields that may be dropped, renamed or given another value."""
_OPTION = {
    **dict.fromkeys(_LIMITS, "max_answer=NUMBER"),
    **dict.fromkeys(("logprobs", _LIKELIEST), "mode=rubric, which needs no probabilities"),
    "temperature": "temperature=NUMBER",
    "response_format": "structured=no",
    "model": "model=NAME",
    "messages": "model=NAME of one that takes images",
    "image_url": "model=NAME of one that takes images",
}
_RESUME = "zo-dno resume takes that too while nothing has a score"
_TOO_LONG = re.compile(r"context (?:length|window|size)|too (?:long|many tokens)", re.IGNORECASE)
_LARGEST = 2**20  # bytes of what a run keeps


@dataclass(slots=True)
class Dialect:
    """The dialect of one judge.

    Args:
        changes: Field -> its name or value from now on; None leaves it out.
    """

    changes: dict[str, str | int | None]

    @classmethod
    def of(cls, server: Server) -> "Dialect":
        """Return what a preset says of its server."""
        changes: dict[str, str | int | None] = {}
        if server.most_tokens != "max_tokens":
            changes["max_tokens"] = server.most_tokens
        if server.seed != "seed":
            changes["seed"] = server.seed or None
        return cls(changes)

    def spoken(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the body of a request as the server takes it; fields that are None are left out."""
        said: dict[str, Any] = {}
        for name, value in body.items():
            change = self.changes.get(name, name)
            if value is None or change is None:
                continue
            said[change if isinstance(change, str) else name] = change if isinstance(change, int) else value
        return said

    def learn(self, refusal: Refusal, body: Mapping[str, Any], posted: Mapping[str, Any]) -> str | None:
        """Learn from a refusal.

        Args:
            refusal: Words of the server.
            body: Body of the request before the dialect.
            posted: Body as it was sent.
        Returns:
            The field that is now sent otherwise; None where nothing can be changed.
        """
        own = {sent: name for name in ADAPTED if name in body for sent in (self._sent_as(name),) if sent in posted}
        field = refusal.field_of(posted.keys())
        if field == "logprobs" and refusal.is_about_value():
            field = _LIKELIEST  # vLLM means their number
        if field is None or field not in own:
            return None
        name = own[field]
        if name == _LIKELIEST:
            return self._fewer(refusal, posted)
        if name in _LIMITS and (refusal.is_about_value() or name in self.changes):
            return None  # its number is wrong, or both names are refused
        other = {"max_tokens": "max_completion_tokens", "max_completion_tokens": "max_tokens", "seed": "random_seed"}
        renamed = name in _LIMITS or (
            name == "seed" and refusal.instead() == "random_seed" and name not in self.changes
        )
        self.changes[name] = other[name] if renamed else None
        return name

    def _sent_as(self, name: str) -> str:
        change = self.changes.get(name, name)
        return change if isinstance(change, str) else name

    def _fewer(self, refusal: Refusal, posted: Mapping[str, Any]) -> str | None:
        named = refusal.highest()
        fewer = named if named and named < posted[_LIKELIEST] else _FEWER
        if fewer >= posted[_LIKELIEST]:
            return None
        self.changes[_LIKELIEST] = fewer
        return _LIKELIEST


def advice(refusal: Refusal, posted: Mapping[str, Any], extra: Mapping[str, Any]) -> str:
    """Name the option that changes what a server refused, "" where none is known."""
    field = refusal.field_of({*posted, "image_url", *_LIMITS})
    if field in extra:
        return f". It comes from --reward-option extra=..., without it the field is left out; {_RESUME}"
    if _TOO_LONG.search(refusal.message):
        return f". Change it with --reward-option image_size=NUMBER or max_answer=NUMBER; {_RESUME}"
    known = _OPTION.get(field or "")
    return f". Change it with --reward-option {known}; {_RESUME}" if known else ""


class Dialects:
    """The dialects of a reward's judges, and what of them was learnt.

    Args:
        server: Preset of the server.
        reward: Name of the reward.
    """

    def __init__(self, server: Server, reward: str) -> None:
        self._server, self._reward = server, reward
        self._of: dict[str, Dialect] = {}
        self._learnt: dict[tuple[str, str], Adaptation] = {}
        self._path: Path | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Take what is known to other processes, but not the file: they may be on other machines."""
        return {**vars(self), "_path": None}

    def of(self, judge: str) -> Dialect:
        """Return the dialect of a judge's server."""
        return self._of.setdefault(judge, Dialect.of(self._server))

    @property
    def learnt(self) -> list[Adaptation]:
        """What was learnt from refusals."""
        return [*self._learnt.values()]

    def note(self, judge: str, field: str, reason: str) -> None:
        """Keep what was learnt about a field, and say it once."""
        change = self.of(judge).changes[field]
        one = Adaptation(self._reward, judge, field, change, one_line(reason, 300))
        said = self._learnt.get((judge, field))
        self._learnt[judge, field] = one
        if said is None or said.now != change:
            log.warning("%s; it refused: %s", one, one.reason)
        if self._path is not None:
            try:
                write_text(self._path, json.dumps([asdict(known) for known in self.learnt], indent=2) + "\n")
            except StorageError as error:
                log.warning("%s; a resumed run will ask for it again.", error)

    def keep_in(self, path: Path) -> None:
        """Keep what is learnt in a file, and take what it holds already."""
        self._path = path
        for one in kept(path):
            if one.field in ADAPTED and _fits(one):
                self._learnt[one.judge, one.field] = one
                self.of(one.judge).changes[one.field] = one.now


def kept(path: Path) -> list[Adaptation]:
    """Read what a run keeps of a server's refusals; what cannot be read counts as nothing, and is learnt again."""
    try:
        return _FORM.validate_python(parse_json(path.read_bytes(), largest=_LARGEST))
    except (OSError, ValueError, ValidationError):
        return []


def kept_in(folder: Path) -> list[Adaptation]:
    """Read what all judges of a run learnt."""
    return [one for path in sorted(folder.glob(KEPT.format("*"))) for one in kept(path)]


def _fits(one: Adaptation) -> bool:
    if one.now is None:
        return one.field in _DROPPED
    if isinstance(one.now, int):
        return one.field == _LIKELIEST and 0 < one.now <= 20
    return one.now in {*_LIMITS, *_SEEDS}


_FORM = TypeAdapter(list[Adaptation])


def takes_no_temperature(learnt: Iterable[Adaptation]) -> bool:
    """Whether a server refused the temperature, so that it samples as it likes."""
    return any(one.field == "temperature" and one.now is None for one in learnt)
