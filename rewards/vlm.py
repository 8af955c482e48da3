"""The `vlm` reward: the score that a vision-language model gives an image."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.judges.chat_completions import encoded
from zo_dno.judges.judge_reward import JudgeReward, listed
from zo_dno.judges.modes import Decision, Expected, Judgement, JudgeMode, Rubric, Yes
from zo_dno.judges.panel import JudgeSample, Panel
from zo_dno.types import Score

if TYPE_CHECKING:
    from PIL import Image

_HOW_WELL = "How well does this image show {prompt}, and how well is it made?"
_WHETHER = "Does this image show {prompt}?"
_SCALES = {"rubric": (0.0, 10.0), "expected": (0.0, 9.0)}


@dataclass(frozen=True)
class VLM(JudgeReward):
    """Score that a vision-language model gives an image, or the probability of yes.

    Any server with OpenAI's chat-completions API works: vLLM, SGLang, Ollama, `transformers serve`, cloud providers.
    Several judges and samples are averaged, and their spread is kept. An unreadable response leaves the score missing.

    Args:
        url: Base URL of the API, such as http://127.0.0.1:8000/v1; the reward appends /chat/completions to it.
        model: Judge model, or several in a list or separated by commas; each judges, and the scores are averaged.
        server: Name of a preset for the server, such as openai, gemini, vllm or ollama; it also gives a default url.
        mode: "rubric", an explanation and then a score; "expected", the mean of the digits that the model may respond
            with, weighted by their probabilities; "yes", the probability of Yes; "decision", the same, or with `levels`
            the expected level, by the typed questions (/v1/systemone) of `transformers serve`.
        question: Question for the judge; {prompt} in it is replaced by the image's prompt, in quotation marks.
        lowest: Lowest score, by default 0.
        highest: Highest score, by default 10, or 9 with mode expected, which takes digits only.
        levels: Names of levels for mode decision, the worst first.
        samples: Number of requests to each model for one image, in mode rubric.
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

    name = "vlm"
    takes_keys = True
    mode: Literal["rubric", "expected", "yes", "decision"] = "rubric"
    lowest: float | None = None
    highest: float | None = None
    levels: str | list[str] = ""
    samples: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_scale()
        if self.levels and (self.mode != "decision" or len(listed(self.levels)) < 2):
            raise InputError(f"levels must be at least two, with mode decision; got {self.levels!r}, mode {self.mode}.")
        if self.samples < 1 or (self.samples > 1 and (self.mode != "rubric" or not self._samples_differ)):
            raise InputError(
                f"samples must be 1, or more with mode rubric and a temperature above 0, without which they are alike; "
                f"got {self.samples}, mode {self.mode}, temperature {self.temperature:g}."
            )
        if self.temperature and self.mode != "rubric":
            raise InputError(f"temperature must be 0 with mode {self.mode}; got {self.temperature:g}.")
        if self._extra and self.mode == "decision":
            raise InputError(f"extra must be left out with mode decision; got {self._extra!r}.")
        self._check_server()

    @property
    def noisy(self) -> bool:  # type: ignore[override]
        """Whether responses to the same request differ: they are sampled without a seed."""
        return self.mode != "decision" and self.samples_freely

    @property
    def may_turn_noisy(self) -> bool:
        """Whether the server may refuse the temperature or the seed that make the scores repeatable."""
        return self.mode != "decision" and not self.noisy

    @property
    def policy(self) -> CallPolicy:  # type: ignore[override]
        """The call policy; the price of an image is the highest cost of all its requests."""
        worst = self._prices.most * len(self._panel.samples) if self._prices else 0.0
        return CallPolicy(in_flight=self.at_once, timeout=120.0, price=worst)

    @property
    def unit(self) -> str:  # type: ignore[override]
        """Unit of the scores."""
        if self.mode in _SCALES:
            return "score {:g}-{:g}".format(*self.range)
        return f"level 0-{self.range[1]:g}" if self.levels else "probability"

    @property
    def range(self) -> tuple[float, float]:  # type: ignore[override]
        """Lowest and highest score."""
        lowest, highest = _SCALES.get(self.mode, (0.0, float(max(2, len(listed(self.levels))) - 1)))
        return (
            lowest if self.lowest is None else self.lowest,
            highest if self.highest is None else self.highest,
        )

    @property
    def settings(self) -> Mapping[str, Any]:
        return {**super().settings, "question": self._question, "levels": listed(self.levels)}

    async def __call__(
        self, images: "Sequence[Image.Image]", prompts: Sequence[str], keys: Sequence[str] = ()
    ) -> list[Score]:
        queries = zip(images, prompts, keys or [""] * len(images), strict=True)
        return list(await asyncio.gather(*(self._score(*query) for query in queries)))

    async def _score(self, image: "Image.Image", prompt: str, key: str) -> Score:
        body = self._mode.body(await asyncio.to_thread(encoded, image, self.image_size, self.smallest_side), prompt)

        async def ask(sample: JudgeSample) -> Judgement:
            return self._mode.read(await self.ask(sample.judge, self._mode.path, body, key, sample.number))

        return await self._panel.score(key, ask)

    @property
    def _question(self) -> str:
        return self.question or (_HOW_WELL if self.mode in _SCALES or self.levels else _WHETHER)

    @cached_property
    def _mode(self) -> JudgeMode:
        low, high = self.range
        if self.mode == "rubric":
            return Rubric(self._question, low, high, self.structured and self._server.structured, self.pattern)
        if self.mode == "expected":
            return Expected(self._question, int(low), int(high))
        return Yes(self._question) if self.mode == "yes" else Decision(self._question, listed(self.levels))

    @cached_property
    def _panel(self) -> Panel:
        return Panel(self.judges, self.samples, self._prices)

    @property
    def _samples_differ(self) -> bool:
        return self.temperature > 0 or self._extra.get("temperature", 0) is None

    def _check_server(self) -> None:
        """Check that the server named can answer in this mode."""
        if self.mode in ("expected", "yes") and not self._server.likeliest:
            other = "decision" if self._server.decisions else "rubric"
            raise InputError(f"mode must be {other} with server {self.server}, which gives no probabilities of tokens.")
        if self.mode == "decision" and self.server and not self._server.decisions:
            raise InputError(f"mode must not be decision with server {self.server}, which has no typed questions.")
        if self.pattern and self.mode != "rubric":
            raise InputError(f"pattern must come with mode rubric; got mode {self.mode}.")

    def _check_scale(self) -> None:
        given, (low, high) = (self.lowest, self.highest), self.range
        if self.mode not in _SCALES and given != (None, None):
            raise InputError(f"lowest and highest must be left out with mode {self.mode}; got {given[0]}, {given[1]}.")
        if not low < high:
            raise InputError(f"lowest must be below highest; got {low:g} and {high:g}.")
        if self.mode == "expected" and not (low >= 0 and high <= 9 and low == int(low) and high == int(high)):
            raise InputError(
                f"lowest and highest must be digits with mode expected, since more than one digit is one token to some "
                f"models and several to others; got {low:g} and {high:g}."
            )
