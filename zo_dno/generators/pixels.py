"""Rendered numbers as bytes, and the error of a generator some of whose candidates have no image."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from zo_dno.errors import ZoDnoError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from zo_dno.types import Differentiable, Generator, HasVjp

NOT_NUMBERS = "it is not made of numbers (NaN)"


class NoImageError(ZoDnoError):
    """Some candidates have no image. A generator raises it, and the search continues with the others.

    Args:
        reasons: Reason for each row of z without an image.
        images: Images of all rows, (n, H, W, 3) uint8; those of the rows in `reasons` may hold anything.
        arrays: What the generator gives rewards that take arrays, (n, ...); by default the images.
    """

    def __init__(self, reasons: "Mapping[int, str]", images: "Tensor", arrays: "Tensor | None" = None) -> None:
        row, reason = next(iter(reasons.items()))
        super().__init__(f"{len(reasons)} of {len(images)} candidates have no image; row {row}: {reason}")
        self.reasons, self.images, self.arrays = dict(reasons), images, arrays


def render_floats(generator: "Differentiable", z: "Tensor") -> "Tensor":
    """Render z (n, d) as (n, 3, H, W) float in [0, 1], without a graph."""
    import torch

    with torch.no_grad():
        return generator.render(z)


def has_gradient(generator: "Generator") -> bool:
    """Return whether images have a gradient with respect to their noise; a function of floats is tried."""
    import torch

    from zo_dno.types import Differentiable, HasVjp

    if isinstance(generator, HasVjp):
        return True
    if not isinstance(generator, Differentiable):
        return False
    try:
        with torch.enable_grad():
            return generator.render(torch.zeros(1, generator.layout.d, requires_grad=True)).requires_grad
    except (ZoDnoError, RuntimeError, TypeError):  # a function of NumPy, or one that gives bytes
        return False


def vjp_of(generator: "Differentiable | HasVjp", z: "Tensor", cotangent: "Callable[[Tensor], Tensor]") -> "Tensor":
    """Return J(z)^T h, (n, d) on the CPU; `cotangent` gives h for the float32 images of z."""
    import torch

    from zo_dno.types import HasVjp

    if isinstance(generator, HasVjp):
        return generator.vjp(z, cotangent)
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        images = generator.render(z)
        (gradient,) = torch.autograd.grad(images, z, cotangent(images.detach().float()).to(images))
    return gradient


def bytes_of(images: "Tensor") -> "Tensor":
    """Round images (n, 3, H, W) float to (n, H, W, 3) uint8 on the CPU.

    Raises:
        NoImageError: Some images hold NaN.
    """
    wrong = images.isnan().flatten(1).any(1).nonzero().flatten().tolist()
    return joined([rounded(images).cpu()], dict.fromkeys(wrong, NOT_NUMBERS))


def rounded(images: "Tensor") -> "Tensor":
    """Round images (n, 3, H, W) float to (n, H, W, 3) uint8, on their device; numbers outside of [0, 1] are cut."""
    import torch

    pixels = (images.float().nan_to_num().clamp(0, 1) * 255).round().to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous()


def joined(blocks: "list[Tensor]", reasons: Mapping[int, str], arrays: "Tensor | None" = None) -> "Tensor":
    """Concatenate blocks of images; `arrays` goes with the error.

    Raises:
        NoImageError: `reasons` names rows without an image.
    """
    import torch

    images = torch.cat(blocks)
    if reasons:
        raise NoImageError(reasons, images, arrays)
    return images


def to_cpu(values: "Tensor") -> "Tensor":
    """Begin to copy to the CPU, while the next block is rendered."""
    import torch

    if values.device.type != "cuda":
        return values.cpu()
    pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    return pinned.copy_(values, non_blocking=True)


def wait_for_copies(device: "torch.device") -> None:
    """Wait until all copies to the CPU are complete."""
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)
