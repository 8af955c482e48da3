"""The backward pass through a pipeline: recomputation, precision, and the number of denoiser calls."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from zo_dno.errors import InputError
from zo_dno.generators.memory import is_out_of_memory
from zo_dno.generators.speed import torch_dtype
from zo_dno.types import is_count

_LOSS_SCALE = 8192.0  # largest entry of the cotangent in float16, as in the paper's code
_TRIES = 4  # with ever smaller scales
_MOST_KEPT = 2**30  # bytes kept for a gradient without checkpoints


class _TooMuchError(Exception):
    """More would be kept than may be."""


@dataclass(frozen=True, slots=True)
class Gradients:
    """Settings of the backward pass.

    Args:
        checkpointing: Whether to keep only the inputs of each network and recompute the rest, which takes the memory of
            one call instead of all; by default where all would take more than 1 GiB.
        dtype: Type that autocast computes in, such as "bfloat16"; by default the pipeline's.
        calls: Number of last denoiser calls that the gradient passes through; the outputs of earlier ones are
            constants. The scheduler's own arithmetic always counts. By default all.
    Raises:
        InputError: calls is below 0, or the dtype is unknown.
    """

    checkpointing: bool | None = None
    dtype: str | None = None
    calls: int | None = None

    def __post_init__(self) -> None:
        if self.calls is not None and not (is_count(self.calls) or (self.calls == 0 and type(self.calls) is int)):
            raise InputError(f"gradient_calls must be at least 0; got {self.calls!r}.")
        if self.dtype is not None:
            torch_dtype(self.dtype)

    def around(self, total: int) -> Callable[[Callable[..., Any], bool], Callable[..., Any]]:
        """Return the wrapper of networks for one pipeline call, which makes `total` denoiser calls."""
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

    def settled(self, kept: int, n: int) -> "Gradients":
        """Return the settings for n images, each of which would have `kept` bytes kept."""
        return self if self.checkpointing is not None else replace(self, checkpointing=kept * n > _MOST_KEPT)

    def kept(
        self, z: Tensor, render: Callable[[Tensor], Tensor], device: torch.device, networks: Sequence[nn.Module]
    ) -> int:
        """Return the bytes that are kept for the gradient of z (1, d) without checkpoints; at least 1 GiB counts as 2.

        Args:
            z: Noise, (1, d).
            render: Function from z to images (n, 3, H, W), without checkpoints.
            device: Device that the pipeline computes on.
            networks: Networks whose weights are there anyway.
        """
        seen = {weight.untyped_storage().data_ptr() for network in networks for weight in network.parameters()}
        total = 0
        held: list[torch.UntypedStorage] = []

        def pack(tensor: Tensor) -> None:
            nonlocal total
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in seen:
                seen.add(storage.data_ptr())
                held.append(storage)  # until all is counted, or the next one might get its address
                total += storage.nbytes()
            if total > _MOST_KEPT:
                raise _TooMuchError

        try:
            with torch.autograd.graph.saved_tensors_hooks(pack, lambda _: torch.empty(0)):
                self._forward(z, render, device)
        except _TooMuchError:
            return 2 * _MOST_KEPT
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return 2 * _MOST_KEPT
        return total

    def _forward(self, z: Tensor, render: Callable[[Tensor], Tensor], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the images of z and the leaf that they depend on."""
        z = z.detach().requires_grad_()
        kind = None if self.dtype is None else torch_dtype(self.dtype)
        with torch.enable_grad(), torch.autocast(device.type, kind, enabled=kind is not None):
            return render(z), z

    def vjp(
        self, z: Tensor, render: Callable[[Tensor], Tensor], cotangent: Callable[[Tensor], Tensor], device: torch.device
    ) -> Tensor:
        """Return J(z)^T h, (n, d) on the CPU, as float32.

        Args:
            z: Noise, (n, d).
            render: Function from z to images (n, 3, H, W).
            cotangent: Function from the images, as float32, to h.
            device: Device that the pipeline computes on.
        Raises:
            InputError: The gradient is not finite at any scale.
        """
        images, z = self._forward(z, render, device)
        kind = None if self.dtype is None else torch_dtype(self.dtype)
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
    """Require no gradients of weights inside the block, so that nothing is kept for them."""
    required = [weight for network in networks for weight in network.parameters() if weight.requires_grad]
    for weight in required:
        weight.requires_grad_(False)
    try:
        yield
    finally:
        for weight in required:
            weight.requires_grad_(True)
