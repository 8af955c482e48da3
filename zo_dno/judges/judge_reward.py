"""The base of rewards that ask vision-language models: the server, its requests and their prices."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError
from zo_dno.failures import CallError, one_line
from zo_dno.judges.chat_completions import checked_base
from zo_dno.judges.dialect import KEPT, Dialects, advice, takes_no_temperature
from zo_dno.judges.panel import Prices
from zo_dno.judges.parsing import checked_pattern
from zo_dno.judges.refusals import Refusal
from zo_dno.judges.repeated_failures import RepeatedFailures
from zo_dno.judges.server_errors import raise_error_inside
from zo_dno.judges.servers import SERVERS, Server, server_named
from zo_dno.oracle.http_client import Client, StatusError
from zo_dno.reward import Adaptation, Reward
from zo_dno.rng import stream_seed
from zo_dno.storage.plain_json import parse_json

_NOT_IN_IDENTITY = {
    *("server", "key_env", "key_header", "key_prefix", "ca"),
    *("input_price", "output_price", "max_question"),
}
_LATER = ("pattern", "smallest_side")  # options that older runs lack: left out of the identity at their defaults
_MOST_CHANGES = 12  # changes of one request, more than the fields that can be changed
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
_REFUSED = ("HTTP 400", "HTTP 422")


@dataclass(frozen=True)
class JudgeReward(Reward):
    """Judgements of vision-language models, through a server with OpenAI's chat-completions API.

    Args:
        url: Base URL of the API, such as http://127.0.0.1:8000/v1; the reward appends /chat/completions to it.
        model: Judge model, or several in a list or separated by commas; each judges every image.
        server: Name of a preset for the server, such as openai, gemini, vllm or ollama; it also gives a default url.
        question: Question for the judge; {prompt} in it is replaced by the image's prompt, in quotation marks.
        pattern: Regular expression whose one group is the answer in the model's text; by default the usual forms.
        image_size: Longest side in pixels; larger images are reduced to it.
        smallest_side: Shortest side in pixels; smaller images are enlarged to it, since many models refuse them.
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
    url: str = ""
    model: str | list[str] = ""
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
    server: str = ""
    pattern: str = ""
    smallest_side: int = 32

    def __post_init__(self) -> None:
        least_of = {"image_size": 16, "smallest_side": 1, "temperature": 0, "max_answer": 1, "max_question": 1}
        for name, least in least_of.items():
            if not least <= getattr(self, name) < math.inf:
                raise InputError(f"{name} must be at least {least}; got {getattr(self, name)}.")
        if not self.judges or len(set(self.judges)) < len(self.judges):
            raise InputError(f"model must name a model, or several that differ; got {self.model!r}.")
        checked_pattern(self.pattern)
        _ = self._base, self._extra, self._prices, self._client

    @property
    def settings(self) -> Mapping[str, Any]:
        default = {one.name: one.default for one in fields(self) if one.name in _LATER}
        names = [one.name for one in fields(self) if one.init and one.name not in _NOT_IN_IDENTITY]
        given = {name: getattr(self, name) for name in names}
        given = {name: value for name, value in given.items() if name not in default or value != default[name]}
        return given | {"url": self._base, "model": self.judges, "extra": self._extra}

    async def aclose(self) -> None:
        await self._client.aclose()

    @property
    def judges(self) -> list[str]:
        """Names of the models."""
        return listed(self.model)

    @property
    def adaptations(self) -> Sequence[Adaptation]:
        """What was changed in the requests since servers refused it."""
        return self._dialects.learnt

    @property
    def may_turn_noisy(self) -> bool:
        """Whether the server may refuse the temperature or the seed that make the scores repeatable."""
        return False

    @property
    def turned_noisy(self) -> bool:
        """Whether the same image may get another score, since a server refused the temperature or the seed."""
        learnt = self._dialects.learnt
        freely = self.temperature > 0 or takes_no_temperature(learnt)
        seeded = self.seed is not None and not any(one.field == "seed" and one.now is None for one in learnt)
        return freely and not seeded and not self.noisy

    @property
    def samples_freely(self) -> bool:
        """Whether responses to the same request differ: they are sampled without a seed."""
        freely = self.temperature > 0 or self._extra.get("temperature", 0) is None
        return freely and (self.seed is None or self._extra.get("seed", 0) is None or not self._server.seed)

    def begin(self, folder: Path | None) -> None:
        if folder is not None:
            mark = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:8]
            self._dialects.keep_in(folder / KEPT.format(mark))

    async def ask(self, judge: str, path: str, body: Mapping[str, Any], key: str = "", sample: int = 0) -> Any:
        """Make one request. Fields that the server refuses are left out, renamed or changed, and it is sent again.

        Args:
            judge: Name of the model.
            path: Path of the endpoint below the API's base URL.
            body: Body of the request.
            key: Key of the query, by which servers may recognise a repeated request.
            sample: Number of the sample, from 0.
        Returns:
            The response as JSON, without the API key in any of its strings.

        Raises:
            CallError: The request failed, or its response is an error.
        """
        body = self.request(judge, body, key, sample)
        try:
            return await self._adapted(judge, path, body, f"{key}/{judge}/{sample}" if key else "")
        except CallError as error:
            failure = self._repeated.judged(judge, error.failure)
            named = failure.message if len(self.judges) == 1 else f"{judge}: {failure.message}"
            raise CallError(replace(failure, message=named)) from None

    def request(self, judge: str, body: Mapping[str, Any], key: str = "", sample: int = 0) -> dict[str, Any]:
        """Return the body of a request with the model and its options; the arguments are those of `ask`."""
        seed = None if self.seed is None else stream_seed(self.seed, key, sample) % 2**31
        options = {"max_tokens": self.max_answer, "temperature": self.temperature, "seed": seed}
        body = {"model": judge, **body, **(options | self._extra if "messages" in body else {})}
        return {name: value for name, value in body.items() if value is not None}

    async def _adapted(self, judge: str, path: str, body: Mapping[str, Any], key: str) -> Any:
        """Send a request until it is not refused, or nothing about it can be changed."""
        for changes_left in range(_MOST_CHANGES, -1, -1):
            dialect = self._dialects.of(judge)
            posted, headers = dialect.spoken(body), {}
            if key:  # another for another body
                said = f"{key}{json.dumps(dialect.changes, sort_keys=True) if dialect.changes else ''}"
                headers["Idempotency-Key"] = hashlib.sha256(said.encode()).hexdigest()
            try:
                response = await self._client.send("POST", f"{self._base}/{path}", json=posted, headers=headers)
                response = _scrubbed(response, self._client)
                raise_error_inside(response)
                self._repeated.note_success(judge)
                return response
            except CallError as error:
                content = error.content if isinstance(error, StatusError) else error.failure.message
                refused = error.failure.kind in _REFUSED and changes_left
                if not refused or not self._learnt(judge, content, body, posted, error):
                    raise
        raise AssertionError("the last request returns or raises")

    def _learnt(
        self, judge: str, content: str, body: Mapping[str, Any], posted: Mapping[str, Any], error: CallError
    ) -> bool:
        """Learn from a refusal; True where the request is now another one.

        Raises:
            CallError: It cannot be changed; the message names the option that changes it.
        """
        dialect = self._dialects.of(judge)
        if dialect.spoken(body) != posted:
            return True  # another request has learnt it meanwhile
        refusal = Refusal(content, _texts_of(body))
        field = dialect.learn(refusal, body, posted)
        if field is None:
            message = f"{error.failure.message}{advice(refusal, posted, self._extra)}"
            raise CallError(replace(error.failure, message=message)) from None
        self._dialects.note(judge, field, refusal.message)
        return True

    @cached_property
    def _server(self) -> Server:
        return server_named(self.server)

    @cached_property
    def _dialects(self) -> Dialects:
        return Dialects(self._server, self.name)

    @cached_property
    def _repeated(self) -> RepeatedFailures:
        return RepeatedFailures()

    @cached_property
    def _base(self) -> str:
        if not self.url and not self._server.url:
            raise InputError(f"{self.name} needs the option 'url', or 'server' with one of {', '.join(SERVERS)}.")
        return checked_base(self.url or self._server.url)

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
        for name in ("max_tokens", "max_completion_tokens"):
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
        own = self.url and self.url.rstrip("/") != self._server.url  # a key is for its own server alone
        return Client(self.key_env or ("" if own else self._server.key_env), self.key_header, self.key_prefix, self.ca)


def listed(names: str | list[str]) -> list[str]:
    """Split names at commas, unless they come as a list."""
    return [name.strip() for name in (names.split(",") if isinstance(names, str) else names) if name.strip()]


def _texts_of(body: Mapping[str, Any]) -> list[str]:
    """Return the texts of a request, and their lines, the longest first, as a refusal may quote them."""
    parts = [part for message in body.get("messages", ()) for part in message["content"] if part["type"] == "text"]
    lines = {line for part in parts for line in (part["text"], *part["text"].splitlines()) if len(line) > 3}
    return sorted(lines, key=len, reverse=True)


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
