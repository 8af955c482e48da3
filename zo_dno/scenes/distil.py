"""The fourth stage of training: a student whose single call predicts what the guided teacher does in two."""

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from zo_dno.scenes.denoiser import Denoiser, build_scheduler, spread_times
from zo_dno.scenes.loop import Batch, Plan, train

GUIDANCE = 1.75  # of the teacher
_UNCONDITIONAL = 0.08  # share of captions left out, so that the student can be guided as well


def fit(
    teacher: Denoiser, latents: Tensor, captions: Sequence[str], plan: Plan, folder: Path, device: torch.device
) -> Denoiser:
    """Train a student of `teacher` and return it with averaged weights."""
    teacher = teacher.to(device).eval()
    model = copy.deepcopy(teacher).requires_grad_(True)
    scheduler = build_scheduler()
    ids, nothing = teacher.tokens(captions), teacher.tokens([""])

    def batch(generator: torch.Generator) -> Batch:
        chosen = torch.randint(len(latents), (plan.batch,), generator=generator)
        times = spread_times(plan.batch, generator)
        noise = torch.randn(plan.batch, *latents.shape[1:], generator=generator)
        untold = torch.rand(plan.batch, 1, generator=generator) < _UNCONDITIONAL
        noisy = scheduler.add_noise(latents[chosen], noise, times)
        words = torch.where(untold, nothing, ids[chosen])
        return noisy.to(device), times.to(device), words.to(device)

    def loss(noisy: Tensor, times: Tensor, words: Tensor) -> Tensor:
        target = _guided(teacher, noisy, times, words, nothing.to(device))
        return functional.mse_loss(model(noisy, times, words), target)

    trained = train("distil", model, batch, loss, plan, folder)
    assert isinstance(trained, Denoiser)
    return trained


@torch.no_grad()
def _guided(teacher: Denoiser, noisy: Tensor, times: Tensor, words: Tensor, nothing: Tensor) -> Tensor:
    """Return the teacher's prediction with classifier-free guidance."""
    told: Tensor = teacher(noisy, times, words)
    untold: Tensor = teacher(noisy, times, nothing.expand(len(words), -1))
    return untold + GUIDANCE * (told - untold)
