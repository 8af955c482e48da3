"""Scores and choices in a model's text; an ambiguous text is unreadable."""

import json
import re
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from zo_dno.errors import InputError, ZoDnoError
from zo_dno.failures import one_line
from zo_dno.judges.reasoning import boxed, outside_tags, plain, without_reasoning

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
_FINAL = r"(?:final|overall|total)(?: (?:score|rating|answer|verdict|mark))?|(?:answer|verdict|mark|grade)"
_END = r"(?=\s*(?:[^\w\s]|\n|$))"  # so that 3/10 of the picture is no score
_FRACTION = re.compile(rf"({_NUMBER})\s?(?:/|out of)\s?({_PLAIN}){_END}", re.IGNORECASE)
_FINALLY = re.compile(rf"\b(?:{_FINAL}){_MARKS}(?:is\b)?{_MARKS}{_SCORE}{_END}", re.IGNORECASE)
_WHAT = r"(?:it|this|that|(?:this|the) (?:image|picture|one|result))"
_RATED = re.compile(
    rf"\bI(?:['\u2019](?:d|ll)| would| will)?\s+(?:rate|give|score|grade)\s+{_WHAT}\s+"
    rf"(?:(?:as|at|with)\s+)?(?:an?\s+)?(?:(?:score|rating)\s+of\s+)?{_MARKS}{_SCORE}{_END}",
    re.IGNORECASE,
)
_ALONE = re.compile(rf"[^\w+-]*{_SCORE}\W*", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]+")
_LONGEST_PATTERN = 500  # characters
_CUT_OFF = "Raise max_answer, the most tokens of a response"


