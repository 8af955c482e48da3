"""The `command` reward: the number in the last line that a program prints about an image file."""

import asyncio
import math
import re
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.reward import Reward
from zo_dno.rewards.program import EXCERPT, fingerprints, last_line_of
from zo_dno.types import Score

if TYPE_CHECKING:
    from PIL import Image

_PLACEHOLDER = re.compile(r"\{(image|prompt)\}")
_SHELLS = ("sh", "bash", "dash", "zsh", "ksh", "ash", "busybox")
_RUNS = re.compile(r"-[a-z]*c[a-z]*")  # the option of a shell whose argument is a script


@dataclass(frozen=True)
class Command(Reward):
    """The number in the last line that a program prints about an image, in the program's unit.

    The program is started for each image, in the current folder and without a shell. One that takes longer than the
    reward's `timeout` is killed with all its child processes. Exit code 75 (EX_TEMPFAIL of sysexits.h) asks for a
    retry; any other code but 0 is a permanent failure.

    Args:
        command: Program and arguments, with quotes as in a shell. {image} stands for the path of a PNG file and
            {prompt} for its prompt, as an argument or within one. The program and arguments that are files are
            identified by their content.
        unit: Unit of the number.
        version: Version of the numbers, to be raised when they change for a reason outside those files.
    Raises:
        InputError: There is no such program, a file cannot be read, {image} is missing, or {prompt} is within the
            script of a shell.
    """

    name = "command"
    is_async = True
    policy = CallPolicy(in_flight=2, timeout=60.0)
    command: str
    unit: str = "score"
    version: str = "1"

    def __post_init__(self) -> None:
        script = _script_of(self._words)
        if "{prompt}" in script:
            raise InputError(
                "command must not put {prompt} into a shell's script, which would run what a prompt says; got "
                f'{one_line(script, 100)!r}. Give it as an argument: sh -c \'judge "$1" "$2"\' sh {{image}} {{prompt}}.'
            )
        if not any("{image}" in word for word in self._words):
            raise InputError(f"command must name {{image}}; got {self.command!r}. A PNG file's path takes its place.")
        _ = self._files

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version and settings, and the content of the files that the command names."""
        return super().identity | {"files": self._files}

    async def __call__(self, images: "Sequence[Image.Image]", prompts: Sequence[str]) -> list[Score]:
        return [await self._score(image, prompt) for image, prompt in zip(images, prompts, strict=True)]

    async def _score(self, image: "Image.Image", prompt: str) -> Score:
        with tempfile.TemporaryDirectory(prefix="zo-dno-", ignore_cleanup_errors=True) as folder:
            path = Path(folder) / "image.png"
            await asyncio.to_thread(image.convert("RGB").save, path, "PNG", compress_level=1)
            values = {"image": str(path), "prompt": prompt}
            return _number(await last_line_of([_filled(word, values) for word in self._words]))

    @cached_property
    def _words(self) -> list[str]:
        try:
            return shlex.split(self.command)
        except ValueError as error:
            raise InputError(f"command must close its quotes; got {self.command!r}: {error}.") from error

    @cached_property
    def _files(self) -> dict[str, str]:
        return fingerprints(self._words)


def _script_of(words: Sequence[str]) -> str:
    """Return the script that a command gives to a shell, or an empty text."""
    for place, word in enumerate(words):
        options = words[place + 1 : -1]
        if Path(word).name in _SHELLS and (found := [n for n, one in enumerate(options) if _RUNS.fullmatch(one)]):
            return words[place + found[0] + 2]
    return ""


def _filled(word: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders in one pass, since a prompt may look like a placeholder."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], word)


def _number(line: str) -> Score:
    try:
        return Score(float(line))
    except ValueError:
        shown = repr(one_line(line)[:EXCERPT]) if line else "no output"
        error = f"the last line must be a number; got {shown}"
        return Score(math.nan, kind="not a number", error=error, raw=line[:EXCERPT])
