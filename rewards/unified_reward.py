"""A rating of image and prompt that a vision-language model writes, by UnifiedReward (Wang et al. 2025)."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.rewards.learned import LearnedReward, Precision
from zo_dno.rewards.vision_language import NEEDED, load_vision_language
from zo_dno.storage.weights import model_folder
from zo_dno.types import Score

if TYPE_CHECKING:
    from PIL import Image

# The authors' question for scores of one image, in their inference_qwen/image_generation (MIT licence).
_QUESTION = (
    "You are given a text caption and a generated image based on that caption. Your task is to evaluate this image "
    "based on two key criteria:\n1. Alignment with the Caption: Assess how well this image aligns with the provided "
    "caption. Consider the accuracy of depicted objects, their relationships, and attributes as described in the "
    "caption.\n2. Overall Image Quality: Examine the visual quality of this image, including clarity, detail "
    "preservation, color accuracy, and overall aesthetic appeal.\nExtract key elements from the provided text caption, "
    "evaluate their presence in the generated image using the format: 'element (type): value' (where value=0 means not "
    "generated, and value=1 means generated), and assign a score from 1 to 5 after 'Final Score:'.\nYour task is "
    "provided as follows:\nText Caption: [{}]"
)
_NUMBER = r"\**\s*(-?\d+(?:\.\d+)?)"


@dataclass(frozen=True)
class UnifiedReward(LearnedReward):
    """Rating from 1 to 5 that a judge writes after "Final Score:", as UnifiedReward does (arXiv:2503.05236).

    The response is the most likely one, token by token, and is kept with the score. A response without one rating, or
    with one outside of 1 to 5, is a missing score. With several `ratings`, the score is their mean.

    Class: transformers' AutoModelForImageTextToText. Licence of the weights: MIT; Qwen2.5-VL's Apache-2.0. Published
    check value: none. The same model behind a server is asked by the reward `vlm`.

    Args:
        model: Folder or hub name of any vision-language model that answers such a question.
        question: Question in which {} stands for the prompt; by default the authors' own. They say that another wording
            will do.
        ratings: Names before the colons that ratings stand after, separated by commas. For UnifiedReward 2.0:
            "Alignment Score (1-5),Coherence Score (1-5),Style Score (1-5)", with a question that asks for these.
        longest: Largest number of tokens of a response.
    """

    name = "unified_reward"
    unit = "rating 1-5"
    range = (1.0, 5.0)
    model: str = "CodeGoat24/UnifiedReward-qwen-7b"
    batch: int = 1
    dtype: Precision = "bfloat16"
    question: str = _QUESTION
    ratings: str = "Final Score"
    longest: int = 512

    def __post_init__(self) -> None:
        super().__post_init__()
        if "{}" not in self.question:
            raise InputError(f"question must have {{}} where the prompt belongs; got {self.question!r}.")
        if not all(self._names):
            raise InputError(f"ratings must be names separated by commas; got {self.ratings!r}.")
        if self.longest < 1:
            raise InputError(f"longest must be at least 1; got {self.longest}.")

    @property
    def _names(self) -> list[str]:
        return [name.strip() for name in self.ratings.split(",")]

    @property
    def weights(self) -> dict[str, Path]:
        return {"model": model_folder(f"model of {self.name}", self.model, NEEDED)}

    def _scores(self, images: "list[Image.Image]", prompts: list[str], device: str) -> list[Score]:
        model = load_vision_language(self.weights["model"], self.dtype, device)
        questions = [self.question.replace("{}", prompt) for prompt in prompts]
        return [self.read(response) for response in model.responses(images, questions, self.longest)]

    def read(self, response: str) -> Score:
        """Return the rating that a response gives; missing where it is unclear."""
        values: dict[str, float] = {}
        for name in self._names:
            found = {float(number) for number in re.findall(rf"{re.escape(name)}\**:\s*{_NUMBER}", response)}
            if len(found) != 1:
                what = "no" if not found else f"{len(found)} different"
                return Score(
                    math.nan, f"{what} ratings after {name!r}: {one_line(response, 120)}", kind="no score", raw=response
                )
            values[name] = found.pop()
            if not self.range[0] <= values[name] <= self.range[1]:
                return Score(math.nan, f"{name!r} is {values[name]:g}, not 1 to 5", kind="out of range", raw=response)
        score = sum(values.values()) / len(values)
        return Score(score, raw=response, components=values if len(values) > 1 else None)
