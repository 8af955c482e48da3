"""A model of a few lines, so that old runs can be resumed anywhere: each channel's mean follows its own numbers."""

import torch


def paint(z):
    """(n, 12) -> (n, 4, 4, 3) uint8, flat blocks whose steps are far coarser than a float's last bit."""
    levels = ((z.double().reshape(-1, 2, 2, 3).clamp(-2.5, 2.5) + 2.5) * 25).floor() * 2
    return levels.to(torch.uint8).repeat_interleave(2, 1).repeat_interleave(2, 2)


paint.shape = (12,)  # type: ignore[attr-defined]
