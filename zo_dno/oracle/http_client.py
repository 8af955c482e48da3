"""The HTTP client of rewards: no retries, no redirects, responses of limited size, and no secrets in messages."""

import base64
import html
import json
import os
import re
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, urlsplit

from zo_dno.errors import InputError
from zo_dno.failures import CallError, Failure, failure_of, one_line
from zo_dno.storage.plain_json import parse_json

if TYPE_CHECKING:
    import httpx2

MAX_RESPONSE = 4 * 2**20  # bytes
MAX_FILE = 512 * 2**20  # bytes of a file that is asked for
_EXCERPT = 200  # characters of a response that a message quotes
_LONGEST_REFUSAL = 20_000  # characters of a refusal that are kept for its reader
_SHORTEST_FORM = 8  # characters of a key in base64; shorter ones would be found in any text
_SECRET = re.compile(r"(^|[-_.])(key|token|secret|password|passwd|signature|sig|auth|apikey)$", re.IGNORECASE)


class StatusError(CallError):
    """A response with an HTTP status from 400 on.

    Attributes:
        status: The status.
        content: Text of the response, without the key; it is as the server wrote it.
    """

    def __init__(self, failure: Failure, status: int, content: str) -> None:
        super().__init__(failure)
        self.status, self.content = status, content


@dataclass(slots=True)
class Client:
    """Sends the calls of one reward. It connects on the first call, on the event loop of that call.

    Args:
        key_env: Environment variable that holds the key; "" sends no key.
        key_header: Header that carries the key.
        key_prefix: Text before the key in the header.
        ca: File of trusted certificate authorities; by default the system's.
    Raises:
        InputError: The variable is not set, its value does not fit into a header, or the file cannot be read.
    """

    key_env: str = ""
    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    ca: str = ""
    _key: str = field(init=False, repr=False)
    _forms: tuple[str, ...] = field(init=False, repr=False)
    _trusted: ssl.SSLContext | bool = field(init=False, repr=False, compare=False)
    _http: "httpx2.AsyncClient | None" = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        self._key = key_from(self.key_env)
        self._forms = forms_of(self._key)
        self._trusted = _trusted(self.ca)

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
            The response's JSON.

        Raises:
            StatusError: The server answered with an error.
            CallError: The call failed otherwise, or its response is not JSON.
        """
        content, content_type = await self._exchange(method, url, headers, MAX_RESPONSE, body)
        return _json(content, content_type, self.scrub)

    async def download(self, url: str, *, headers: Mapping[str, str] | None = None) -> str:
        """Get a file of text, which may be large, without the key in it.

        Raises:
            CallError: The call failed.
        """
        content, _ = await self._exchange("GET", url, headers, MAX_FILE, {})
        return self.scrub(content.decode(errors="replace"))

    async def _exchange(
        self, method: str, url: str, headers: Mapping[str, str] | None, most: int, body: Mapping[str, Any]
    ) -> tuple[bytes, str]:
        """Send one request; returns the content of the response and its type."""
        where = one_line(url.partition("?")[0], _EXCERPT)
        try:
            async with self._connected().stream(method, url, headers=dict(headers or {}), **body) as response:
                self._refuse_redirect(response)
                content = await _read(response, most)
                try:
                    response.raise_for_status()
                except Exception as error:
                    raise self._refused(failure_of(error), response.status_code, content, where) from error
                return content, response.headers.get("content-type", "no content type")
        except StatusError:
            raise
        except Exception as error:
            failure = failure_of(error)
            at = f" ({where})" if failure.kind == "connection" and not failure.billed else ""
            raise CallError(replace(failure, message=self.scrub(f"{failure.message}{at}"))) from None

    def _refused(self, failure: Failure, status: int, content: bytes, where: str) -> StatusError:
        """Build the error for a status from 400 on, with the server's words; where nothing is, name the address."""
        words = _words(content, self.scrub)
        at = f" ({where})" if status in (404, 405) else ""
        message = self.scrub(f"{failure.message}{words and ': '}{words}{at}")
        text = self.scrub(content.decode(errors="replace"))[:_LONGEST_REFUSAL]
        return StatusError(replace(failure, message=message), status, text)

    def scrub(self, text: str) -> str:
        """Remove the key from a text, in the forms in which servers repeat it, and replace unpaired surrogates."""
        for form in self._forms:
            text = text.replace(form, "***")
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
            headers = {self.key_header: self.key_prefix + self._key} if self._key else {}
            self._http = httpx2.AsyncClient(timeout=None, limits=limits, verify=self._trusted, headers=headers)
        return self._http

    @staticmethod
    def _refuse_redirect(response: "httpx2.Response") -> None:
        if 300 <= response.status_code < 400:
            to = _host_in(response.headers.get("location", "")) or "another page"
            message = f"HTTP {response.status_code}: redirected to {to}. Redirects are not followed; give the final url"
            raise CallError(Failure("redirect", message, transient=False, billed=False))


def forms_of(key: str) -> tuple[str, ...]:
    """Return the forms in which a server may repeat a key, the longest first.

    As it is, as JSON, Python and HTML write it, percent-encoded, and in base64, alone or within a longer text.
    """
    if not key:
        return ()
    forms = {key, json.dumps(key)[1:-1], repr(key)[1:-1], html.escape(key), html.escape(key, quote=False)}
    forms |= {quote(key, safe=""), quote(key), quote_plus(key), "".join(f"%{byte:02X}" for byte in key.encode())}
    forms |= {form.lower() for form in forms if "%" in form}
    for before in range(3):  # of the three places that a text can have in base64
        whole = base64.b64encode(b"\0" * before + key.encode()).decode().rstrip("=")
        kept = whole[-(-8 * before // 6) : len(whole) - ((before + len(key)) % 3 > 0)]
        forms |= {kept, kept.replace("+", "-").replace("/", "_")} if len(kept) >= _SHORTEST_FORM else set()
    return tuple(sorted(forms, key=len, reverse=True))


def key_from(variable: str) -> str:
    """Read a key from the environment; "" if no variable is named.

    Raises:
        InputError: The variable is not set, or its value does not fit into a header.
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
        InputError: The URL has no scheme or host, or contains a password or key.
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
    secret = next((name for name, _ in parse_qsl(parts.query, keep_blank_values=True) if _SECRET.search(name)), None)
    if secret is not None:
        raise InputError(
            f"url must not hold a key, since it is written into the run's folder; got {one_line(secret, 40)}=... in "
            "it. Put the key into an environment variable, and name it as key_env, its header as key_header."
        )
    return url


def _trusted(ca: str) -> "ssl.SSLContext | bool":
    if not ca:
        return True
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(
            f"ca must be a file of certificates in PEM; {ca}: {one_line(str(reason), _EXCERPT)}."
        ) from error


def _host_in(url: str) -> str:
    try:
        return urlsplit(url).netloc
    except ValueError:  # of brackets that do not close
        return ""


async def _read(response: "httpx2.Response", most: int) -> bytes:
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > most:
            message = f"the response is larger than {most // 2**20} MiB"
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
        found = found[0] if isinstance(found, list) and found else found
        for name in ("error", "message", "detail"):
            found = found.get(name, found) if isinstance(found, dict) else found
        text = found if isinstance(found, str) else text
    except ValueError:
        pass
    text = scrub(one_line(text))  # before it is cut: a cut could leave half of a key
    return text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]} ..."
