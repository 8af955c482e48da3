"""The scene judge: a small classifier of place, time, weather and object in a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from zo_dno.errors import InputError
from zo_dno.scenes import JUDGE_FILE
from zo_dno.scenes.grammar import WORDS, Scene, parse

_SIZE = 64
_BATCH = 64  # pictures classified at a time


class Judge(nn.Module):
    """Predicts the probability of every word of the grammar, with one softmax an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _block(3, 24, stride=2, kernel=5),
            _block(24, 48, stride=2),
            _block(48, 64),
            _block(64, 96, stride=2),
            _block(96, 96),
            _block(96, 96),
        )
        self.head = nn.Linear(2 * 96, sum(map(len, WORDS.values())))

    @classmethod
    def load(cls, file: Path = JUDGE_FILE) -> Self:
        """Load the trained judge of the package."""
        from safetensors.torch import load_file

        if not file.exists():
            raise InputError(f"file must be a trained judge; got {file}. Train it: python -m zo_dno.scenes.train")
        judge = cls()
        judge.load_state_dict(load_file(file))
        return judge.eval().requires_grad_(False)

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return every attribute's logits for pictures (n, 3, 64, 64) in [-1, 1]."""
        features = self.body(pictures)
        pooled = torch.cat([features.mean(dim=(2, 3)), features.amax(dim=(2, 3))], dim=1)
        logits = self.head(pooled).split([len(words) for words in WORDS.values()], dim=1)
        return dict(zip(WORDS, logits, strict=True))

    @torch.no_grad()
    def probabilities(self, images: Sequence[Image.Image]) -> dict[str, Tensor]:
        """Return (n, words) float64 probabilities of each attribute, in the order of `WORDS`.

        Pictures of another size are scaled to 64 x 64 first.
        """
        device = self.head.weight.device
        blocks = [
            {name: logits.double().softmax(dim=1).cpu() for name, logits in self(_read(some).to(device)).items()}
            for some in (images[start : start + _BATCH] for start in range(0, len(images), _BATCH))
        ]
        empty = {name: torch.zeros(0, len(words), dtype=torch.float64) for name, words in WORDS.items()}
        return {name: torch.cat([empty[name], *(block[name] for block in blocks)]) for name in WORDS}

    def read(self, images: Sequence[Image.Image]) -> list[Scene]:
        """Return the scene that each picture most probably shows."""
        best = [values.argmax(dim=1).tolist() for values in self.probabilities(images).values()]
        return [
            Scene(*(words[index] for words, index in zip(WORDS.values(), found, strict=True)))
            for found in zip(*best, strict=True)
        ]

    def prompt_match(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        """Score in [0, 1] how well each picture matches its prompt.

        The score is the geometric mean, over the four attributes, of the probability of the prompt's word.
        """
        if len(images) != len(prompts):
            raise InputError(
                f"prompts must be as many as images; got {len(prompts)} for {len(images)}. Give each image its prompt."
            )
        asked = [parse(prompt).indices for prompt in prompts]
        read = list(self.probabilities(images).values())
        return [
            float(torch.stack([values[row, word] for values, word in zip(read, words, strict=True)]).log().mean().exp())
            for row, words in enumerate(asked)
        ]

    def differentiable_match(self, images: Tensor, prompts: Sequence[str]) -> Tensor:
        """Score images (n, 3, H, W) in [0, 1] as `prompt_match` does, (n,), so that autograd can pass."""
        size = (_SIZE, _SIZE)
        if images.shape[2:] != size:
            images = nn.functional.interpolate(images, size=size, mode="bicubic", antialias=True)
        logits = self.to(images.device)(images * 2 - 1).values()
        asked = torch.tensor([parse(prompt).indices for prompt in prompts], device=images.device).T
        log_p = [values.log_softmax(1).gather(1, words[:, None]) for values, words in zip(logits, asked, strict=True)]
        return torch.cat(log_p, 1).mean(1).exp()


def _block(inputs: int, outputs: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.SiLU())


def _read(images: Sequence[Image.Image]) -> Tensor:
    """Convert images to (n, 3, 64, 64) in [-1, 1]."""
    size = (_SIZE, _SIZE)
    scaled = [
        image if image.size == size else image.resize(size, Image.Resampling.LANCZOS)
        for image in (image.convert("RGB") for image in images)
    ]
    pixels = torch.from_numpy(np.stack([np.asarray(image) for image in scaled]))
    return pixels.permute(0, 3, 1, 2).float().div(127.5).sub(1.0)
