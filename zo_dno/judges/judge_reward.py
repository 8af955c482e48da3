"""The base of rewards that ask vision-language models: the server, its requests and their prices."""

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

from zo_dno.errors import InputError
from zo_dno.failures import CallError, one_line
from zo_dno.judges.chat_completions import checked_base
from zo_dno.judges.panel import Prices
from zo_dno.oracle.http_client import Client
from zo_dno.reward import Reward
from zo_dno.rng import stream_seed
from zo_dno.storage.plain_json import parse_json

_NOT_IN_IDENTITY = {"key_env", "key_header", "key_prefix", "ca", "input_price", "output_price", "max_question"}
_RESERVED = {
    "model",
    "messages",
    "stream",
    "n",
    "seed",
    "temperature",
    "response_format",
    "state",
    "questions",
    "assets",
}
_LIMITS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True)
class JudgeReward(Reward):
    """Judgements of vision-language models, through a server with OpenAI's chat-completions API.

    Args:
        url: Base URL of the API, such as http://127.0.0.1:8000/v1; the reward appends /chat/completions to it.
        model: Judge model, or several in a list or separated by commas; each judges every image.
        question: Question for the judge; {prompt} in it is replaced by the image's prompt, in quotation marks.
        image_size: Longest side in pixels; larger images are reduced to it.
        temperature: Sampling temperature; 0 chooses the likeliest token.
        max_answer: Most tokens of one response.
        seed: Sampling seed, for servers that accept one; by default none is sent.
        structured: Whether to ask the server for a response that fits a JSON schema; some servers refuse that.
        extra: Further fields of the request, as an object or its JSON; null removes a field.
        input_price: Money for a million tokens of requests, images included; the highest among several models.
        output_price: Money for a million tokens of responses.
        max_question: Most tokens of one request, for the highest cost that a budget reserves.
        key_env: Environment variable that holds the API key.
        key_header: Header that carries the key.
        key_prefix: Text before the key in the header.
        ca: File of trusted certificate authorities; by default the system's.
    Raises:
        InputError: An option does not fit, or the key is missing.
    """

    is_async = True
    at_once = 8  # requests in flight
    url: str
    model: str | list[str]
    question: str = ""
    image_size: int = 1024
    temperature: float = 0.0
    max_answer: int = 512
    seed: int | None = None
    structured: bool = True
    extra: dict[str, Any] | str = field(default_factory=dict)
    input_price: float | None = None
    output_price: float | None = None
    max_question: int = 8192
    key_env: str = ""
    key_header: str = "Authorization"
    key_prefix: str = "Bearer "
    ca: str = ""

    def __post_init__(self) -> None:
        for name, least in (("image_size", 16), ("temperature", 0), ("max_answer", 1), ("max_question", 1)):
            if not least <= getattr(self, name) < math.inf:
                raise InputError(f"{name} must be at least {least}; got {getattr(self, name)}.")
        if not self.judges or len(set(self.judges)) < len(self.judges):
            raise InputError(f"model must name a model, or several that differ; got {self.model!r}.")
        _ = self._base, self._extra, self._prices, self._client

    @property
    def settings(self) -> Mapping[str, Any]:
        names = [one.name for one in fields(self) if one.init and one.name not in _NOT_IN_IDENTITY]
        given = {name: getattr(self, name) for name in names}
        return given | {"url": self._base, "model": self.judges, "extra": self._extra}

    async def aclose(self) -> None:
        await self._client.aclose()

    @property
    def judges(self) -> list[str]:
        """Names of the models."""
        return listed(self.model)

    async def ask(self, judge: str, path: str, body: Mapping[str, Any], key: str = "", sample: int = 0) -> Any:
        """Make one request.

        Args:
            judge: Name of the model.
            path: Path of the endpoint below the API's base URL.
            body: Body of the request.
            key: Key of the query, by which servers may recognise a repeated request.
            sample: Number of the sample, from 0.
        Returns:
            The response as JSON, without the API key in any of its strings.

        Raises:
            CallError: The request failed.
        """
        posted = self.request(judge, body, key, sample)
        headers = {"Idempotency-Key": hashlib.sha256(f"{key}/{judge}/{sample}".encode()).hexdigest()} if key else {}
        try:
            response = await self._client.send("POST", f"{self._base}/{path}", json=posted, headers=headers)
        except CallError as error:
            if len(self.judges) == 1:
                raise
            raise CallError(replace(error.failure, message=f"{judge}: {error.failure.message}")) from None
        return _scrubbed(response, self._client)

    def request(self, judge: str, body: Mapping[str, Any], key: str = "", sample: int = 0) -> dict[str, Any]:
        """Return the body of a request with the model and its options; the arguments are those of `ask`."""
        seed = None if self.seed is None else stream_seed(self.seed, key, sample) % 2**31
        options = {"max_tokens": self.max_answer, "temperature": self.temperature, "seed": seed}
        body = {"model": judge, **body, **(options | self._extra if "messages" in body else {})}
        return {name: value for name, value in body.items() if value is not None}

    @cached_property
    def _base(self) -> str:
        return checked_base(self.url)

    @cached_property
    def _extra(self) -> dict[str, Any]:
        try:
            extra = parse_json(self.extra) if isinstance(self.extra, str) else self.extra
        except ValueError as error:
            raise InputError(f"extra must be JSON; {error}; got {one_line(str(self.extra), 200)!r}.") from error
        if not isinstance(extra, dict):
            raise InputError(f"extra must be an object of further fields; got {extra!r}.")
        for name in _RESERVED & extra.keys():
            if extra[name] is not None or name in ("model", "messages"):
                raise InputError(f"extra must not set {name!r}, which the reward sets itself; got {extra[name]!r}.")
        for name in _LIMITS:
            if extra.get(name) not in (None, self.max_answer):
                raise InputError(f"extra must give {name} as max_answer, {self.max_answer}; got {extra[name]!r}.")
        return extra

    @cached_property
    def _prices(self) -> Prices | None:
        prices = (self.input_price, self.output_price)
        if prices == (None, None):
            return None
        if self.input_price is None or self.output_price is None:
            raise InputError(f"input_price and output_price must be given together; got {prices[0]} and {prices[1]}.")
        if not (0 <= self.input_price < math.inf and 0 <= self.output_price < math.inf):
            raise InputError(f"input_price and output_price must be at least 0; got {prices[0]} and {prices[1]}.")
        if self._extra.get("max_tokens", self.max_answer) is None and not self._extra.get("max_completion_tokens"):
            raise InputError("extra must give max_completion_tokens where it takes max_tokens away and prices are set.")
        return Prices(self.input_price, self.output_price, self.max_question, self.max_answer)

    @cached_property
    def _client(self) -> Client:
        return Client(self.key_env, self.key_header, self.key_prefix, self.ca)


def listed(names: str | list[str]) -> list[str]:
    """Split names at commas, unless they come as a list."""
    return [name.strip() for name in (names.split(",") if isinstance(names, str) else names) if name.strip()]


def _scrubbed(value: Any, client: Client) -> Any:
    """Remove the API key from all strings of a response."""
    if isinstance(value, str):
        return client.scrub(value)
    if isinstance(value, list):
        return [_scrubbed(one, client) for one in value]
    return (
        {client.scrub(name): _scrubbed(one, client) for name, one in value.items()}
        if isinstance(value, dict)
        else value
    )
