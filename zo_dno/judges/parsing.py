"""Scores and choices in a model's text; an ambiguous text is unreadable."""

import json
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from zo_dno.errors import ZoDnoError
from zo_dno.failures import one_line

LONGEST = 2**15  # characters; a longer text is no response to a request for one number
_EXCERPT = 80
_SCORE_KEYS = ("score", "rating")
_CHOICE_KEYS = ("better", "answer")
_MARKS = r"""[\s"'`*_:=<>\[({]{0,8}"""
_PLAIN = r"[0-9]+(?:\.[0-9]+)?(?![\w%]|[.,][0-9])"
# not part of a word, of another number, of a percentage or of a range such as 7-8 or 7 to 8
_NUMBER = rf"(?<![\w.,/-])[-+]?{_PLAIN}(?!\s?\(?(?:[-\u2013\u2014~]|to\b|or\b|and\b)\s?[0-9])"
_SCORE = rf"({_NUMBER})(?:{_MARKS}(?:/|out of)\s?({_PLAIN}))?"
_LABELLED = re.compile(
    rf"\b(?:{'|'.join(_SCORE_KEYS)}){_MARKS}(?:\([^()]{{0,40}}\))?{_MARKS}(?:is|of)?{_MARKS}{_SCORE}", re.IGNORECASE
)
_END = r"(?=\s*(?:[^\w\s]|\n|$))"  # so that 3/10 of the picture is no score
_FRACTION = re.compile(rf"({_NUMBER})\s?(?:/|out of)\s?({_PLAIN}){_END}", re.IGNORECASE)
_ALONE = re.compile(rf"[^\w+-]*{_SCORE}\W*", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+")


class UnreadableError(ZoDnoError):
    """A text without a score or a choice, or with more than one.

    Attributes:
        kind: Category that such responses are counted by.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def read_score(text: str, lowest: float, highest: float, *, cut: bool = False) -> float:
    """Read the one score in a text.

    A JSON object with a `score` counts first; else "Score: 7"; else "7/10" or "7 out of 10" at the end of a clause;
    else a number that is the last line, or all, of a text without other numbers.

    Args:
        text: Text of the response; reasoning up to </think> is skipped.
        lowest: Lowest score of the scale.
        highest: Highest score of the scale.
        cut: Whether the text is cut off, so that only a whole JSON object counts.
    Raises:
        UnreadableError: There is no score, there are several that differ, or the score is outside the scale.
    """
    text = _without_reasoning(text)
    found = [_number(value, text) for value in _values_in_json(text, _SCORE_KEYS)]
    if not found and cut:
        raise UnreadableError("cut off", f"the response was cut off before its score: {_quoted(text)}")
    found = found or _pairs(_LABELLED.finditer(text)) or _pairs(_FRACTION.finditer(text)) or _alone(text)
    if not found:
        raise UnreadableError("no score", f"there is no score in the response: {_quoted(text)}")
    if len(set(found)) > 1:
        several = " and ".join(f"{value:g}" for value in sorted({value for value, _ in found}))
        raise UnreadableError("no score", f"there are several scores in the response, {several}: {_quoted(text)}")
    value, of = found[0]
    if of is not None and of != highest:
        raise UnreadableError("no score", f"the score is out of {of:g}, not of {highest:g}: {_quoted(text)}")
    if not lowest <= value <= highest:
        raise UnreadableError("out of range", f"the score {value:g} is not from {lowest:g} to {highest:g}")
    return value


def read_choice(text: str, choices: Sequence[str], *, cut: bool = False) -> str:
    """Read the letter that a text chooses.

    A JSON object with `better` or `answer` counts first; else a line that ends with "Answer: A"; else a text that
    consists of the letter.

    Raises:
        UnreadableError: There is no choice, or more than one.
    """
    text = _without_reasoning(text)
    letters = "|".join(map(re.escape, choices))
    found = [_letter(value, letters, text) for value in _values_in_json(text, _CHOICE_KEYS)]
    if not found and cut:
        raise UnreadableError("cut off", f"the response was cut off before its choice: {_quoted(text)}")
    if not found:
        labels = "|".join(label for key in _CHOICE_KEYS for label in (key, key.capitalize()))
        line = rf"\b(?:{labels}){_MARKS}(?:is\b)?{_MARKS}(?:[Ii]mage )?({letters})\b[^\w\n]*$"
        found = re.findall(line, text, re.MULTILINE)
    alone = re.fullmatch(rf"\W*(?:image\s)?({letters})\W*", text, re.IGNORECASE)
    found = found or ([alone[1].upper()] if alone else [])
    if len(set(found)) != 1:
        raise UnreadableError("no choice", f"there is no one choice of {', '.join(choices)}: {_quoted(text)}")
    return str(found[0])


def _without_reasoning(text: str) -> str:
    """Remove the reasoning before the answer."""
    if len(text) > LONGEST:
        raise UnreadableError("no score", f"the response is longer than {LONGEST} characters")
    answer = text.rpartition("</think>")[2].strip()
    if answer.startswith("<think>"):
        raise UnreadableError("cut off", "the response was cut off while the model was thinking")
    return answer


def _values_in_json(text: str, keys: Collection[str]) -> list[Any]:
    """Collect the values of some keys of the JSON objects in a text, nested objects and repeated keys included."""
    found: list[Any] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found.extend(value for key, value in pairs if key.strip().lower() in keys)
        return dict(pairs)

    decoder, start = json.JSONDecoder(object_pairs_hook=note, strict=False), text.find("{")
    while start >= 0:
        before = len(found)
        try:
            _, end = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            del found[before:]
            end = start + 1
        start = text.find("{", end)
    return found


def _number(value: Any, text: str) -> tuple[float, float | None]:
    """Read a JSON value as a number, and the highest score that it names."""
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max:
        return (float(value), None)
    alone = _ALONE.fullmatch(value) if isinstance(value, str) else None
    if alone is None:
        raise UnreadableError("no score", f"the score is no number: {_quoted(text)}")
    return _pairs([alone])[0]


def _alone(text: str) -> list[tuple[float, float | None]]:
    """Read the last line as a number, if the text has no other number."""
    alone = _ALONE.fullmatch(text.rpartition("\n")[2])
    return _pairs([alone]) if alone and len(_DIGITS.findall(text)) == len(_DIGITS.findall(alone[0])) else []


def _pairs(matches: Iterable[re.Match[str]]) -> list[tuple[float, float | None]]:
    return [(float(match[1]), float(match[2]) if match[2] else None) for match in matches]


def _letter(value: Any, letters: str, text: str) -> str:
    match = re.fullmatch(rf"\W*(?:image\s)?({letters})\W*", value, re.IGNORECASE) if isinstance(value, str) else None
    if match is None:
        raise UnreadableError("no choice", f"the choice is none of {letters.replace('|', ', ')}: {_quoted(text)}")
    return match[1].upper()


def _quoted(text: str) -> str:
    text = one_line(text)
    return repr(text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]} ...")