class UnreadableError(ZoDnoError):
    """A text without a score or a choice, or with more than one.

    Attributes:
        kind: Category that such responses are counted by.
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


def read_score(text: str, lowest: float, highest: float, *, cut: bool = False, pattern: str = "") -> float:
    """Read the one score in a text.

    Reasoning inside its marks is no answer (`zo_dno.judges.reasoning`). Of the rest, the first of these counts: a JSON
    object with a `score`; what stands in tags or boxes of an answer; "Score: 7", "Overall: 7" or "Answer: 7"; "7/10" or
    "7 out of 10" at the end of a clause; "I'd rate it 7." or a number that is the last line, or all, of a text without
    other numbers. Numbers that disagree there are no score.

    Args:
        text: Text of the response.
        lowest: Lowest score of the scale.
        highest: Highest score of the scale.
        cut: Whether the text is cut off, so that only a whole JSON object counts.
        pattern: Regular expression whose group is the score; then nothing else counts.
    Raises:
        UnreadableError: There is no score, there are several that differ, or the score is outside the scale.
    """
    answer = _answer(text, _SCORE_KEYS, by_pattern=bool(pattern))
    found = [_number(value, answer.text) for value in answer.values]
    if not found and cut:
        raise UnreadableError("cut off", f"the response was cut off before its score: {_quoted(text)}. {_CUT_OFF}")
    if pattern:
        found = [_number(match, answer.text) for match in _matched(pattern, answer.text)]
    for boxes in () if found or pattern else answer.boxes:
        found += _in_words(boxes) or _alone_in(boxes)
    found = found or ([] if pattern else _in_words(answer.text))
    if not found:
        raise answer.unreadable("no score", f"there is no score in the response: {_quoted(answer.text or text)}")
    if len(set(found)) > 1:
        several = " and ".join(f"{value:g}" for value in sorted({value for value, _ in found}))
        raise UnreadableError("no score", f"there are several scores in the response, {several}: {_quoted(text)}")
    value, of = found[0]
    if of is not None and of != highest:
        raise UnreadableError("no score", f"the score is out of {of:g}, not of {highest:g}: {_quoted(text)}")
    if not lowest <= value <= highest:
        raise UnreadableError("out of range", f"the score {value:g} is not from {lowest:g} to {highest:g}")
    return value


def read_choice(text: str, choices: Sequence[str], *, cut: bool = False, pattern: str = "") -> str:
    """Read the letter that a text chooses.

    Reasoning inside its marks is no answer. A JSON object with `better` or `answer` counts first; else what stands in
    tags or boxes of an answer; else a line that ends with "Answer: A"; else a text that consists of the letter.

    Args:
        text: Text of the response.
        choices: Letters to choose from.
        cut: Whether the text is cut off, so that only a whole JSON object counts.
        pattern: Regular expression whose group is the letter; then nothing else counts.
    Raises:
        UnreadableError: There is no choice, or more than one.
    """
    answer = _answer(text, _CHOICE_KEYS, by_pattern=bool(pattern))
    letters = "|".join(map(re.escape, choices))
    found = [_letter(value, letters, text) for value in answer.values]
    if not found and cut:
        raise UnreadableError("cut off", f"the response was cut off before its choice: {_quoted(text)}. {_CUT_OFF}")
    if pattern:
        found = [_letter(match, letters, text) for match in _matched(pattern, answer.text)]
    for part in () if found or pattern else (*answer.boxes, answer.text):
        found += _letters_in(part, letters) if part != answer.text or not found else []
    if len(set(found)) != 1:
        raise answer.unreadable("no choice", f"there is no one choice of {', '.join(choices)}: {_quoted(text)}")
    return str(found[0])


def checked_pattern(pattern: str) -> str:
    """Check a regular expression that answers are read by.

    Raises:
        InputError: It is too long, cannot be compiled, or has not exactly one group.
    """
    example = r"such as 'Grade: (\d+)'"
    try:
        groups = re.compile(pattern).groups if len(pattern) <= _LONGEST_PATTERN else 0
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(f"pattern must be a regular expression, {example}; got {pattern!r}: {error}.") from error
    if pattern and groups != 1:
        raise InputError(
            f"pattern must have one group, {example}, and at most {_LONGEST_PATTERN} characters; got "
            f"{one_line(pattern, 100)!r}."
        )
    return pattern


@dataclass(frozen=True, slots=True)
class _Answer:
    """What of a response may be the answer.

    Attributes:
        text: Text outside reasoning and, where there is no JSON, outside other elements.
        values: Values in JSON objects.
        boxes: Texts inside tags and boxes of an answer.
        thinking: Whether the text ends within reasoning.
    """

    text: str
    values: Sequence[Any]
    boxes: Sequence[str]
    thinking: bool

    def unreadable(self, kind: str, message: str) -> UnreadableError:
        """Build the error for an answer without a score or a choice."""
        if self.thinking:
            message = f"the response was cut off while the model was thinking. {_CUT_OFF}"
        return UnreadableError("cut off" if self.thinking else kind, message)


def _answer(text: str, keys: Collection[str], *, by_pattern: bool = False) -> _Answer:
    if len(text) > LONGEST:
        raise UnreadableError("no score", f"the response is longer than {LONGEST} characters")
    text, end = without_reasoning(plain(text))
    if end < len(text):  # in the middle of reasoning; an object that began before it counts
        values = [] if by_pattern else _values_in_json(text, keys, end)
        return _Answer(text[:end].strip(), values, (), thinking=True)
    if by_pattern:
        return _Answer(text, (), (), thinking=False)
    outside, boxes = outside_tags(text), boxed(text)
    values = [value for part in (outside, *boxes) for value in _values_in_json(part, keys, len(part))]
    return _Answer(outside, values, boxes, thinking=False)


def _in_words(text: str) -> list[tuple[float, float | None]]:
    """Read scores that are named as such, in the order of the rules of `read_score`."""
    if labelled := _pairs((*_LABELLED.finditer(text), *_FINALLY.finditer(text))):
        last = _ALONE.fullmatch(text.rpartition("\n")[2])  # a number at the end that disagrees is the real answer
        return [
            *labelled,
            *((value, labelled[0][1] if of is None else of) for value, of in _pairs([last] if last else [])),
        ]
    return _pairs(_FRACTION.finditer(text)) or _only(_RATED.search(text), text) or _alone(text)


def _alone_in(text: str) -> list[tuple[float, float | None]]:
    alone = _ALONE.fullmatch(text)
    return _pairs([alone]) if alone else []


def _matched(pattern: str, text: str) -> list[str]:
    return [match[1] or "" for match in re.finditer(pattern, text)]


def _letters_in(text: str, letters: str) -> list[str]:
    labels = "|".join(label for key in _CHOICE_KEYS for label in (key, key.capitalize()))
    line = rf"\b(?:{labels}){_MARKS}(?:is\b)?{_MARKS}(?:[Ii]mage )?({letters})\b[^\w\n]*$"
    alone = re.fullmatch(rf"\W*(?:image\s)?({letters})\W*", text, re.IGNORECASE)
    return re.findall(line, text, re.MULTILINE) or ([alone[1].upper()] if alone else [])


def _values_in_json(text: str, keys: Collection[str], end: int) -> list[Any]:
    """Collect the values of some keys of the JSON objects that begin before `end`, nested ones included."""
    found: list[Any] = []

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found.extend(value for key, value in pairs if key.strip().lower() in keys)
        return dict(pairs)

    decoder, start = json.JSONDecoder(object_pairs_hook=note, strict=False), text.find("{")
    while 0 <= start < end:
        before = len(found)
        try:
            _, after = decoder.raw_decode(text, start)
        except (ValueError, RecursionError):
            del found[before:]
            after = start + 1
        start = text.find("{", after)
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
    return _only(_ALONE.fullmatch(text.rpartition("\n")[2]), text)


def _only(match: re.Match[str] | None, text: str) -> list[tuple[float, float | None]]:
    """Read a match, if the text has no other number."""
    return _pairs([match]) if match and len(_DIGITS.findall(text)) == len(_DIGITS.findall(match[0])) else []


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
