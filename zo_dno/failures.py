"""Failures of calls: their kind, whether a retry can help, and whether they may have cost money."""

import email.utils
import json
import math
import re
import time
from dataclasses import dataclass, replace
from typing import Any

from zo_dno.errors import ZoDnoError

_TRANSIENT = {
    408,
    425,
    429,
    500,
    502,
    503,
    504,
    529,
}  # RFC 9110, 6585 and 8470; some providers' "overloaded" is 529
_BILLED = {500, 502, 504}  # the server may have done the work
_NETWORK_LIBRARIES = {
    "httpx",
    "httpx2",
    "httpcore",
    "httpcore2",
    "requests",
    "urllib3",
    "urllib",
    "http",
    "aiohttp",
    "openai",
}
_PERMANENT = {
    "InvalidURL",
    "UnsupportedProtocol",
    "LocalProtocolError",
    "MissingSchema",
    "InvalidSchema",
    "TooManyRedirects",
}
_NEVER_ARRIVED = {"ConnectError", "ConnectionRefusedError", "NewConnectionError", "gaierror", "ConnectTimeout"}
_MISTAKES = (ImportError, NameError, SyntaxError, NotImplementedError)  # of code that works for no image
_LONGEST = 2000  # characters of a message
LONGEST_KIND = 80
_QUERY_OF_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)(?:[^\s/@'\"]*@)?([^\s?'\"]*)(?:\?[^\s'\"]*)?")


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call.

    Attributes:
        kind: Short reason that failures are counted by, such as "HTTP 429", "timeout", "connection", "NaN".
        message: Description in one line.
        transient: Whether the same call may succeed later.
        billed: Whether the server may have done the work, and so may charge for it.
        retry_after: Seconds that the server asks to wait; None if it does not say.
        pauses: Whether the run pauses at once, since no further call can be right.
        misuse: Whether the reward does not keep to its contract, or cannot work at all, such as for a missing package.
    """

    kind: str
    message: str
    transient: bool
    billed: bool
    retry_after: float | None = None
    pauses: bool = False
    misuse: bool = False


class CallError(ZoDnoError):
    """A failed call; a reward raises it to classify the failure itself."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure_of_status(status: int, message: str) -> Failure:
    """Classify a request that was refused with an HTTP status, and was not charged."""
    return Failure(f"HTTP {status}", one_line(message), transient=status in _TRANSIENT, billed=False)


def failure_of(error: BaseException) -> Failure:
    """Classify an exception of a reward: by HTTP status, by kind of network error, else as permanent."""
    try:
        if isinstance(error, CallError):
            return _bounded(error.failure)
        return _classified(error)
    except Exception:  # an exception whose own attributes raise some
        return Failure(kind_of(error), kind_of(error), transient=False, billed=True)


def _bounded(failure: Failure) -> Failure:
    """Make safe to store what a reward says of a failure; texts that are cut already stay as they are."""
    kind, message, wait = failure.kind, failure.message, failure.retry_after
    safe = message.isprintable() and len(message) < _LONGEST + LONGEST_KIND
    return replace(
        failure,
        kind=one_line(kind, LONGEST_KIND),
        message=message if safe else one_line(message),
        retry_after=wait if wait is not None and 0 <= wait < math.inf else None,
    )


def kind_of(error: BaseException) -> str:
    """Return the name of an exception's class, shortened if it is very long."""
    return one_line(type(error).__name__, LONGEST_KIND)


def text_of(error: BaseException) -> str:
    """Return an exception's class and its text in one line, even if the text cannot be made."""
    try:
        text = str(error)
    except Exception as other:
        text = f"its text could not be made: {kind_of(other)}"
    return one_line(f"{kind_of(error)}: {text}" if text else kind_of(error))


def _classified(error: BaseException) -> Failure:
    response = getattr(error, "response", None)
    status = _status(error, response)
    if status is not None:
        reason = getattr(response, "reason_phrase", None) or getattr(error, "reason", None) or ""
        wait = _retry_after(getattr(response, "headers", None) or getattr(error, "headers", None))
        return of_status(status, str(reason), wait)
    message = text_of(error)
    names = {cls.__name__ for cls in type(error).__mro__}
    from_network = type(error).__module__.split(".")[0] in _NETWORK_LIBRARIES
    if names & _PERMANENT:
        return Failure("bad address", message, transient=False, billed=False)
    if isinstance(error, json.JSONDecodeError):
        return Failure("unreadable response", message, transient=True, billed=True)
    if isinstance(error, TimeoutError) or (from_network and any("Timeout" in name for name in names)):
        return Failure("timeout", message, transient=True, billed=not names & _NEVER_ARRIVED)
    if isinstance(error, ConnectionError) or "gaierror" in names or (from_network and isinstance(error, Exception)):
        kind = "unreadable response" if any("Decod" in name for name in names) else "connection"
        return Failure(kind, message, transient=True, billed=not names & _NEVER_ARRIVED)
    mistaken = isinstance(error, _MISTAKES) and not isinstance(error, UnboundLocalError)
    return Failure(kind_of(error), message, transient=False, billed=True, misuse=mistaken)


def of_status(status: int, reason: str = "", retry_after: float | None = None) -> Failure:
    """Return the failure of a call that a server answered with an HTTP status from 400 on.

    Args:
        status: HTTP status, or the number that a server gives an error in its stead.
        reason: Words of the server.
        retry_after: Seconds that the server asks to wait.
    """
    return Failure(
        kind=f"HTTP {status}",
        message=one_line(f"HTTP {status} {reason}"),
        transient=status in _TRANSIENT,
        billed=status in _BILLED,
        retry_after=retry_after,
    )


def too_late(seconds: float | None) -> Failure:
    """Return the failure of a call that timed out: the server may have done the work."""
    return Failure("timeout", f"no response within {seconds:g} s", transient=True, billed=True)


def storable(text: str) -> str:
    """Replace halves of characters, which UTF-8 cannot hold, such as those of a text that was cut."""
    return text.encode("utf-8", "replace").decode("utf-8")


def printable(text: str) -> str:
    """Replace control characters, and those that turn the direction of writing, by spaces; line ends stay."""
    return text if text.isprintable() else "".join(c if c.isprintable() or c == "\n" else " " for c in text)


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Make a text of others safe to store and to show.

    Its lines are joined, control characters and passwords and query strings of URLs are removed, and it is cut at
    `longest` characters.
    """
    beginning = text[: 4 * longest]  # what follows is not looked at: a server may send gigabytes
    shown = " ".join(printable(" ".join(beginning.split())).split())
    shown = _QUERY_OF_URL.sub(r"\1\2", shown)
    if len(shown) <= longest and len(text) == len(beginning):
        return shown
    return f"{shown[:longest]}... ({len(text)} characters)"


def _status(error: BaseException, response: Any) -> int | None:
    for owner, name in ((response, "status_code"), (response, "status"), (error, "status_code"), (error, "code")):
        status = getattr(owner, name, None)
        if isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599:
            return status
    return None


def _retry_after(headers: Any) -> float | None:
    """Read Retry-After: seconds or a date (RFC 9110, section 10.2.3); some providers add one in milliseconds.

    Returns:
        Seconds; None if there is no such header or it says nothing sensible.
    """
    if not hasattr(headers, "get"):
        return None
    for name, unit in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        seconds = _seconds(headers.get(name))
        if seconds is not None and math.isfinite(seconds * unit) and seconds >= 0:
            return seconds * unit
    return None


def _seconds(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except (TypeError, ValueError, OverflowError):
        return None
