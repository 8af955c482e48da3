"""The space near liked noise: mixtures of it, with some fresh noise."""

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.space import NoiseLayout, retract, rotate
from zo_dno.rng import stream
from zo_dno.spaces.space import SearchSpace


class Near(SearchSpace):
    """Noise at a fixed distance from mixtures of liked noise: sqrt(1 - b^2) mixture + b eps, put on the shell.

    A mixture is sum_i sqrt(p_i) liked_i, where the shares p_i sum to 1, so that independent Gaussians mix to a
    Gaussian; plain averages would fall inside of the shell. Coordinates are a weight for each liked noise, whose
    squares are proportional to the shares, and the fresh noise eps.

    Args:
        liked: Liked noise (n, d).
        distance: b, the sine of the angle between candidates and mixtures: 0 searches the mixtures alone, 1 forgets
            them.
    Raises:
        InputError: There is nothing to search.
    """

    def __init__(self, noise: NoiseLayout, start: Tensor, seed: int, *, liked: Tensor, distance: float) -> None:
        if distance == 0 and len(liked) == 1:
            raise InputError(
                "distance must be above 0 near a single noise; got 0, at which there is nothing to search."
            )
        self._liked, self._distance, self._sizes = retract(liked, noise.sizes), distance, noise.sizes
        self._start = start
        self._weights = len(liked) if len(liked) > 1 else 0
        parts = [torch.ones(self._weights)]
        if distance:
            eps = torch.randn(noise.d, generator=stream(seed, "near"))
            parts.append(retract(eps, noise.sizes))
        self.origin = torch.cat(parts)
        self.sizes = (*([self._weights] if self._weights else []), *(noise.sizes if distance else []))

    def to_noise(self, y: Tensor) -> Tensor:
        shares = y[:, : self._weights].square() if self._weights else torch.ones(len(y), 1)
        z = mixtures(self._liked, shares, self._sizes)
        if self._distance:
            z = retract(rotate(z, y[:, self._weights :], self._distance), self._sizes)
        same = (y == self.origin).all(1, keepdim=True)
        return self._start.where(same, z)


def mixtures(liked: Tensor, shares: Tensor, sizes: tuple[int, ...]) -> Tensor:
    """Mix noise so that independent Gaussians give a Gaussian, and put the sums on the shell.

    Args:
        liked: Noise (n, d).
        shares: Shares (m, n) of each in every mixture, at least 0; only their ratios count.
        sizes: Sizes of the draws in the noise.
    Returns:
        Noise (m, d).
    """
    weights = (shares / shares.sum(1, keepdim=True).clamp_min(1e-12)).sqrt()
    return retract(weights @ liked, sizes)


def middle(liked: Tensor, noise: NoiseLayout) -> Tensor:
    """Return the mixture (d,) with equal shares of liked noise (n, d), where a search near it starts.

    Raises:
        InputError: The noise is of another size.
    """
    if liked.shape[1] != noise.d:
        raise InputError(f"near must be noise of this generator, {noise.d} numbers; got {liked.shape[1]}.")
    return mixtures(liked, torch.ones(1, len(liked)), noise.sizes)[0]
