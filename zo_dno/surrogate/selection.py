"""The choice of a diverse batch among candidates whose rewards are predicted."""

import torch
from torch import Tensor

from zo_dno.surrogate.process import GaussianProcess


def diverse(process: GaussianProcess, features: Tensor, n: int, optimism: float) -> list[int]:
    """Choose n rows one after another by mean + optimism * deviation, best first (GP-BUCB, Desautels et al. 2014).

    Once a row is chosen, the deviations of all rows are those that its score would leave, whatever it is; so rows like
    those chosen already are worth less.

    Args:
        process: Process that predicts.
        features: Features of the candidates, (k, m), k at least n.
        n: Number of rows to choose.
        optimism: Deviations added to a mean.
    """
    mean, covariance, noise = process.joint(features)
    chosen: list[int] = []
    for _ in range(n):
        worth = mean + optimism * covariance.diagonal().clamp_min(0).sqrt()
        worth[chosen] = -torch.inf
        place = int(worth.argmax())
        chosen.append(place)
        column = covariance[:, place].clone()
        covariance = covariance - torch.outer(column, column) / (column[place] + noise)
    return chosen
