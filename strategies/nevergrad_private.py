"""Private attributes of nevergrad's optimizers: the optimizers inside them, and the settings of their CMA."""

from collections.abc import Iterator
from copy import copy
from typing import Any

_INNER = ("optim", "_optim", "_optimizer", "optims", "optimizers")


def optimizers_of(optimizer: Any) -> Iterator[Any]:
    """Walk an optimizer and those inside it."""
    yield optimizer
    for name in _INNER:
        inner = getattr(optimizer, name, ())
        for one in inner if isinstance(inner, (list, tuple)) else (inner,):
            if hasattr(one, "ask"):
                yield from optimizers_of(one)


def tame_cma(optimizer: Any) -> int:
    """Prepare nevergrad's CMA for flat scores, and return the population that it needs (1 for other optimizers).

    Otherwise it goes back to its first point when pycma wants to stop, and may choose a step-size rule that needs the
    points of one population in their order.
    """
    if not hasattr(optimizer, "_es") or optimizer._config.fcmaes:
        return 1
    import cma

    optimizer._config = copy(optimizer._config)  # shared by every instance of that name
    optimizer._config.inopts = {**(optimizer._config.inopts or {}), "AdaptSigma": cma.sigma_adaptation.CMAAdaptSigmaCSA}
    optimizer.es.stop = dict
    return int(optimizer._popsize)
