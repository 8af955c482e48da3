"""Errors inside responses that carry the status 200: their number counts as the status."""

import re
from typing import Any

from zo_dno.failures import CallError, Failure, of_status, one_line

_BY_NAME = {  # names of errors by which OpenAI, Anthropic and Google call a status
    "rate_limit": 429,
    "resource_exhausted": 429,
    "insufficient_quota": 402,
    "payment_required": 402,
    "invalid_api_key": 401,
    "authentication": 401,
    "unauthenticated": 401,
    "permission": 403,
    "not_found": 404,
    "invalid_request": 400,
    "invalid_argument": 400,
    "overloaded": 529,
    "unavailable": 503,
    "timeout": 504,
    "deadline_exceeded": 504,
    "bad_gateway": 502,
    "server_error": 500,
    "internal": 500,
    "api_error": 500,
}
_EXCERPT = 200  # characters of an error that a message quotes
_NUMBERED = ("code", "status", "status_code")
_NAMED = ("code", "status", "type")


def raise_error_inside(response: Any) -> None:
    """Raise the error that a response carries in place of a completion, or beside one.

    Errors are objects or texts under `error`, in the response, in its first choice or in a list, and objects that call
    themselves errors.

    Raises:
        CallError: There is one. Its number counts as the status: 401 and 402 are final, 429 and 502 are retried.
    """
    error = _error_of(response)
    if error is None:
        return
    status, message = _status_of(error), _words_of(error)
    if status is None:
        raise CallError(Failure("unreadable response", f"the response is an error: {message}", True, True))
    raise CallError(of_status(status, f"in a response with status 200: {message}"))


def _error_of(response: Any) -> Any:
    if isinstance(response, list):
        response = response[0] if response else None
    if not isinstance(response, dict):
        return None
    choices = response.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else None
    for owner in (response, first):
        if isinstance(owner, dict) and owner.get("error"):
            return {**_numbers(response), **owner["error"]} if isinstance(owner["error"], dict) else owner["error"]
    is_error = response.get("object") == "error" or response.get("type") == "error"
    return response if is_error or (first is None and _status_of(response) is not None) else None


def _numbers(response: dict[str, Any]) -> dict[str, Any]:
    return {name: response[name] for name in _NUMBERED if name in response}


def _status_of(error: Any) -> int | None:
    if not isinstance(error, dict):
        return None
    for name in _NUMBERED:
        value = error.get(name)
        number = int(value) if isinstance(value, str) and re.fullmatch(r"[45][0-9]{2}", value) else value
        if isinstance(number, int) and not isinstance(number, bool) and 400 <= number <= 599:
            return number
    for name in _NAMED:
        value = str(error.get(name) or "").lower()
        found = next((status for word, status in _BY_NAME.items() if word in value), None)
        if found is not None:
            return found
    return None


def _words_of(error: Any) -> str:
    words = error
    for name in ("message", "detail", "error"):
        words = words.get(name, words) if isinstance(words, dict) else words
    return one_line(str(words), _EXCERPT)
