"""The `vlm_batch` reward: the judge `vlm`, asked through a provider's batches, which cost less and take hours."""

import asyncio
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.failures import CallError, Failure
from zo_dno.judges.anthropic_batches import AnthropicBatches
from zo_dno.judges.batch_store import BatchStore
from zo_dno.judges.batches import Batches, say_what_stays
from zo_dno.judges.chat_completions import Usage, encoded
from zo_dno.judges.modes import Judgement
from zo_dno.judges.openai_batches import OpenAIBatches
from zo_dno.judges.panel import JudgeSample, Prices, worst_of
from zo_dno.oracle.http_client import Client
from zo_dno.rewards.vlm import VLM
from zo_dno.types import Score

if TYPE_CHECKING:
    from PIL import Image

_OWN_HEADERS = {"anthropic": ("x-api-key", "")}  # header of the key, and the text before it
_NOT_IN_IDENTITY = ("batch_price", "poll", "tries")


@dataclass(frozen=True)
class VLMBatch(VLM):
    """Score that a vision-language model gives an image, asked through a provider's batches.

    All requests about a population are one batch. Its id is kept in the run's folder, so that a run that was stopped
    or killed fetches the responses when it is resumed, also days later, and pays for none twice. Ctrl-C leaves the
    batch with the provider. A response that cannot be read, or a request that was refused, leaves the score missing.

    Args:
        url: Base URL of the API, such as https://api.openai.com/v1.
        model: Judge model, or several in a list or separated by commas; each judges, and the scores are averaged.
        provider: Form of the batches: "openai", files and jobs over them, which several providers share; or
            "anthropic", message batches, with mode rubric alone.
        batch_price: Share of input_price and output_price that a batch costs.
        poll: Seconds between two looks at a batch.
        tries: Most batches that a request is sent in, if it expires or fails at the provider.
        mode: "rubric", an explanation and then a score; "expected", the mean of the digits that the model may respond
            with, weighted by their probabilities; "yes", the probability of Yes.
        question: Question for the judge; {prompt} in it is replaced by the image's prompt, in quotation marks.
        lowest: Lowest score, by default 0.
        highest: Highest score, by default 10, or 9 with mode expected, which takes digits only.
        levels: None; levels are for mode decision, which has no batches.
        samples: Number of requests to each model for one image, in mode rubric.
        image_size: Longest side in pixels; larger images are reduced to it.
        temperature: Sampling temperature; 0 chooses the likeliest token.
        max_answer: Most tokens of one response.
        seed: Sampling seed, for servers that accept one; by default none is sent.
        structured: Whether to ask the server for a response that fits a JSON schema; some servers refuse that.
        extra: Further fields of the request, as an object or its JSON; null removes a field.
        input_price: Money for a million tokens of requests, images included, outside of batches.
        output_price: Money for a million tokens of responses, outside of batches.
        max_question: Most tokens of one request, for the highest cost that a budget reserves.
        key_env: Environment variable that holds the API key.
        key_header: Header that carries the key; by default the provider's.
        key_prefix: Text before the key in the header.
        ca: File of trusted certificate authorities; by default the system's.
    Raises:
        InputError: An option does not fit, or the key is missing.
    """

    name = "vlm_batch"
    travels = False
    keeps_answers = True
    batch = 2**20
    provider: Literal["openai", "anthropic"] = "openai"
    batch_price: float = 0.5
    poll: float = 60.0
    tries: int = 3
    _store: BatchStore | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.batch_price <= 1:
            raise InputError(f"batch_price must be from 0 to 1, a share of the prices; got {self.batch_price:g}.")
        if not 1 <= self.poll < math.inf:
            raise InputError(f"poll must be at least 1 second; got {self.poll:g}.")
        if self.tries < 1:
            raise InputError(f"tries must be at least 1; got {self.tries}.")
        if self.mode == "decision":
            raise InputError("mode must be rubric, expected or yes with vlm_batch; got 'decision'. Use vlm.")
        if self.provider == "anthropic" and (self.mode != "rubric" or self.seed is not None):
            raise InputError(
                f"mode must be rubric and seed left out with provider anthropic, whose API has no token probabilities "
                f"and no seeds; got {self.mode} and {self.seed}."
            )

    @property
    def policy(self) -> CallPolicy:  # type: ignore[override]
        """The call policy: one call scores a whole population, and a request without a response costs nothing."""
        worst = self._prices.most * len(self._panel.samples) if self._prices else 0.0
        return CallPolicy(attempts=1, breaker=1, price=worst)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {name: value for name, value in super().settings.items() if name not in _NOT_IN_IDENTITY}

    def begin(self, folder: Path | None) -> None:
        if self._store is None:
            mark = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:8]
            object.__setattr__(self, "_store", BatchStore(folder / f"batches-{mark}.db" if folder else None))

    async def aclose(self) -> None:
        await super().aclose()
        if self._store is not None:
            say_what_stays(self._store)
            self._store.close()
            object.__setattr__(self, "_store", None)

    async def __call__(
        self, images: "Sequence[Image.Image]", prompts: Sequence[str], keys: Sequence[str] = ()
    ) -> list[Score]:
        self.begin(None)
        assert self._store is not None
        named, requests = await asyncio.to_thread(self._requests, images, prompts, keys or [""] * len(images))
        api = (OpenAIBatches if self.provider == "openai" else AnthropicBatches)(self._base, self._client)
        responses, failures = await Batches(api, self._store, self.poll, self.tries).ask(requests)
        if not responses and failures:
            raise worst_of([CallError(failure) for failure in failures.values()], paid=False)
        return [await self._scored(names, responses, failures) for names in named]

    def _requests(
        self, images: "Sequence[Image.Image]", prompts: Sequence[str], keys: Sequence[str]
    ) -> tuple[list[dict[JudgeSample, str]], dict[str, dict[str, Any]]]:
        """Build the requests by their keys, and for each image the keys of its requests."""
        named: list[dict[JudgeSample, str]] = []
        requests: dict[str, dict[str, Any]] = {}
        for image, prompt, key in zip(images, prompts, keys, strict=True):
            body = self._mode.body(encoded(image, self.image_size), prompt)
            named.append({})
            for sample in self._panel.samples:
                request = self.request(sample.judge, body, key, sample.number)
                decisive = [key or json.dumps(request), sample.judge, sample.number]
                name = hashlib.sha256(json.dumps(decisive).encode()).hexdigest()
                named[-1][sample], requests[name] = name, request
        return named, requests

    async def _scored(
        self, names: Mapping[JudgeSample, str], responses: Mapping[str, Any], failures: Mapping[str, Failure]
    ) -> Score:
        """Average the judgements of an image; without one of them its score is missing, and the others are charged."""
        read: list[Usage] = []

        async def judgement(sample: JudgeSample) -> Judgement:
            name = names[sample]
            if name in failures:
                raise CallError(failures[name])
            read.append(Usage())  # the most, if it cannot be read
            found = self._mode.read(responses[name])
            read[-1] = found.usage
            return found

        try:
            return await self._panel.score("", judgement)
        except CallError as error:
            cost = sum(map(self._prices.of, read)) if self._prices else None
            tokens = sum(usage.total for usage in read)
            return Score(math.nan, error=str(error), kind=error.failure.kind, cost=cost, tokens=tokens)

    @cached_property
    def _prices(self) -> Prices | None:
        prices = super()._prices
        if prices is None:
            return None
        return replace(prices, input=prices.input * self.batch_price, output=prices.output * self.batch_price)

    @cached_property
    def _client(self) -> Client:
        header, prefix = self.key_header, self.key_prefix
        if header == VLM.key_header and self.provider in _OWN_HEADERS:
            header, prefix = _OWN_HEADERS[self.provider]
        return Client(self.key_env, header, prefix, self.ca)
