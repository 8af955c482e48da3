"""Scores by a judge: a vision-language model is asked about an image, and its answer is read as a number."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.judges.chat_completions import encoded
from zo_dno.judges.judge_reward import JudgeReward, listed
from zo_dno.judges.modes import Decision, Expected, Mode, Rubric, Verdict, Yes
from zo_dno.judges.panel import Panel, Seat
from zo_dno.types import Score

if TYPE_CHECKING:
    from PIL import Image

_HOW_WELL = "How well does this image show {prompt}, and how well is it made?"
_WHETHER = "Does this image show {prompt}?"
_SCALES = {"rubric": (0.0, 10.0), "expected": (0.0, 9.0)}


@dataclass(frozen=True)
class VLM(JudgeReward):
    """What a vision-language model says of an image: a score, or the probability of yes.

    Any server with OpenAI's chat-completions API will do: vLLM, SGLang, Ollama, `transformers serve`, cloud providers.
    Several judges and samples are averaged, and their spread is kept. What cannot be read is missing, never a number.

    Args:
        url: base of the API, such as http://127.0.0.1:8000/v1; pages such as /chat/completions are added to it.
        model: that is asked; several, in a list or with commas between, are asked each and averaged.
        mode: "rubric", an explanation and then a score; "expected", the mean of the digits that the model might
            answer, by their probabilities; "yes", the probability of Yes; "decision", the same, or with `levels` the
            expected level, by the typed questions (/v1/systemone) of `transformers serve`.
        question: what to judge; {prompt} in it stands for the image's prompt, in quotation marks.
        lowest: score, by default 0.
        highest: score, by default 10, or 9 with mode expected, which takes digits only.
        levels: names of levels for mode decision, the worst first.
        samples: how often each model is asked in mode rubric.
        image_size: longer side that larger images are made smaller to, in pixels.
        temperature: of what is written; 0 writes the likeliest.
        max_answer: tokens that may be written.
        seed: of what is written, where the server takes one; by default none is sent.
        structured: ask the server to hold the answer to a JSON schema; some servers refuse that.
        extra: further fields of the request, as an object or its JSON; null takes a field away.
        input_price: money for a million tokens of questions, images included; of several models, the dearest one's.
        output_price: money for a million tokens of answers.
        max_question: most tokens of one question, for the worst case that a budget reserves.
        key_env: environment variable with the key.
        key_header: that carries it.
        key_prefix: before it.
        ca: file of the authorities to trust; by default the system's.
    Raises:
        InputError: an option does not fit, or the key is not there.
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
        if self.samples < 1 or (self.samples > 1 and (self.mode != "rubric" or self.temperature == 0)):
            raise InputError(
                f"samples must be 1, or more with mode rubric and a temperature above 0, without which they are alike; "
                f"got {self.samples}, mode {self.mode}, temperature {self.temperature:g}."
            )
        if self.temperature and self.mode != "rubric":
            raise InputError(f"temperature must be 0 with mode {self.mode}; got {self.temperature:g}.")
        if self._extra and self.mode == "decision":
            raise InputError(f"extra must be left out with mode decision; got {self._extra!r}.")

    @property
    def noisy(self) -> bool:  # type: ignore[override]
        """What is drawn at random, and not from a seed, differs from call to call."""
        return self.temperature > 0 and self.seed is None

    @property
    def policy(self) -> CallPolicy:  # type: ignore[override]
        """The terms: the price of an image is the most that all its judges can cost."""
        worst = self._prices.most * len(self._panel.seats) if self._prices else 0.0
        return CallPolicy(in_flight=self.at_once, timeout=120.0, price=worst)

    @property
    def unit(self) -> str:  # type: ignore[override]
        """Of the scores."""
        if self.mode in _SCALES:
            return "score {:g}-{:g}".format(*self.range)
        return f"level 0-{self.range[1]:g}" if self.levels else "probability"

    @property
    def range(self) -> tuple[float, float]:  # type: ignore[override]
        """What a score can be."""
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
        asked = zip(images, prompts, keys or [""] * len(images), strict=True)
        return list(await asyncio.gather(*(self._score(*one) for one in asked)))

    async def _score(self, image: "Image.Image", prompt: str, key: str) -> Score:
        body = self._mode.body(await asyncio.to_thread(encoded, image, self.image_size), prompt)

        async def ask(seat: Seat) -> Verdict:
            return self._mode.read(await self.ask(seat.judge, self._mode.path, body, key, seat.sample))

        return await self._panel.score(key, ask)

    @property
    def _question(self) -> str:
        return self.question or (_HOW_WELL if self.mode in _SCALES or self.levels else _WHETHER)

    @cached_property
    def _mode(self) -> Mode:
        low, high = self.range
        if self.mode == "rubric":
            return Rubric(self._question, low, high, self.structured)
        if self.mode == "expected":
            return Expected(self._question, int(low), int(high))
        return Yes(self._question) if self.mode == "yes" else Decision(self._question, listed(self.levels))

    @cached_property
    def _panel(self) -> Panel:
        return Panel(self.judges, self.samples, self._prices)

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
