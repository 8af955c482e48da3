"""The one door to the terminal: texts of others are shown as they are, never as markup or as control sequences."""

import dataclasses
import io
import json
import logging
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from zo_dno.failures import printable

Styled = str | tuple[str, str]
"""A text, or a text and its style."""
_LONGEST_RECORD = 10_000  # characters of a log record, of which a traceback takes most


class Terminal(Console):
    """A console to which strings are plain text; styles come with `show` alone.

    A prompt, a server's reason or the name of a folder may hold "[/b]", which is rich's markup, or an escape sequence
    that sets the clipboard.

    Attributes:
        as_json: Whether commands print their results as JSON, in place of what is shown to people.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, **options)
        self.as_json = False

    def render_str(self, text: str, **options: Any) -> Text:
        """Turn a string into text; tables, titles and progress bars call it as well."""
        return super().render_str(printable(text), **options)

    def show(self, *parts: Styled) -> None:
        """Print one line, each part in its style; a long line is left to the terminal to wrap."""
        self.print(Text.assemble(*map(styled, parts)), soft_wrap=True)


def styled(part: Styled) -> Text:
    """Return a text in a style."""
    text, style = (part, "") if isinstance(part, str) else part
    return Text(printable(text), style)


def print_json(value: Any) -> None:
    """Print a result as one line of JSON: control characters are escaped, and numbers that are not finite are null."""
    print(json.dumps(_plain(value)))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set):
        return [_plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value) if isinstance(value, Path) else value


def show_error(error: BaseException) -> None:
    """Print an error in one line of bounded length to the standard error."""
    print(f"Error: {printable(_cut(str(error)))}", file=sys.stderr)


class PrintableFormatter(logging.Formatter):
    """Formats log records, which quote rewards and servers, without control characters and at a bounded length."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message, with its traceback if it has one."""
        return printable(_cut(super().format(record)))


def _cut(text: str) -> str:
    return f"{text[:_LONGEST_RECORD]}... ({len(text)} characters)" if len(text) > _LONGEST_RECORD else text


def log_as_plain_text() -> None:
    """Let log records without another handler come to the standard error as `PrintableFormatter` formats them."""
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(PrintableFormatter())


def accept_any_text() -> None:
    """Let output go on where the terminal's encoding lacks a character, which is then shown by its number."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


console = Terminal()
