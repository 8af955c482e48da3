"""A generator that takes microseconds, and rewards that ask a server that counts."""

import io
import json
import urllib.request
from typing import Any

import torch
from PIL import Image

import zo_dno
from zo_dno.call_policy import CallPolicy
from zo_dno.rng import stream
from zo_dno.types import Score

PRICE, IN_FLIGHT = 0.01, 3
_D, _PIXELS = 48, 8 * 8 * 3


def drawn(z: torch.Tensor, prompt: str) -> torch.Tensor:
    """Draw 8x8 images as a squashed random linear map of z, another one for every prompt."""
    mapped = torch.randn(_D, _PIXELS, generator=stream(7, f"map of {prompt}")) / _D**0.5
    return (torch.sigmoid(z @ mapped) * 255).round().to(torch.uint8).reshape(-1, 8, 8, 3)


drawn.shape = (3, 4, 4)  # type: ignore[attr-defined]


def png_of(image: Image.Image) -> bytes:
    """Return the PNG file that an image is sent as."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


class Free(zo_dno.Reward):
    """Asks a server for the score of an image.

    Args:
        url: Address of the server.
    """

    name, unit = "free", "points"

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, images: Any, prompts: Any) -> list[Any]:
        return [self._score(image) for image in images]

    def _score(self, image: Image.Image) -> Any:
        with urllib.request.urlopen(self.url, data=png_of(image), timeout=60) as response:
            score = json.load(response)["score"]
        return Score(float("nan"), error="the judge passes", kind="passed") if score is None else score


class Paid(Free):
    """Asks a server that charges for every call."""

    name = "paid"
    policy = CallPolicy(price=PRICE, in_flight=IN_FLIGHT, first_wait=0.01)
