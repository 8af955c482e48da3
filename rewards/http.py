"""The `http` reward: scores that a server returns for posted images."""

import asyncio
import base64
import gzip
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from jsonpointer import JsonPointer, JsonPointerException

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.failures import CallError, Failure, one_line
from zo_dno.oracle.http_client import Client, checked_url
from zo_dno.oracle.server_identity import ServerIdentity
from zo_dno.reward import Reward
from zo_dno.storage.images import png_bytes
from zo_dno.storage.plain_json import parse_json
from zo_dno.types import Score

if TYPE_CHECKING:
    from PIL import Image

_TEMPLATE: dict[str, Any] = {"images": "{images}", "prompts": "{prompts}"}
_MOST = 10**9  # more tokens, or money, for one response are not plausible
_NOT_IN_IDENTITY = ("unit", "batch", "key_env", "key_header", "key_prefix", "ca", "compress")  # the score is the same


@dataclass(frozen=True)
class HTTP(Reward):
    """Number that a server returns, in the server's unit.

    The defaults fit `zo-dno serve-reward`. Other servers need `request`, `pointer` and perhaps more.

    Args:
        url: URL of the server. {prompt} and {image} in it stand for the prompt and the PNG in base64, percent-encoded.
        request: Body of the request, as an object or its JSON. In its strings {image} stands for a PNG in base64 and
            {prompt} for its prompt; {images} and {prompts} alone in a string stand for the lists of a call.
        pointer: JSON pointer (RFC 6901) to the number, or to the list of a call's numbers. null is a missing score;
            an object may bring `value`, `error`, `cost`, `tokens` and `raw`.
        body: Encoding of the body: "json"; "multipart", where the PNGs are files called `image` and the strings of
            `request` form fields; or "none", where the URL holds everything.
        method: HTTP method.
        batch: Number of images in one request.
        unit: Unit of the numbers.
        version: Version of the server's numbers, to be raised when they change.
        lowest: Smallest plausible number.
        highest: Largest plausible number.
        key_env: Environment variable that holds the API key.
        key_header: Header that carries the key.
        key_prefix: Text before the key in the header.
        ca: File of the authorities to trust; by default the system's. Proxies are the environment's.
        compress: Whether to compress requests with gzip, which the server must support.
    Raises:
        InputError: An option does not fit, or the key is missing.
    """

    name = "http"
    is_async = True
    takes_keys = True
    policy = CallPolicy(in_flight=8, timeout=60.0)
    url: str
    request: dict[str, Any] | str = field(default_factory=dict)
    pointer: str = "/scores"
    body: Literal["json", "multipart", "none"] = "json"
    method: Literal["POST", "PUT", "GET"] = "POST"
    batch: int = 1
    unit: str = "score"
    version: str = "1"
    lowest: float = -math.inf
    highest: float = math.inf
    key_env: str = ""
    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    ca: str = ""
    compress: bool = False
    _server: ServerIdentity = field(default_factory=ServerIdentity, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        checked_url(self.url)
        text = json.dumps(self._template) + self.url
        if self.batch < 1:
            raise InputError(f"batch must be at least 1; got {self.batch}.")
        if self.batch > 1 and ("{image}" in text or "{prompt}" in text):
            raise InputError(
                f"batch must be 1 with {{image}} or {{prompt}}; got {self.batch}. Use {{images}} in request."
            )
        try:
            JsonPointer(self.pointer)
        except JsonPointerException as error:
            raise InputError(
                f"pointer must be empty or begin with /, such as /data/0/score; got {self.pointer!r}."
            ) from error
        _ = self._client

    @property
    def settings(self) -> Mapping[str, Any]:
        names = [one.name for one in fields(self) if one.init and one.name not in _NOT_IN_IDENTITY]
        return {name: getattr(self, name) for name in names}

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version and settings, and the reward that the server says it serves, which is asked for that once."""
        if not self.request and (self.pointer, self.body, self.method) == ("/scores", "json", "POST"):
            self._server.ask(self.url, self._new_client)
        known = self._server.known
        return super().identity | ({} if known is None else {"server": known})

    def recall(self, identity: Mapping[str, Any]) -> None:
        recorded = identity.get("server")
        if self._server.known is None and isinstance(recorded, str):
            self._server.known = recorded

    @property
    def range(self) -> tuple[float, float]:  # type: ignore[override]
        """Smallest and largest plausible number."""
        return (self.lowest, self.highest)

    async def __call__(
        self, images: "Sequence[Image.Image]", prompts: Sequence[str], keys: Sequence[str] = ()
    ) -> Sequence[float | Score]:
        files = await asyncio.to_thread(lambda: [png_bytes(image) for image in images])
        headers = {"Idempotency-Key": hashlib.sha256("".join(keys).encode()).hexdigest()} if keys else {}
        encoded = [base64.b64encode(file).decode() for file in files]
        values = {"image": encoded[0], "prompt": prompts[0], "images": encoded, "prompts": list(prompts)}
        url = self.url.replace("{prompt}", quote(prompts[0], safe="")).replace("{image}", quote(encoded[0], safe=""))
        posted = self._posted(values, files, headers)
        response = await self._client.send(self.method, url, headers=headers, **posted)
        self._server.check(response, self._client.scrub)
        return [_score(value, self._client) for value in self._numbers(response, len(images))]

    async def aclose(self) -> None:
        await self._client.aclose()

    def _posted(self, values: Mapping[str, Any], files: Sequence[bytes], headers: dict[str, str]) -> dict[str, Any]:
        filled = fill(self._template, values)
        if self.body == "none":
            return {}
        if self.body == "multipart":
            parts = [("image", (f"{number}.png", file, "image/png")) for number, file in enumerate(files)]
            return {"data": filled, "files": parts}
        if not self.compress:
            return {"json": filled}
        headers |= {"Content-Type": "application/json", "Content-Encoding": "gzip"}
        return {"content": gzip.compress(json.dumps(filled).encode(), compresslevel=1)}

    def _numbers(self, response: Any, n: int) -> Sequence[Any]:
        try:
            found = JsonPointer(self.pointer).resolve(response)
        except JsonPointerException as error:
            has = f"a {type(response).__name__}"
            if isinstance(response, dict):
                has = f"an object with {', '.join(map(repr, response)) or 'nothing'}"
            message = self._client.scrub(f"pointer {self.pointer!r} is not in the response, {has[:200]}")
            raise CallError(Failure("wrong pointer", message, transient=False, billed=True)) from error
        numbers = found if isinstance(found, list) else [found] if n == 1 else []
        if len(numbers) != n:
            message = f"the response has {len(numbers)} scores for {n} images"
            raise CallError(Failure("wrong count", message, transient=False, billed=True))
        return numbers

    @cached_property
    def _template(self) -> dict[str, Any]:
        try:
            request = parse_json(self.request) if isinstance(self.request, str) else self.request
        except ValueError as error:
            raise InputError(f"request must be JSON; {error}; got {one_line(str(self.request), 200)!r}.") from error
        if not isinstance(request, dict):
            raise InputError(f"request must be an object, such as {json.dumps(_TEMPLATE)}; got {request!r}.")
        return request or ({"prompt": "{prompt}"} if self.body == "multipart" and self.batch == 1 else _TEMPLATE)

    @cached_property
    def _client(self) -> Client:
        return self._new_client()

    def _new_client(self) -> Client:
        return Client(self.key_env, self.key_header, self.key_prefix, self.ca)


def fill(template: Any, values: Mapping[str, Any]) -> Any:
    """Replace {name} in a template's strings; a string that is one placeholder becomes the value itself."""
    if isinstance(template, dict):
        return {key: fill(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [fill(value, values) for value in template]
    if not isinstance(template, str):
        return template
    for name, value in values.items():
        if template == f"{{{name}}}":
            return value
        if isinstance(value, str) and f"{{{name}}}" in template:
            before, _, after = template.partition(f"{{{name}}}")
            return f"{fill(before, values)}{value}{fill(after, values)}"
    return template


def _score(value: Any, client: Client) -> Score:
    fields = value if isinstance(value, dict) else {"value": value}
    number = fields.get("value")
    texts: dict[str, Any] = {
        name: client.scrub(str(fields[name])) for name in ("error", "raw") if fields.get(name) is not None
    }
    price: dict[str, Any] = {name: fields[name] for name in ("cost", "tokens") if _is_count(fields.get(name))}
    if "tokens" in price:
        price["tokens"] = int(price["tokens"])
    if number is None:
        kind, error = client.scrub(str(fields.get("kind") or "no score")), texts.pop("error", "the server has no score")
        return Score(math.nan, kind=kind, error=error, **texts, **price)
    try:
        if isinstance(number, bool):
            raise TypeError
        return Score(float(number), **texts, **price)
    except (TypeError, ValueError, OverflowError):
        shown = client.scrub(repr(number))[:200]
        return Score(math.nan, kind="not a number", error=f"expected a number; got {shown}", raw=shown, **price)


def _is_count(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= _MOST
