"""The grammar of the built-in model's prompts: scenes and their captions."""

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from zo_dno.errors import PromptError, unknown_name

if TYPE_CHECKING:
    import numpy as np

WORDS: dict[str, tuple[str, ...]] = {
    "place": ("mountains", "hills", "sea", "desert", "forest", "city"),
    "time": ("dawn", "day", "dusk", "night"),
    "weather": ("clear", "cloudy", "snowy"),
    "object": ("none", "house", "sailboat", "tower", "tent"),
}
GRAMMAR = (
    '"<place> at <time>[, <weather>][, with a <object>]" with '
    f"place: {', '.join(WORDS['place'])}; time: {', '.join(WORDS['time'])}; "
    f"weather: {', '.join(WORDS['weather'])}; object: {', '.join(WORDS['object'][1:])}"
)
_HEAD = re.compile(r"(\S+) at (\S+)")
_OBJECT = re.compile(r"with (?:an? )?(\S+)")


@dataclass(frozen=True)
class Scene:
    """The content of a picture; everything else varies freely."""

    place: str
    time: str
    weather: str = "clear"
    object: str = "none"

    def __post_init__(self) -> None:
        for attribute, words in WORDS.items():
            value = getattr(self, attribute)
            if value not in words:
                raise unknown_name(attribute, value, words)

    @property
    def caption(self) -> str:
        weather = "" if self.weather == "clear" else f", {self.weather}"
        thing = "" if self.object == "none" else f", with a {self.object}"
        return f"{self.place} at {self.time}{weather}{thing}"

    @property
    def indices(self) -> tuple[int, ...]:
        """The position of each attribute's value in `WORDS`, in its order."""
        return tuple(words.index(getattr(self, attribute)) for attribute, words in WORDS.items())


def parse(caption: str) -> Scene:
    """Return the scene of a caption; case and the amount of white space do not matter.

    Raises:
        PromptError: The caption does not follow the grammar; the message names the wrong phrase and the grammar.
    """
    head, *rest = (" ".join(phrase.split()) for phrase in caption.lower().split(","))
    match = _HEAD.fullmatch(head)
    if match is None:
        raise _not_understood(caption, head, "it should read '<place> at <time>'")
    found = {
        "place": _known(caption, "place", match[1]),
        "time": _known(caption, "time", match[2]),
    }
    for phrase in rest:
        attribute, word = _read_phrase(caption, phrase)
        if attribute in found or (attribute == "weather" and "object" in found):
            raise _not_understood(caption, phrase, f"one {attribute}, weather before object, is allowed")
        found[attribute] = word
    return Scene(**found)


def every_scene() -> list[Scene]:
    """Return all scenes of the grammar."""
    return [Scene(*values) for values in itertools.product(*WORDS.values())]


def sample(generator: "np.random.Generator") -> Scene:
    """Draw a scene with uniform attributes."""
    return Scene(*(words[int(generator.integers(len(words)))] for words in WORDS.values()))


def _read_phrase(caption: str, phrase: str) -> tuple[str, str]:
    match = _OBJECT.fullmatch(phrase)
    if match is not None:
        return "object", _known(caption, "object", match[1])
    return "weather", _known(caption, "weather", phrase)


def _known(caption: str, attribute: str, word: str) -> str:
    if word not in WORDS[attribute] or (attribute == "object" and word == "none"):
        raise _not_understood(caption, word, f"it is no {attribute}")
    return word


def _not_understood(caption: str, phrase: str, why: str) -> PromptError:
    return PromptError(
        f"prompt must follow the scene grammar; got {caption!r}, where {phrase!r} is not understood: {why}. "
        f"Write {GRAMMAR}."
    )
