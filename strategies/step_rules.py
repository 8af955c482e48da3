"""Rules that turn a gradient into a step, as functions that update their state in place."""

import torch
from torch import Tensor

ADAM_BETA2 = 0.999  # Kingma and Ba 2015, the default
ADAM_EPS = 1e-8


def sgd(gradient: Tensor, moments: Tensor, count: int, lr: float, momentum: float) -> Tensor:
    """Return the step (d,) of heavy-ball ascent, updating moments[0], the velocity."""
    moments[0].mul_(momentum).add_(gradient)
    return lr * moments[0]


def adam(gradient: Tensor, moments: Tensor, count: int, lr: float, momentum: float) -> Tensor:
    """Return Adam's step (d,), updating moments (2, d); `count` starts at 1, `momentum` is beta_1.

    Kingma and Ba 2015, arXiv:1412.6980, Alg. 1.
    """
    moments[0].mul_(momentum).add_(gradient, alpha=1 - momentum)
    moments[1].mul_(ADAM_BETA2).addcmul_(gradient, gradient, value=1 - ADAM_BETA2)
    unbiased = moments[0] / (1 - momentum**count)
    scale = (moments[1] / (1 - ADAM_BETA2**count)).sqrt_()
    return lr * unbiased / scale.add_(ADAM_EPS)


def sign(gradient: Tensor, moments: Tensor, count: int, lr: float, momentum: float) -> Tensor:
    """Return the step (d,) of signSGD with momentum (Bernstein et al. 2018, arXiv:1802.04434): lr in every entry."""
    moments[0].mul_(momentum).add_(gradient, alpha=1 - momentum)
    return lr * moments[0].sign()


STEP_RULES = {"sgd": sgd, "adam": adam, "sign": sign}


def zero_moments(d: int) -> Tensor:
    """Return the state of a rule before its first step."""
    return torch.zeros(2, d)
