"""Scores of a Python function, as a reward's server sends them, by Python 3.8 or later alone."""

from __future__ import annotations  # Python 3.8 reads the annotations of later ones

import asyncio
import hashlib
import inspect
import json
import math
import socket
import threading
from typing import TYPE_CHECKING, Any, Callable, Sequence  # noqa: UP035, as Python 3.8 has them

from zo_dno.web.door import RefusedError, fingerprint, one_line

if TYPE_CHECKING:
    from PIL import Image

_LONGEST_RAW = 100000  # characters of a raw response
_MOST = 2.0**63  # which tokens and costs stay below
_TRANSIENT = (408, 425, 429, 500, 502, 503, 504, 529)  # HTTP statuses worth a retry
_NETWORK = ("httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3", "urllib", "http", "aiohttp", "openai")


class FailedCallError(Exception):
    """A call of the reward that failed, with the kind that failures are counted by."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.message = kind, message


class FunctionScores:
    """Scores of a function, as the wire has them.

    Args:
        function: Function of images and prompts, or of images.
        name: Name of the reward.
        options: Options that it was made with.
        timeout: Longest time of one call in seconds; None for no limit.
    """

    def __init__(
        self, function: Callable[..., Any], name: str, options: dict[str, Any], timeout: float | None = None
    ) -> None:
        self.name, self.unit = name, str(getattr(function, "unit", "score"))
        self.version, self.batch = str(getattr(function, "version", "1")), int(getattr(function, "batch", 1))
        self.lowest, self.highest = map(float, getattr(function, "range", (-math.inf, math.inf)))
        self.options, self._function, self._timeout = options, function, timeout
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        identity: dict[str, Any] = {"name": name, "version": self.version, "settings": options}
        if not hasattr(function, "version"):
            identity["code"] = _source_hash(function)
        self.identity = {"name": name, "version": self.version, "fingerprint": fingerprint(identity)}
        kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
        try:
            parameters = inspect.signature(function).parameters.values()
            self._takes_prompts = sum(one.kind in kinds for one in parameters) != 1
        except ValueError:  # a builtin without a signature
            self._takes_prompts = True

    def score(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[dict[str, Any]]:
        """Score images; a call that fails for good leaves all scores of the request missing.

        Raises:
            RefusedError: A call failed in a way that is worth a retry.
        """
        scores: list[dict[str, Any]] = []
        for start in range(0, len(images), self.batch):
            end = start + self.batch
            try:
                scores += self._in_time(images[start:end], prompts[start:end])
            except RefusedError:
                raise
            except Exception as error:
                kind, message, transient, wait = failure_of(error)
                if transient:
                    raise RefusedError(503, f"{kind}: {message}", wait) from None
                return [_score(None, kind, message)] * len(images)
        return scores

    def _wrong_count(self, got: int, n: int) -> str:
        such = ", ".join(f"0.{place + 5}" for place in range(min(n, 2))) + (", ..." if n > 2 else "")
        images = f"{n} image{'' if n == 1 else 's'}"
        return (
            f"reward {self.name!r} must return one number per image, such as [{such}] for {images}; got {got} scores "
            f"for {n} images."
        )

    def _in_time(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[dict[str, Any]]:
        """Call the function in a thread of its own, which is left alone where it takes too long."""
        found: list[Any] = []

        def call() -> None:
            try:
                values = self._function(images, prompts) if self._takes_prompts else self._function(images)
                if inspect.isawaitable(values):
                    values = asyncio.run_coroutine_threadsafe(_awaited(values), self._loop).result()
                if len(values) != len(images):
                    raise FailedCallError("wrong count", self._wrong_count(len(values), len(images)))
                found.append([self._checked(value) for value in values])
            except BaseException as error:  # SystemExit, for instance, must not end the thread in silence
                found.append(error)

        thread = threading.Thread(target=call, daemon=True)
        thread.start()
        thread.join(self._timeout)
        if not found:
            raise RefusedError(503, f"timeout: no response within {self._timeout:g} s")
        if isinstance(found[0], Exception):
            raise found[0]
        if isinstance(found[0], BaseException):
            raise FailedCallError(type(found[0]).__name__, one_line(f"{type(found[0]).__name__}: {found[0]}"))
        scores: list[dict[str, Any]] = found[0]
        return scores

    def _checked(self, value: Any) -> dict[str, Any]:
        """Return a score as the wire has it; one that is not finite or out of range is missing."""
        fields = value if isinstance(value, dict) else {"value": value}
        details = _details(fields)
        given = fields.get("value")
        number = math.nan if given is None and isinstance(value, dict) else float(given)  # type: ignore[arg-type]
        if math.isnan(number):
            kind, error = one_line(str(fields.get("kind") or "NaN"), 80), str(fields.get("error") or "")
            return _score(None, kind, one_line(error or "the reward returned NaN"), **details)
        if not (math.isfinite(number) and self.lowest <= number <= self.highest):
            kind = "out of range" if math.isfinite(number) else "not finite"
            message = f"the reward returned {number}, outside {self.lowest:g} to {self.highest:g}"
            return _score(None, kind, message, **{**details, "raw": details["raw"] or repr(number)})
        return _score(number, fields.get("kind"), fields.get("error"), **details)


async def _awaited(values: Any) -> Any:
    return await values


def _details(fields: dict[str, Any]) -> dict[str, Any]:
    raw, cost, tokens = fields.get("raw"), fields.get("cost"), fields.get("tokens") or 0
    for name, number in (("tokens", tokens), ("cost", cost or 0)):
        if not 0 <= number < _MOST:
            raise ValueError(f"{name} must be at least 0 and finite; got {number}")
    raw = raw and str(raw)[:_LONGEST_RAW].encode("utf-8", "replace").decode("utf-8")
    return {"raw": raw, "cost": None if cost is None else float(cost), "tokens": int(tokens)}


def _score(
    value: float | None, kind: Any, error: Any, raw: Any = None, cost: float | None = None, tokens: int = 0
) -> dict[str, Any]:
    return {"value": value, "error": error, "kind": kind, "raw": raw, "cost": cost, "tokens": tokens}


def failure_of(error: Exception) -> tuple[str, str, bool, float | None]:
    """Classify a failed call: kind, message, whether a retry may help, and the seconds that a server asks to wait."""
    if isinstance(error, FailedCallError):
        return error.kind, error.message, False, None
    message = one_line(f"{type(error).__name__}: {error}" if str(error) else type(error).__name__)
    response = getattr(error, "response", None)
    for owner, name in ((response, "status_code"), (response, "status"), (error, "status_code"), (error, "code")):
        status = getattr(owner, name, None)
        if isinstance(status, int) and 400 <= status <= 599:
            reason = getattr(response, "reason_phrase", None) or getattr(error, "reason", None) or ""
            wait = _seconds(getattr(response, "headers", None) or getattr(error, "headers", None))
            return f"HTTP {status}", one_line(f"HTTP {status} {reason}"), status in _TRANSIENT, wait
    names = {cls.__name__ for cls in type(error).__mro__}
    network = type(error).__module__.split(".")[0] in _NETWORK
    if isinstance(error, json.JSONDecodeError):
        return "unreadable response", message, True, None
    if isinstance(error, (TimeoutError, asyncio.TimeoutError)) or (network and any("Timeout" in n for n in names)):
        return "timeout", message, True, None
    if isinstance(error, (ConnectionError, socket.gaierror)) or network:
        return "connection", message, True, None
    return one_line(type(error).__name__, 80), message, False, None


def _seconds(headers: Any) -> float | None:
    try:
        seconds = float(headers.get("retry-after"))
    except (AttributeError, TypeError, ValueError):
        return None
    return seconds if 0 <= seconds < math.inf else None


def _source_hash(function: Callable[..., Any]) -> str:
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        code = getattr(function, "__code__", None)
        source = repr((code.co_code, code.co_names)) if code else type(function).__qualname__
    return hashlib.sha256(source.encode()).hexdigest()
