"""The search of noise whose image is predicted to be good, by any strategy and without gradients."""

from collections.abc import Callable

import torch
from torch import Tensor

from zo_dno.strategy import Strategy

Predicted = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Noise (n, d) -> features of its images (n, m), and the worth of a query (n,)."""


def evolve(strategy: Strategy, predicted: Predicted, renders: int) -> tuple[Tensor, Tensor]:
    """Let a strategy search the predictions, and return all noise that it proposed, (k, d), with its features.

    Args:
        strategy: Strategy that has not asked yet.
        predicted: Function that renders noise and predicts its worth.
        renders: Number of images to render, rounded up to whole populations.
    """
    asked: list[Tensor] = []
    seen: list[Tensor] = []
    while sum(map(len, asked)) < renders:
        candidates = strategy.ask()
        features, worth = predicted(candidates.z)
        strategy.tell(candidates, worth.float())
        asked.append(candidates.z)
        seen.append(features)
    return torch.cat(asked), torch.cat(seen)
