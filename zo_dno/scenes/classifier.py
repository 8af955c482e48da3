"""The second stage of training: the judge, on clean, decoded and degraded pictures."""

import io
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from zo_dno.scenes.data import Pictures, to_floats, to_pixels
from zo_dno.scenes.judge import Judge
from zo_dno.scenes.loop import Batch, Plan, train

_SMOOTHING = 0.02
_DECODED = 0.3  # share of a batch that passes through the autoencoder
_JPEG = 0.15


def fit(pictures: Pictures, autoencoder: Any, plan: Plan, folder: Path, device: torch.device) -> Judge:
    """Train the judge and return it with averaged weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        model = Judge().to(device)
    labels = torch.from_numpy(pictures.labels)

    def batch(generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(pictures), (plan.batch,), generator=generator)
        images = _degrade(pictures.batch(chosen), autoencoder, generator, device)
        return images.to(device), labels[chosen].to(device)

    judge = train("judge", model, batch, partial(_loss, model), plan, folder)
    assert isinstance(judge, Judge)
    return judge


def _loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    losses = [
        functional.cross_entropy(logits, labels[:, index], label_smoothing=_SMOOTHING)
        for index, logits in enumerate(model(images).values())
    ]
    return torch.stack(losses).sum()


@torch.no_grad()
def _degrade(images: Tensor, autoencoder: Any, generator: torch.Generator, device: torch.device) -> Tensor:
    """Pass a share of a batch through the autoencoder or JPEG, and add a little blur and noise to all images."""
    decoded = round(len(images) * _DECODED)
    compressed = decoded + round(len(images) * _JPEG)
    images[:decoded] = _decode(autoencoder, images[:decoded], generator, device)
    images[decoded:compressed] = _compress(images[decoded:compressed], generator)
    blur = torch.rand(len(images), 1, 1, 1, generator=generator).pow(3)
    soft = functional.avg_pool2d(functional.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    noise = torch.randn(images.shape, generator=generator)
    amount = 0.12 * torch.rand(len(images), 1, 1, 1, generator=generator).pow(3)
    return images.lerp(soft, blur) + amount * noise


def _decode(autoencoder: Any, images: Tensor, generator: torch.Generator, device: torch.device) -> Tensor:
    """Pass images through slightly wrong latents, as a denoiser's are."""
    latents = autoencoder.encode(images.to(device)).latents.cpu()
    amount = 0.3 * torch.rand(len(images), 1, 1, 1, generator=generator)
    latents = latents + amount * torch.randn(latents.shape, generator=generator)
    return autoencoder.decode(latents.to(device)).sample.clamp(-1, 1).cpu()  # type: ignore[no-any-return]


def _compress(images: Tensor, generator: torch.Generator) -> Tensor:
    pixels = images.add(1).mul(127.5).round().byte().permute(0, 2, 3, 1).numpy()
    shown = []
    for picture in pixels:
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=int(torch.randint(30, 95, (), generator=generator)))
        shown.append(Image.open(file))
    return to_floats(to_pixels(shown))
