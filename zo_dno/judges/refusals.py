"""What a server's refusal says about the fields of a request."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from zo_dno.failures import one_line
from zo_dno.storage.plain_json import parse_json

_REFUSES = re.compile(
    r"not (?:support|enabled|allowed|permitted|available|accepted|recogni|valid|implemented)|unsupported|unknown"
    r"|unrecogni|unexpected|unavailable|invalid|extra (?:input|field)|forbidden|deprecat|disallow|refus|remove|requires"
    r"|does ?n[o']t (?:support|allow|accept)|cannot find|can(?:no|')t be|must be|should be"
    r"|only\b.*\b(?:support|allow|accept|permit)|too (?:large|high|many)|greater than|less than|at most|maximum|exceed",
    re.IGNORECASE,
)
_OF_VALUE = re.compile(
    r"too (?:large|high|many|long|small|low)|greater than|less than|at most|at least|maximum|minimum|exceed|larger"
    r"|out of range|between|[<>]=?",
    re.IGNORECASE,
)
_HIGHEST = re.compile(
    r"(?:less than or equal to|at most|max(?:imum)?(?: allowed| of)?(?: is|:)?|<=|up to|between \d+ and|range \[?\d+,)"
    r"\s*(\d{1,3})\b",
    re.IGNORECASE,
)
_ENGLISH = ("temperature", "seed", "stop", "model", "messages")
_OF_PARAMETERS = re.compile(r"param|argument|field|value|support|deprecat|must be|should be|key\b", re.IGNORECASE)
_WORDS_OF_OTHERS = 500  # characters: a longer message may repeat the request, and names every field
_INSTEAD = re.compile(r"['\"`]?([a-z_]{3,40})['\"`]? (?:instead|rather)", re.IGNORECASE)


class Refusal:
    """The words of a server that refused a request with 400 or 422.

    Args:
        content: Content of the response.
        sent: Texts of the request, which a server may repeat.
    Attributes:
        message: What the server says, in one line.
    """

    def __init__(self, content: str, sent: Iterable[str] = ()) -> None:
        try:
            found = parse_json(content)
        except ValueError:
            found = content
        self._named = [*_places(found)]
        words = " ".join(dict.fromkeys(_messages(found))) or content
        for text in sent:
            words = words.replace(text, "")
        self.message = one_line(words, _WORDS_OF_OTHERS)

    def field_of(self, fields: Collection[str]) -> str | None:
        """Return the first of the fields that is refused; None where none is.

        A field counts that the response gives as the place of the error, or that stands in its words beside words that
        refuse. An English word counts in quotation marks, or in words about parameters.
        """
        for name in self._named:
            if name in fields:
                return name
        if not _REFUSES.search(self.message):
            return None
        found = [(place, name) for name in fields if (place := self._place(name)) is not None]
        return min(found)[1] if found else None

    def is_about_value(self) -> bool:
        """Whether the value is refused, and not the field."""
        return bool(_OF_VALUE.search(self.message))

    def highest(self) -> int | None:
        """Return the highest value that the server names."""
        found = _HIGHEST.search(self.message)
        return int(found[1]) if found else None

    def instead(self) -> str | None:
        """Return the field that the server names to be used instead."""
        found = _INSTEAD.search(self.message)
        return found[1] if found else None

    def _place(self, name: str) -> int | None:
        quoted = re.search(rf"(?<![\w.])['\"`]{name}['\"`]|\b{name}\s*[:=]|\bparameter\W+{name}\b", self.message, re.I)
        plain = re.search(rf"(?<![\w.'/]){name}(?![\w'/])", self.message, re.IGNORECASE)
        if name in _ENGLISH and not _OF_PARAMETERS.search(self.message):
            plain = None
        found = quoted or plain
        return found.start() if found else None


def _places(found: Any) -> Iterable[str]:
    """Yield the fields that an error gives as its place: `param`, `loc`, `field`."""
    for error in _errors(found):
        for key in ("param", "loc", "field"):
            value = error.get(key)
            if isinstance(value, str):
                yield re.split(r"[.\[]", value)[0]
            elif isinstance(value, list):
                yield from (str(one) for one in value[:4] if one != "body")
        for text in _texts(error):
            yield from re.findall(r"Unknown name \"(\w{1,40})\"", text)


def _messages(found: Any) -> Iterable[str]:
    for error in _errors(found):
        yield from _texts(error)
    if isinstance(found, str):
        yield found


def _texts(error: dict[str, Any]) -> Iterable[str]:
    for key in ("message", "msg", "detail", "description", "error"):
        if isinstance(error.get(key), str):
            yield error[key]


def _errors(found: Any, depth: int = 0) -> Iterable[dict[str, Any]]:
    """Yield an error object and those in it; some servers write one as JSON into the message of another."""
    if depth > 5:
        return
    if isinstance(found, str) and found.lstrip()[:1] in ("{", "["):
        try:
            found = parse_json(found)
        except ValueError:
            return
    if isinstance(found, list):
        for one in found[:20]:
            yield from _errors(one, depth + 1)
    if isinstance(found, dict):
        yield found
        for key in ("error", "detail", "message", "details", "errors", "fieldViolations"):
            if isinstance(found.get(key), dict | list | str):
                yield from _errors(found[key], depth + 1)
