"""The choice of a diverse batch among candidates whose rewards are predicted."""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

_CONSIDERED = 512  # candidates, the most promising ones


class Predicts(Protocol):
    """A process that predicts from features."""

    def __call__(self, features: Tensor) -> tuple[Tensor, Tensor]: ...

    def joint(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]: ...


def diverse(
    process: Predicts, features: Tensor, n: int, optimism: float, hope: Callable[[Tensor], Tensor] | None = None
) -> list[int]:
    """Choose n rows one after another by mean + optimism * deviation, best first (GP-BUCB, Desautels et al. 2014).

    Once a row is chosen, the deviations of all rows are those that its score would leave, which do not depend on the
    score; so rows like those chosen already are worth less.

    Args:
        process: Process that predicts.
        features: Finite features of the candidates, (k, m), k at least n.
        n: Number of rows to choose.
        optimism: Deviations added to a mean.
        hope: Function from features to what is added to their means, (k,), for other reasons than their rewards.
    """
    mean, deviation = process(features)
    other = torch.zeros_like(mean) if hope is None else hope(features)
    mean = mean + other
    considered = (mean + optimism * deviation).argsort(descending=True, stable=True)[: max(n, _CONSIDERED)]
    mean, covariance, noise = process.joint(features[considered])
    mean = mean + other[considered]
    variance, explained = covariance.diagonal().clone(), torch.zeros(0, len(considered), dtype=mean.dtype)
    chosen: list[int] = []
    for _ in range(n):
        worth = mean + optimism * variance.clamp_min(0).sqrt()
        worth[chosen] = -torch.inf
        place = int(worth.argmax())
        chosen.append(place)
        column = (covariance[:, place] - explained.T @ explained[:, place]) / (variance[place] + noise).sqrt()
        explained = torch.cat([explained, column[None]])
        variance = variance - column**2
    return [int(considered[place]) for place in chosen]
