"""A diffusion model of a ring in the plane, trained in seconds, the tutorial example of Direct Noise Optimization.

10,000 points at a uniform direction and at a radius uniform in [0.8, 1.2]; a small network denoises; DDIM with eta = 1
samples in 100 steps, so that a point is a function of 200 numbers: two where it starts and two at every step but the
last, whose noise has no effect (Tang et al. 2024, arXiv:2405.18881).
"""

import itertools
import math
from typing import Literal

import torch
from torch import Tensor, nn

from zo_dno.rng import stream
from zo_dno.strategies.cotangents import noise_differences, normalised
from zo_dno.strategies.step_rules import adam

STEPS = 100
_TIMES = 1000
Method = Literal["gradient", "hybrid2"]


class Ring(nn.Module):
    """The model: z (n, 200) -> points (n, 2), differentiable.

    Args:
        seed: Seed of the points, the weights and the training.
        iterations: Number of training steps.
    """

    d = 2 * STEPS

    def __init__(self, seed: int = 0, iterations: int = 3000) -> None:
        super().__init__()
        rng = stream(seed, "ring")
        sizes = (2 + 8, 128, 128, 128, 2)
        self._weights = nn.ParameterList()
        for inputs, outputs in itertools.pairwise(sizes):
            self._weights.append(torch.randn(inputs, outputs, generator=rng) / math.sqrt(inputs))
            self._weights.append(torch.zeros(outputs))
        betas = torch.linspace(1e-4, 0.02, _TIMES)
        self._alphas: Tensor = (1 - betas).cumprod(0)
        self._train(points(10_000, rng), iterations, rng)
        self.requires_grad_(False)

    def forward(self, z: Tensor) -> Tensor:
        """Sample the points of z (n, 200)."""
        x, *noises = z.unflatten(1, (STEPS, 2)).unbind(1)
        times = torch.linspace(_TIMES - 1, 0, STEPS).round().long()
        alphas = [*self._alphas[times].tolist(), 1.0]
        for step, time in enumerate(times.tolist()):
            now, then = alphas[step], alphas[step + 1]
            predicted = self._denoise(x, torch.full((len(x),), time))
            clean = (x - math.sqrt(1 - now) * predicted) / math.sqrt(now)
            sigma = math.sqrt((1 - then) / (1 - now) * (1 - now / then))
            x = math.sqrt(then) * clean + math.sqrt(max(0.0, 1 - then - sigma**2)) * predicted
            if step < len(noises):
                x = x + sigma * noises[step]
        sampled: Tensor = x
        return sampled

    def _denoise(self, x: Tensor, times: Tensor) -> Tensor:
        phase = times[:, None] / _TIMES * torch.tensor([1.0, 2.0, 4.0, 8.0]) * math.pi
        hidden = torch.cat([x, phase.sin(), phase.cos()], 1)
        *inner, last = zip(self._weights[::2], self._weights[1::2], strict=True)
        for weight, bias in inner:
            hidden = nn.functional.silu(hidden @ weight + bias)
        weight, bias = last
        predicted: Tensor = hidden @ weight + bias
        return predicted

    def _train(self, data: Tensor, iterations: int, rng: torch.Generator) -> None:
        optimizer = torch.optim.Adam(self.parameters(), lr=2e-3)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, iterations)
        for _ in range(iterations):
            x = data[torch.randint(len(data), (512,), generator=rng)]
            times = torch.randint(_TIMES, (len(x),), generator=rng)
            noise, kept = torch.randn(x.shape, generator=rng), self._alphas[times, None]
            loss = (self._denoise(kept.sqrt() * x + (1 - kept).sqrt() * noise, times) - noise).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def points(n: int, rng: torch.Generator) -> Tensor:
    """Draw n points of the ring, (n, 2)."""
    angle, radius = 2 * math.pi * torch.rand(n, generator=rng), 0.8 + 0.4 * torch.rand(n, generator=rng)
    return radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)


def reward(x: Tensor) -> Tensor:
    """The tutorial's reward of points (..., 2): sin 4 pi x + sin 4 pi y - ((x - 1)^2 - y^2) / 5."""
    first, second = x.unbind(-1)
    waves = (4 * math.pi * first).sin() + (4 * math.pi * second).sin()
    return waves - ((first - 1).square() - second.square()) / 5


def climb(
    ring: Ring,
    method: Method,
    iterations: int,
    *,
    particles: int = 1000,
    probes: int = 2,
    mu: float = 0.01,
    lr: float = 0.01,
    seed: int = 0,
) -> Tensor:
    """Optimise the noise of many points, each by itself, as the paper's tutorial does.

    Args:
        ring: Model of the ring.
        method: "gradient", through model and reward, or "hybrid2".
        iterations: Number of Adam's steps.
        particles: Number of points.
        probes: Number of Hybrid-2's probes an iteration.
        mu: Size of the probes.
        lr: Learning rate of Adam.
        seed: Seed of the noise.
    Returns:
        Mean reward before every step and after the last one, (1 + iterations,).
    """
    rng = stream(seed, "ring points")
    z = torch.randn(particles, ring.d, generator=rng)
    moments, means = torch.zeros(2, *z.shape), []
    for count in range(1, iterations + 2):
        leaf = z.clone().requires_grad_()
        with torch.enable_grad():
            x = ring(leaf)
            gained = reward(x)
        means.append(gained.detach().mean())
        if count > iterations:
            break
        if method == "gradient":
            target = gained
        else:
            with torch.no_grad():
                around = z[:, None] + mu * torch.randn(particles, probes, ring.d, generator=rng)
                images = ring(around.flatten(0, 1)).unflatten(0, (particles, probes))
                h = normalised(noise_differences(images, x.detach(), reward(images), gained.detach()))
            target = (h * x).sum(1)
        (gradient,) = torch.autograd.grad(target.sum(), leaf)
        z = z + adam(gradient, moments, count, lr, 0.9)
    return torch.stack(means)
