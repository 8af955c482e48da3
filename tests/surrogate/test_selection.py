"""The choice of a diverse batch."""

import torch

from zo_dno.rng import stream
from zo_dno.surrogate.kernels import Kernel
from zo_dno.surrogate.process import GaussianProcess
from zo_dno.surrogate.selection import diverse

X = torch.randn(60, 6, generator=stream(0, "features"))
PROCESS = GaussianProcess(X[:40], X[:40, 0])


def test_the_first_is_the_most_promising():
    mean, deviation = PROCESS(X[40:])
    (first,) = diverse(PROCESS, X[40:], 1, 0.5)
    assert first == int((mean + 0.5 * deviation).argmax())


def test_no_row_is_chosen_twice():
    chosen = diverse(PROCESS, X[40:], 20, 1.0)
    assert sorted(chosen) == list(range(20))


def test_copies_of_one_candidate_are_not_chosen_before_others():
    """Of a reward that is hardly known yet, so that a score would tell much."""
    process = GaussianProcess(X[:16], X[:16].sum(1), (Kernel(0.5, 0.0),))
    assert process.noise < 0.1
    pool = torch.cat([X[40:], X[40:]])
    assert len({place % 20 for place in diverse(process, pool, 8, 5.0)}) == 8


def test_without_optimism_the_order_is_that_of_the_means():
    mean, _ = PROCESS(X[40:])
    assert diverse(PROCESS, X[40:], 5, 0.0) == mean.argsort(descending=True)[:5].tolist()
