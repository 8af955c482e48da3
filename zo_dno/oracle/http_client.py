"""The HTTP client of rewards: no retries, no redirects, responses of limited size, and no secrets in messages."""

import json
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zo_dno.errors import InputError
from zo_dno.failures import CallError, Failure, failure_of, one_line
from zo_dno.storage.plain_json import parse_json

if TYPE_CHECKING:
    import httpx2

MAX_RESPONSE = 4 * 2**20  # bytes
_EXCERPT = 200  # characters of a response that a message quotes


@dataclass(slots=True)
class Client:
    """Sends the calls of one reward. It connects on the first call, on the event loop of that call.

    Args:
        key_env: Environment variable that holds the key; "" sends no key.
        key_header: Header that carries the key.
        key_prefix: Text before the key in the header.
        ca: File of trusted certificate authorities; by default the system's.
    Raises:
        InputError: the variable is not set, or its value does not fit into a header.
    """

    key_env: str = ""
    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    ca: str = ""
    _key: str = field(init=False, repr=False)
    _http: "httpx2.AsyncClient | None" = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._key = key_from(self.key_env)

    def __reduce__(self) -> tuple[type["Client"], tuple[str, str, str, str]]:
        """Pickle without the key, which every process reads from its own environment."""
        return Client, (self.key_env, self.key_header, self.key_prefix, self.ca)

    async def send(self, method: str, url: str, *, headers: Mapping[str, str] | None = None, **body: Any) -> Any:
        """Send one request.

        Args:
            method: HTTP method, such as "POST".
            url: Address.
            headers: Headers beside the key's.
            body: Body as httpx2 takes it: `json`, `content`, `data`, `files`.
        Returns:
            the response's JSON.

        Raises:
            CallError: the call failed, or its response is not JSON.
        """
        try:
            async with self._connected().stream(method, url, headers=dict(headers or {}), **body) as response:
                self._refuse_redirect(response)
                content = await _read(response)
                try:
                    response.raise_for_status()
                except Exception as error:
                    failure = failure_of(error)
                    words = _words(content, self.scrub)
                    raise CallError(replace(failure, message=f"{failure.message}{words and ': '}{words}")) from error
                return _json(content, response.headers.get("content-type", "no content type"), self.scrub)
        except Exception as error:
            failure = failure_of(error)
            raise CallError(replace(failure, message=self.scrub(failure.message))) from None

    def scrub(self, text: str) -> str:
        """Remove the key from a text, as it is and as JSON, and replace unpaired surrogates."""
        for key in {self._key, json.dumps(self._key)[1:-1]} - {""}:
            text = text.replace(key, "***")
        return text.encode(errors="replace").decode()  # JSON can hold surrogates, a file cannot

    async def aclose(self) -> None:
        """Close the connections; the next call opens them again."""
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    def _connected(self) -> "httpx2.AsyncClient":
        if self._http is None:
            import httpx2

            # The executor has the deadlines, so none here. No redirect is followed, so that the key goes nowhere else.
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=None)  # one per call in flight
            trusted = ssl.create_default_context(cafile=self.ca) if self.ca else True
            headers = {self.key_header: self.key_prefix + self._key} if self._key else {}
            self._http = httpx2.AsyncClient(timeout=None, limits=limits, verify=trusted, headers=headers)
        return self._http

    @staticmethod
    def _refuse_redirect(response: "httpx2.Response") -> None:
        if 300 <= response.status_code < 400:
            to = urlsplit(response.headers.get("location", "")).netloc or "another page"
            message = f"HTTP {response.status_code}: redirected to {to}. Redirects are not followed; give the final url"
            raise CallError(Failure("redirect", message, transient=False, billed=False))


def key_from(variable: str) -> str:
    """Read a key from the environment; "" if no variable is named.

    Raises:
        InputError: the variable is not set, or its value does not fit into a header.
    """
    if not variable:
        return ""
    key = os.environ.get(variable, "")
    if not key:
        raise InputError(f"key_env must name an environment variable that holds the key; {variable} is not set.")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise InputError(f"{variable} must hold a key of printable characters; it has a space, a line break or others.")
    return key


def checked_url(url: str) -> str:
    """Return a URL that can be called.

    Raises:
        InputError: it has no scheme or host, or a password in it.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise InputError(f"url must be an address such as http://127.0.0.1:8000/score: {error}.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InputError(f"url must be an address such as http://127.0.0.1:8000/score; got {one_line(url)!r}.")
    if parts.username is not None or parts.password is not None:
        raise InputError(
            f"url must not hold a name or password, since it is written into the run's folder; got {one_line(url)!r}. "
            "Put the key into an environment variable and name it as key_env."
        )
    return url


async def _read(response: "httpx2.Response") -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > MAX_RESPONSE:
            message = f"the response is larger than {MAX_RESPONSE // 2**20} MiB"
            raise CallError(Failure("response too large", message, transient=False, billed=True))
    return bytes(content)


def _json(content: bytes, content_type: str, scrub: Callable[[str], str]) -> Any:
    try:
        return parse_json(content)
    except ValueError as error:
        what = f"{len(content)} bytes of {content_type.partition(';')[0]}"
        message = f"expected JSON; got {what}: {_words(content, scrub) or 'nothing'}"
        raise CallError(Failure("unreadable response", message, transient=True, billed=True)) from error


def _words(content: bytes, scrub: Callable[[str], str]) -> str:
    """Quote the beginning of a response; of common error objects, their message."""
    text = content.decode(errors="replace")
    try:
        found = parse_json(content)
        for name in ("error", "message", "detail"):
            found = found.get(name, found) if isinstance(found, dict) else found
        text = found if isinstance(found, str) else text
    except ValueError:
        pass
    text = scrub(one_line(text))  # before it is cut: a cut could leave half of a key
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]} ..."
