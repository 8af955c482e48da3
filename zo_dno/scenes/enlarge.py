"""A stage of training after the autoencoder: one of twice the picture size whose latents are the same.

The denoiser then renders larger pictures without being trained again, and a search has as many numbers.
"""

from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from zo_dno.scenes import autoencoder
from zo_dno.scenes.data import Pictures
from zo_dno.scenes.loop import Batch, Plan, train

_LAYERS = 15  # of the decoder, up to the first block after its second enlargement, which both begin with


def build() -> Any:
    """Make an untrained `AutoencoderTiny`: 3 x 128 x 128 to 4 x 16 x 16.

    Its largest level has no blocks, which would take most of the time of decoding.
    """
    from diffusers import AutoencoderTiny

    return AutoencoderTiny(
        encoder_block_out_channels=(autoencoder.CHANNELS,) * 4,
        decoder_block_out_channels=(autoencoder.CHANNELS,) * 4,
        num_encoder_blocks=(0, 1, 2, 4),
        num_decoder_blocks=(5, 3, 2, 0),
        latent_channels=autoencoder.LATENT_CHANNELS,
        scaling_factor=1.0,
        force_upcast=False,
    )


def fit(pictures: Pictures, small: Any, plan: Plan, folder: Path, device: torch.device) -> Any:
    """Train the autoencoder and return it with averaged weights.

    Args:
        pictures: Pictures (n, 128, 128, 3).
        small: Autoencoder of pictures of half their size, which gives the latents.
        plan: Steps, batches and learning rate.
        folder: Folder of the checkpoint.
        device: Device of the training.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        model = build()
    _begin_as(model, small)
    model = model.to(device, memory_format=torch.channels_last)
    small = small.to(device).eval()

    def batch(generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(pictures), (plan.batch,), generator=generator)
        images = pictures.batch(chosen).to(device, memory_format=torch.channels_last)
        with torch.no_grad():
            latents = small.encode(functional.avg_pool2d(images, 2)).latents
        return images, latents, autoencoder.latent_noise(plan.batch, generator).to(device)

    return train("enlarge", model, batch, partial(_loss, model), plan, folder)


def _begin_as(model: Any, small: Any) -> None:
    """Copy the layers of the small autoencoder that work at the same sizes."""
    pairs = [
        *zip(model.decoder.layers[:_LAYERS], small.decoder.layers[:_LAYERS], strict=True),
        *zip(model.encoder.layers[2:], small.encoder.layers[1:], strict=True),
    ]
    for own, other in pairs:
        own.load_state_dict(other.state_dict())


def _loss(model: nn.Module, images: Tensor, latents: Tensor, noise: Tensor) -> Tensor:
    with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
        encoded = model.encode(images).latents  # type: ignore[operator]
        decoded = model.decode(latents + noise).sample  # type: ignore[operator]
    error: Tensor = (encoded.float() - latents).square().mean()
    return autoencoder.difference(decoded.float(), images) + error
