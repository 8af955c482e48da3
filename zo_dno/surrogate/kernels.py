"""Kernels over standardized features, of one family or of several."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

_LENGTHS = (0.5, 1.0, 2.0, 4.0)  # length scales of the smooth kernel, in standardized features
_MIXES = (0.0, 0.5, 1.0)  # linear share of the kernel


@dataclass(frozen=True, slots=True)
class Kernel:
    """The kernel mix <x, x'> / m + (1 - mix) exp(-|x - x'|^2 / (2 m length^2)), for m standardized features.

    Attributes:
        length: Length scale of the smooth part.
        mix: Share of the linear part.
    """

    length: float
    mix: float

    def __call__(self, x: Tensor, other: Tensor) -> Tensor:
        """Return the kernel of all pairs of rows, (n, k)."""
        return self.of_products(products(x, other))

    def of_products(self, given: "Products") -> Tensor:
        """Return the kernel from what all kernels of the same rows share, (n, k)."""
        smooth = torch.exp(given.squares / (-2 * given.m * self.length**2))
        return smooth if self.mix == 0 else self.mix * given.inner / given.m + (1 - self.mix) * smooth

    def own(self, x: Tensor) -> Tensor:
        """Return the kernel of every row with itself, (n,)."""
        return self.mix * (x**2).mean(1) + 1 - self.mix


@dataclass(frozen=True, slots=True, eq=False)
class Products:
    """What all kernels of the same rows of m features share.

    Attributes:
        inner: Inner products, (n, k).
        squares: Squared distances, (n, k).
        m: Number of features.
    """

    inner: Tensor
    squares: Tensor
    m: int


def products(x: Tensor, other: Tensor) -> Products:
    """Return the inner products and squared distances of the rows of x (n, m) and other (k, m)."""
    inner = x @ other.T
    squares = (x**2).sum(1)[:, None] + (other**2).sum(1)[None] - 2 * inner
    return Products(inner, squares.clamp_min(0), x.shape[1])


@dataclass(frozen=True, slots=True)
class KernelSum:
    """A weighted sum of kernels, each over the columns of its own family of features.

    Attributes:
        parts: Weights, columns and kernels; the weights sum to 1.
    """

    parts: tuple[tuple[float, slice, Kernel], ...]

    def __call__(self, x: Tensor, other: Tensor) -> Tensor:
        """Return the kernel of all pairs of rows, (n, k)."""
        return torch.stack([share * kernel(x[:, one], other[:, one]) for share, one, kernel in self.parts]).sum(0)

    def own(self, x: Tensor) -> Tensor:
        """Return the kernel of every row with itself, (n,)."""
        return torch.stack([share * kernel.own(x[:, one]) for share, one, kernel in self.parts]).sum(0)

    def with_part(self, share: float, columns: slice, kernel: Kernel) -> "KernelSum":
        """Return a sum in which a further kernel has a share, and the others the rest."""
        others = ((weight * (1 - share), where, of) for weight, where, of in self.parts)
        return KernelSum((*others, (share, columns, kernel)))


AnyKernel = Kernel | KernelSum
KERNELS = tuple(
    Kernel(length, mix)
    for length in _LENGTHS
    for mix in (_MIXES if length == _LENGTHS[0] else _MIXES[:-1])  # a linear kernel has no length
)


def columns_of(sizes: Sequence[int]) -> list[slice]:
    """Return the columns of each family of features."""
    return [slice(start, end) for start, end in pairwise(accumulate(sizes, initial=0))]


def equal_sum(kernel: Kernel, sizes: Sequence[int]) -> AnyKernel:
    """Return a kernel of several families that count equally; of one, or of no given sizes, the kernel itself."""
    families = columns_of(sizes)
    return KernelSum(tuple((1 / len(families), one, kernel) for one in families)) if len(families) > 1 else kernel
