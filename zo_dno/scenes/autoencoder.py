"""The first stage of training: an autoencoder between pictures and small latents."""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zo_dno.scenes.data import Pictures
from zo_dno.scenes.loop import Batch, Plan, train

CHANNELS = 32
LATENT_CHANNELS = 4
_NOISE = 0.04  # added to the latents in training, so that nearby latents decode alike


def build() -> Any:
    """Make an untrained `AutoencoderTiny`: 3 x 64 x 64 to 4 x 16 x 16."""
    from diffusers import AutoencoderTiny

    return AutoencoderTiny(
        encoder_block_out_channels=(CHANNELS,) * 3,
        decoder_block_out_channels=(CHANNELS,) * 3,
        num_encoder_blocks=(1, 2, 4),
        num_decoder_blocks=(5, 3, 1),
        latent_channels=LATENT_CHANNELS,
        scaling_factor=1.0,
        force_upcast=False,
    )


def fit(pictures: Pictures, plan: Plan, folder: Path, device: torch.device) -> Any:
    """Train the autoencoder and return it with averaged weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        model = build().to(device, memory_format=torch.channels_last)

    def batch(generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(pictures), (plan.batch,), generator=generator)
        images = pictures.batch(chosen).to(device, memory_format=torch.channels_last)
        return images, latent_noise(plan.batch, generator).to(device)

    return train("autoencoder", model, batch, partial(_loss, model), plan, folder)


def latent_noise(count: int, generator: torch.Generator) -> Tensor:
    """Return a little noise for latents in training, (n, 4, 16, 16)."""
    return torch.randn(count, LATENT_CHANNELS, 16, 16, generator=generator) * _NOISE


def difference(decoded: Tensor, images: Tensor) -> Tensor:
    """Return the sum of absolute, squared and edge errors of decoded images (n, 3, H, W)."""
    error = decoded - images
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 3.0 * error.square().mean() + 0.5 * edges


def _loss(model: nn.Module, images: Tensor, noise: Tensor) -> Tensor:
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
        latents = model.encode(images).latents  # type: ignore[operator]
        decoded = model.decode(latents + noise).sample  # type: ignore[operator]
    return difference(decoded.float(), images) + 0.02 * _spread(latents.float())


def _spread(latents: Tensor) -> Tensor:
    """Return a penalty of channels that are not centred, of unit variance and uncorrelated."""
    flat = latents.transpose(0, 1).flatten(1)
    mean = flat.mean(dim=1, keepdim=True)
    covariance = (flat - mean) @ (flat - mean).T / flat.shape[1]
    return mean.square().sum() + (covariance - torch.eye(len(flat), device=flat.device)).square().sum()
