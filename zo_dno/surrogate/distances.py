"""Distances of images: of pixels, of a family of features, of an embedding, or a function of the caller's."""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d

from zo_dno.errors import InputError, unknown_name
from zo_dno.failures import text_of
from zo_dno.registry import load
from zo_dno.surrogate.features import FAMILIES, Features
from zo_dno.types.diversity import Distance

PIXELS = "pixels"
EMBEDDING = "embedding:"
"""Prefix of the folder or hub name of a network of images."""
NAMES = (PIXELS, *(name for name in FAMILIES if name != PIXELS))
_LARGEST = 128  # pixels along a side; larger images are averaged down to it
_NONE = 1e-9  # below, a distance counts as 0
_AT_ONCE = 2**26  # numbers of pairs of images that are compared together, a quarter of a GB
_SAME = 1e-4  # share of a distance by which it may differ from that in the other order


class PixelDistance:
    """The mean absolute difference of pixels in [0, 1]; images above 128 pixels a side are averaged down to that."""

    name = PIXELS

    def describe(self, images: Tensor) -> Tensor:
        height, width = images.shape[2:]
        sides = min(height, _LARGEST), min(width, _LARGEST)
        return (images if sides == (height, width) else adaptive_avg_pool2d(images, sides)).cpu().float().flatten(1)

    def between(self, some: Tensor, others: Tensor) -> Tensor:
        return torch.cdist(some, others, p=1) / some.shape[1]


class FeatureDistance:
    """The root mean square difference of the features of images; of an embedding, the length of the difference.

    Args:
        name: Name of a family of features, or "embedding:" before the folder or hub name of a network.
        features: Features of images.
        mean: Whether the squares are averaged, not added.
    """

    def __init__(self, name: str, features: Features, *, mean: bool = True) -> None:
        self.name, self._features, self._mean = name, features, mean

    def describe(self, images: Tensor) -> Tensor:
        return self._features(images)

    def between(self, some: Tensor, others: Tensor) -> Tensor:
        if len(some) > 1 and some.numel() * len(others) > _AT_ONCE:
            return torch.cat([self.between(one[None], others) for one in some])
        squares = (some[:, None] - others[None]).square()
        total = squares.mean(2) if self._mean else squares.sum(2)
        return total.clamp_min(1e-24).sqrt()  # whose slope is finite for equal images, too


class FunctionDistance:
    """A function of the caller's of two batches of images, (n, 3, H, W) each in [0, 1], that gives n distances.

    Args:
        name: Name, as a config has it.
        function: The function.
    """

    def __init__(self, name: str, function: Callable[[Tensor, Tensor], Any]) -> None:
        self.name, self._function = name, function
        self._shape: tuple[int, ...] = ()

    def describe(self, images: Tensor) -> Tensor:
        self._shape = tuple(images.shape[1:])
        return images.cpu().float().flatten(1)

    def between(self, some: Tensor, others: Tensor) -> Tensor:
        """Return the distances of all pairs.

        Raises:
            InputError: The function fails, or does not give a number for each pair.
        """
        rows, columns = len(some), len(others)
        if not rows or not columns:
            return some.new_zeros(rows, columns)
        if rows > 1 and some.numel() * columns > _AT_ONCE:
            return torch.cat([self.between(row[None], others) for row in some])
        one = some.view(rows, *self._shape).repeat_interleave(columns, 0)
        other = others.view(columns, *self._shape).repeat(rows, *(1 for _ in self._shape))
        try:
            found = torch.as_tensor(self._function(one, other))
        except InputError:
            raise
        except Exception as error:  # of a function of the caller's
            raise InputError(f"apart {self.name!r} failed: {text_of(error)}") from error
        if tuple(found.shape) != (len(one),):
            raise InputError(
                f"apart {self.name!r} must give ({len(one)},), a distance for each pair of images; got "
                f"{tuple(found.shape)}."
            )
        return found.cpu().float().view(rows, columns)


def make_distance(apart: str | Callable[..., Any]) -> Distance:
    """Make a distance from a name, "embedding:NETWORK", "package.module:name", or a function.

    A function of one batch of images gives vectors (n, m), whose Euclidean distance counts; one of two batches gives
    the distances (n,) of the pairs.

    Raises:
        InputError: The name is unknown, the network is not on this machine, or the function takes neither.
    """
    if isinstance(apart, str) and apart == PIXELS:
        return PixelDistance()
    if isinstance(apart, str) and apart in FAMILIES:
        return FeatureDistance(apart, Features([apart]))
    if isinstance(apart, str) and apart.startswith(EMBEDDING):
        return FeatureDistance(apart, Features([], apart.removeprefix(EMBEDDING)), mean=False)
    if isinstance(apart, str) and ":" not in apart:
        raise unknown_name("distance apart", apart, (*NAMES, f"{EMBEDDING}NETWORK"))
    function = load("apart", {}, apart) if isinstance(apart, str) else apart
    name = apart if isinstance(apart, str) else f"{function.__module__}:{getattr(function, '__qualname__', 'function')}"
    n = _taken(function)
    if n == 2:
        return FunctionDistance(name, function)
    if n == 1:
        return FeatureDistance(name, Features([function]), mean=False)
    raise InputError(
        f"apart {name!r} must take one batch of images and give vectors, or two and give distances; it takes {n}."
    )


def check_distance(distance: Distance, images: Tensor) -> None:
    """Check a distance on images (n, 3, H, W), n at least 3, before a query is spent.

    Raises:
        InputError: It is not finite, is negative, depends on the order, or is 0 between all of them.
    """
    described = distance.describe(images)
    found = distance.between(described, described)
    check_finite(distance, found)
    if bool((found < 0).any()):
        raise InputError(f"apart {distance.name!r} must give distances of at least 0; got {float(found.min()):.4g}.")
    order = float((found - found.T).abs().max())
    if order > _SAME * float(found.max()):
        row, column = divmod(int((found - found.T).abs().argmax()), len(found))
        raise InputError(
            f"apart {distance.name!r} must give the same distance in both orders; got {float(found[row, column]):.4g} "
            f"and {float(found[column, row]):.4g} for the same two images."
        )
    if not bool((found[~torch.eye(len(found), dtype=torch.bool)] > _NONE).any()):
        raise InputError(
            f"apart {distance.name!r} must tell images apart; got 0 between all of {len(images)} prior draws. Name "
            "another distance."
        )


def check_finite(distance: Distance, found: Tensor) -> None:
    """Check that distances are finite.

    Raises:
        InputError: One is not.
    """
    if not bool(found.isfinite().all()):
        raise InputError(f"apart {distance.name!r} must be finite; got {float(found[~found.isfinite()][0])}.")


def has_gradient(distance: Distance, images: Tensor) -> bool:
    """Return whether a distance has a gradient with respect to images (n, 3, H, W)."""
    with torch.enable_grad():
        given = images.detach().clone().requires_grad_()
        described = distance.describe(given)
        return bool(distance.between(described, described.detach()).requires_grad)


def mean_distance(distances: Tensor) -> float:
    """Return the mean of all pairs of different rows of distances (n, n); 0 with fewer than two."""
    n = len(distances)
    return float(distances.double().sum() - distances.double().diagonal().sum()) / (n * (n - 1)) if n > 1 else 0.0


def _taken(function: Callable[..., Any]) -> int:
    """Return the number of positional arguments that a function needs."""
    if not callable(function):
        raise InputError(f"apart must be a function; got {type(function).__name__}.")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature
        return 1
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in positional and one.default is one.empty for one in parameters)
