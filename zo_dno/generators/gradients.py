"""How gradients pass through a pipeline's networks: recomputed, in which precision, through how many calls."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zo_dno.errors import InputError
from zo_dno.generators.loading import torch_dtype

_LOSS_SCALE = 8192.0  # the largest entry of what is pulled back in float16, as in the paper's code
_TRIES = 4  # of ever smaller ones


@dataclass(frozen=True, slots=True)
class Gradients:
    """Settings of the backward pass.

    Args:
        checkpointing: keep what goes into each network, and compute the rest again: memory of one call, not of all.
        dtype: to compute in where that is safe (autocast), such as "bfloat16"; by default as the pipeline does.
        calls: denoiser calls that the gradient passes through, the last ones; the others count as constants, while the
            scheduler's own arithmetic is passed through always. By default all.
    Raises:
        InputError: calls is below 1, or there is no such dtype.
    """

    checkpointing: bool = True
    dtype: str | None = None
    calls: int | None = None

    def __post_init__(self) -> None:
        if self.calls is not None and self.calls < 1:
            raise InputError(f"gradient_calls must be at least 1; got {self.calls}.")
        if self.dtype is not None:
            torch_dtype(self.dtype)

    def around(self, total: int) -> Callable[[Callable[..., Any], bool], Callable[..., Any]]:
        """Return what wraps the networks during one pipeline call that makes `total` denoiser calls."""
        made = 0

        def wrap(call: Callable[..., Any], is_denoiser: bool) -> Callable[..., Any]:
            def wrapped(*args: Any, **kwargs: Any) -> Any:
                nonlocal made
                made += is_denoiser
                if is_denoiser and self.calls is not None and made <= total - self.calls:
                    with torch.no_grad():
                        return call(*args, **kwargs)
                if self.checkpointing and torch.is_grad_enabled():
                    return checkpoint(call, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
                return call(*args, **kwargs)

            return wrapped

        return wrap

    def vjp(
        self, z: Tensor, draw: Callable[[Tensor], Tensor], cotangent: Callable[[Tensor], Tensor], device: torch.device
    ) -> Tensor:
        """Return J(z)^T h, (n, d) on the CPU, as float32.

        Args:
            z: (n, d).
            draw: z -> images (n, 3, H, W).
            cotangent: images, as float32 -> h.
            device: that the pipeline computes on.
        Raises:
            InputError: the gradient is not finite at any scale.
        """
        z = z.detach().requires_grad_()
        kind = None if self.dtype is None else torch_dtype(self.dtype)
        with torch.enable_grad(), torch.autocast(device.type, kind, enabled=kind is not None):
            images = draw(z)
        h = cotangent(images.detach().float()).to(images.device, torch.float32)
        if bool(h.isnan().any()):
            return torch.full_like(z, torch.nan).detach().cpu()
        half = torch.float16 in (kind, images.dtype)
        for attempt in range(_TRIES if half else 1):
            scale = _LOSS_SCALE / 16**attempt / float(h.abs().max().clamp_min(1e-30)) if half else 1.0
            (gradient,) = torch.autograd.grad(images, z, (h * scale).to(images.dtype), retain_graph=half)
            if bool(gradient.isfinite().all()):
                return gradient.float().cpu() / scale
        raise InputError(
            "the gradient through the pipeline is not finite. Set gradient_dtype to bfloat16, or leave it out."
        )


@contextmanager
def frozen_weights(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Ask for no gradient of weights meanwhile, so that nothing is kept for it."""
    asked = [weight for network in networks for weight in network.parameters() if weight.requires_grad]
    for weight in asked:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in asked:
            weight.requires_grad_(True)
