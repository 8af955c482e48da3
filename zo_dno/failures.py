"""Failures of calls: their kind, whether a retry can help, and whether they may have cost money."""

import email.utils
import json
import re
import time
from dataclasses import dataclass
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
_QUERY_OF_URL = re.compile(r"(https?://)(?:[^\s/@'\"]*@)?([^\s?'\"]*)(?:\?[^\s'\"]*)?")


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed call.

    Attributes:
        kind: Short reason that failures are counted by, such as "HTTP 429", "timeout", "connection", "NaN".
        message: Description in one line.
        transient: Whether the same call may succeed later.
        billed: Whether the server may have done the work, and so may charge for it.
        retry_after: Seconds that the server asks to wait; None if it does not say.
    """

    kind: str
    message: str
    transient: bool
    billed: bool
    retry_after: float | None = None


class CallError(ZoDnoError):
    """A failed call; a reward raises it to classify the failure itself."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure_of(error: BaseException) -> Failure:
    """Classify an exception of a reward: by HTTP status, by kind of network error, else as permanent."""
    if isinstance(error, CallError):
        return error.failure
    response = getattr(error, "response", None)
    status = _status(error, response)
    if status is not None:
        reason = getattr(response, "reason_phrase", None) or getattr(error, "reason", None) or ""
        return Failure(
            kind=f"HTTP {status}",
            message=f"HTTP {status} {reason}".strip(),
            transient=status in _TRANSIENT,
            billed=status in _BILLED,
            retry_after=_retry_after(getattr(response, "headers", None) or getattr(error, "headers", None)),
        )
    message = one_line(f"{type(error).__name__}: {error}")
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
    return Failure(type(error).__name__, message, transient=False, billed=True)


def too_late(seconds: float | None) -> Failure:
    """Return the failure of a call that timed out: the server may have done the work."""
    return Failure("timeout", f"no response within {seconds:g} s", transient=True, billed=True)


def one_line(text: str) -> str:
    """Join a message's lines, and remove passwords and query strings from its URLs."""
    return _QUERY_OF_URL.sub(r"\1\2", " ".join(text.split()))


def _status(error: BaseException, response: Any) -> int | None:
    for owner, name in ((response, "status_code"), (response, "status"), (error, "status_code"), (error, "code")):
        status = getattr(owner, name, None)
        if isinstance(status, int) and not isinstance(status, bool) and 400 <= status <= 599:
            return status
    return None


def _retry_after(headers: Any) -> float | None:
    """Read Retry-After: seconds or a date (RFC 9110, section 10.2.3)."""
    text = headers.get("retry-after") if hasattr(headers, "get") else None
    if text is None:
        return None
    try:
        return max(0.0, float(text))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    except ValueError:
        return None
