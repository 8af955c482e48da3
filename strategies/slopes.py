"""The slope of the regulariser, for strategies that add it to their gradient themselves."""

import torch
from torch import Tensor

from zo_dno.strategy import Regularizer


def slope_of(regularizer: Regularizer, z: Tensor) -> Tensor:
    """Return the gradient of a regulariser at one noise z (d,)."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        return torch.autograd.grad(regularizer(z[None]).sum(), z)[0]
