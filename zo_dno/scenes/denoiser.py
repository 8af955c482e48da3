"""The third stage of training: a conditional U-Net and its text encoder, which turn noise into latents."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from zo_dno.scenes.data import Pictures
from zo_dno.scenes.loop import Batch, Plan, train
from zo_dno.scenes.text import WIDTH, build_encoder, build_tokenizer, tokenize

TRAINING_STEPS = 1000
_CHANNELS = (48, 96, 128)
_LAST_SIGNAL = 0.01  # amplitude
_UNCONDITIONAL = 0.1  # share of captions left out in training, for guidance


class Denoiser(nn.Module):
    """The trained half of the pipeline: text encoder and U-Net."""

    def __init__(self) -> None:
        super().__init__()
        self.tokenizer = build_tokenizer()
        self.text_encoder = build_encoder(self.tokenizer)
        self.unet = build_unet()

    def forward(self, latents: Tensor, times: Tensor, ids: Tensor) -> Tensor:
        """Predict the velocity of noisy `latents` at `times` for token numbers `ids`."""
        words = self.text_encoder(ids)[0]
        return self.unet(latents, times, words, return_dict=False)[0]  # type: ignore[no-any-return]

    def tokens(self, captions: Sequence[str]) -> Tensor:
        """Return the token numbers of captions."""
        return tokenize(self.tokenizer, captions)


def build_unet() -> Any:
    """Make an untrained `UNet2DConditionModel` for 4 x 16 x 16 latents."""
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        block_out_channels=_CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=4,
        norm_num_groups=8,
        cross_attention_dim=WIDTH,
    )


def build_scheduler() -> Any:
    """Make the DDIM scheduler, whose last step is almost pure noise, so that a few steps suffice."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        num_train_timesteps=TRAINING_STEPS,
        trained_betas=_betas(),
        clip_sample=False,
        set_alpha_to_one=True,
        steps_offset=1,
        prediction_type="v_prediction",
        timestep_spacing="trailing",
    )


def _betas() -> list[float]:
    """Stretch Stable Diffusion's schedule so that `_LAST_SIGNAL` of the signal remains.

    Diffusers' own `rescale_betas_zero_snr` leaves none, and DDIM at eta = 1 then takes the root of a negative rounding
    error.
    """
    betas = torch.linspace(0.00085**0.5, 0.012**0.5, TRAINING_STEPS, dtype=torch.float64) ** 2
    signal = (1.0 - betas).cumprod(dim=0).sqrt()
    signal = _LAST_SIGNAL + (signal - signal[-1]) * (signal[0] - _LAST_SIGNAL) / (signal[0] - signal[-1])
    kept = signal.square()
    kept[1:] = kept[1:] / kept[:-1]
    return [round(beta, 9) for beta in (1.0 - kept).tolist()]


@torch.no_grad()
def encode(pictures: Pictures, autoencoder: Any, device: torch.device, batch: int = 100) -> Tensor:
    """Compute the latents of all pictures."""
    blocks = []
    for indices in torch.arange(len(pictures)).split(batch):
        images = pictures.batch(indices).to(device, memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            latents = autoencoder.encode(images).latents
        blocks.append(latents.float().cpu().contiguous())
    return torch.cat(blocks) * float(autoencoder.config.scaling_factor)


def fit(
    encoded: Callable[[], Tensor], captions: Sequence[str], plan: Plan, folder: Path, device: torch.device
) -> Denoiser:
    """Train text encoder and U-Net together and return them with averaged weights.

    The latents are computed at the first step, so that a finished training is loaded without them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(plan.seed)
        model = Denoiser().to(device)
    scheduler, latents = build_scheduler(), functools.cache(encoded)
    ids, nothing = model.tokens(captions), model.tokens([""])

    def batch(generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(captions), (plan.batch,), generator=generator)
        times = spread_times(plan.batch, generator)
        clean = latents()[chosen]
        noise = torch.randn(clean.shape, generator=generator)
        untold = torch.rand(plan.batch, 1, generator=generator) < _UNCONDITIONAL
        noisy, velocity = scheduler.add_noise(clean, noise, times), scheduler.get_velocity(clean, noise, times)
        words = torch.where(untold, nothing, ids[chosen])
        return noisy.to(device), times.to(device), words.to(device), velocity.to(device)

    def loss(noisy: Tensor, times: Tensor, words: Tensor, velocity: Tensor) -> Tensor:
        return functional.mse_loss(model(noisy, times, words), velocity)

    trained = train("denoiser", model, batch, loss, plan, folder)
    assert isinstance(trained, Denoiser)
    return trained


def spread_times(count: int, generator: torch.Generator) -> Tensor:
    """Draw times that cover the whole range evenly, one in each of `count` equal intervals."""
    places = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    times = (places * TRAINING_STEPS).long().clamp(max=TRAINING_STEPS - 1)
    return times[torch.randperm(count, generator=generator)]
