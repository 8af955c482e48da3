"""The `vlm_compare` reward: scores from a vision-language model's preferences between pairs of images."""

import asyncio
import hashlib
import json
import math
from collections.abc import Awaitable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.failures import CallError, Failure
from zo_dno.judges.chat_completions import Usage, encoded
from zo_dno.judges.judge_reward import JudgeReward
from zo_dno.judges.pairwise import Pairwise
from zo_dno.judges.pairwise_round import Prefer, compare
from zo_dno.judges.plackett_luce import groups, placed, spread_out
from zo_dno.judges.rating_store import RatingStore
from zo_dno.judges.rating_tasks import Mode, Rating
from zo_dno.rng import numpy_stream
from zo_dno.storage.images import decoded, image_hash, png_bytes
from zo_dno.types import Order, Score

if TYPE_CHECKING:
    from PIL import Image

_WHICH = "Which image better shows {prompt}, and is better made?"


@dataclass(frozen=True)
class VLMCompare(JudgeReward):
    """Pairwise preference of a vision-language model: log-odds against the first image of the run.

    Judges rank better than they score. Every pair is compared in both orders, and counts only if the same image wins
    both times. Scores are the strengths of a Bradley-Terry model; the first image has 0, and images of earlier
    populations are added as anchors, whose strengths stay fixed. The preferences are kept in the run's folder, so that
    no pair is compared twice.

    Args:
        url: Base URL of the API, such as http://127.0.0.1:8000/v1; the reward appends /chat/completions to it.
        model: Judge model, or several in a list or separated by commas; each compares every pair, and all count.
        server: Name of a preset for the server, such as openai, gemini, vllm or ollama; it also gives a default url.
        question: Question for the judge; {prompt} in it is replaced by the images' prompt, in quotation marks.
        rounds: Number of comparisons of every image, with other images each time as long as there are any.
        anchors: Number of images of earlier populations that are compared with the new ones.
        at_once: Largest number of requests in flight.
        timeout: Time limit of one request, in seconds.
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

    name = "vlm_compare"
    travels = False
    unit = "log-odds"
    batch = 2**20
    rounds: int = 3
    anchors: int = 2
    at_once: int = 8
    timeout: float = 120.0
    _store: RatingStore | None = field(default=None, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("rounds", 1), ("anchors", 0), ("at_once", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}; got {getattr(self, name)}.")
        if not 0 < self.timeout < math.inf:
            raise InputError(f"timeout must be above 0; got {self.timeout}.")

    @property
    def policy(self) -> CallPolicy:  # type: ignore[override]
        """The call policy: one call scores a whole population, so one failed call is enough to pause.

        The price is that of an image in the smallest population, where anchors cost most.
        """
        pairs = self.rounds * math.ceil((1 + self.anchors) / 2)
        price = self._prices.most * 2 * pairs * len(self.judges) if self._prices else 0.0
        return CallPolicy(breaker=1, price=price)

    @property
    def settings(self) -> Mapping[str, Any]:
        given = {name: value for name, value in super().settings.items() if name not in ("at_once", "timeout")}
        return {**given, "question": self.question or _WHICH}

    def begin(self, folder: Path | None) -> None:
        super().begin(folder)
        if self._store is None:
            mark = hashlib.sha256(json.dumps(self.identity, sort_keys=True).encode()).hexdigest()[:8]
            path = folder / f"comparisons-{mark}.db" if folder else None
            object.__setattr__(self, "_store", RatingStore(path))

    def orders(self, images: Collection[str]) -> list[Order]:
        """Return the choices by which images were scored."""
        return self._store.orders(images) if self._store is not None else []

    async def aclose(self) -> None:
        await super().aclose()
        if self._store is not None:
            self._store.close()
            object.__setattr__(self, "_store", None)
            self._used.clear()

    async def __call__(self, images: "Sequence[Image.Image]", prompts: Sequence[str]) -> list[Score]:
        self.begin(None)
        assert self._store is not None
        names = [image_hash(np.asarray(image)) for image in images]
        files = await asyncio.to_thread(lambda: dict(zip(names, map(png_bytes, images), strict=True)))
        known = self._store.scores()
        tasks = self._tasks([*files], spread_out(known, self.anchors, avoid=files))
        number = self._store.post(files.items(), prompts[0], tasks, votes=len(self.judges))
        used = self._used.setdefault(number, [])
        before = len(used)
        await compare(self._store, number, self.judges, self._encode, self._prefer_with(used))
        ratings = self._store.take(number)
        assert ratings is not None
        scores = _scored(ratings, [*files], known)
        values = {name: score.value for name, score in scores.items() if not score.missing}
        self._store.settle(values, spread_out(known | values, self.anchors))
        return self._with_costs([scores[name] for name in names], self._used.pop(number), before)

    def _prefer_with(self, used: list[Usage]) -> Prefer:
        """Build the function that asks a judge about a pair; it appends the tokens to `used`."""
        slots = asyncio.Semaphore(self.at_once)

        async def prefer(judge: str, first: str, second: str, prompt: str) -> int | None:
            async def ask(body: Mapping[str, Any]) -> Any:
                key = hashlib.sha256(json.dumps(body).encode()).hexdigest()
                async with slots:
                    return await self._in_time(self.ask(judge, self._pairwise.path, body, key))

            preference = await self._pairwise.prefer(first, second, prompt, ask)
            used.extend(preference.usages)
            return preference.winner

        return prefer

    async def _in_time(self, response: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(self.timeout):
                return await response
        except TimeoutError:
            message = f"no response within {self.timeout:g} s"
            raise CallError(Failure("timeout", message, transient=True, billed=True)) from None

    def _tasks(self, names: Sequence[str], anchors: Sequence[str]) -> list[tuple[Mode, tuple[str, ...]]]:
        names_and_anchors = [*names, *anchors]
        rng = numpy_stream(int(names_and_anchors[0][:8], 16), "pairs")
        pairs = {
            frozenset(pair): pair for pair in groups(names_and_anchors, 2, self.rounds, rng)
        }  # a model repeats itself
        return [("compare", pair) for pair in pairs.values()]

    def _encode(self, png: bytes) -> str:
        return encoded(decoded(png, formats=("PNG",)), self.image_size, self.smallest_side)

    def _with_costs(self, scores: Sequence[Score], used: Sequence[Usage], before: int) -> list[Score]:
        """Share tokens and costs among a population: all tokens, and the costs since the last failed call."""
        tokens, n = sum(usage.total for usage in used), len(scores)
        cost = sum(map(self._prices.of, used[before:])) / n if self._prices else None
        return [replace(one, cost=cost, tokens=tokens // n + (row < tokens % n)) for row, one in enumerate(scores)]

    @cached_property
    def _pairwise(self) -> Pairwise:
        return Pairwise(self.question or _WHICH, self.structured and self._server.structured, self.pattern)

    @cached_property
    def _used(self) -> dict[int, list[Usage]]:
        return {}


def _scored(ratings: Sequence[Rating], names: Sequence[str], known: Mapping[str, float]) -> dict[str, Score]:
    """Fit the strengths of the images; the first image of the run has 0."""
    found = placed([one.order for one in ratings if one.order is not None], names, known)
    scores = {}
    for name in names:
        mine = [one.order for one in ratings if name in one.shown]
        won = sum(order is not None and order.ranked[0] == name for order in mine)
        components = {"won": won, "lost": sum(order is not None for order in mine) - won, "undecided": mine.count(None)}
        if name in found:
            scores[name] = Score(found[name].value, spread=found[name].error, components=components)
        else:
            why = "no comparison of this image came out the same in both orders"
            scores[name] = Score(math.nan, kind="undecided", error=why, components=components)
    return scores
