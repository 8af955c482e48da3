"""What a query is worth."""

import pickle
from functools import partial

import torch

from zo_dno.rng import stream
from zo_dno.surrogate.acquisition import Acquisition, OfImages
from zo_dno.surrogate.climb import slope
from zo_dno.surrogate.features import Features
from zo_dno.surrogate.preference import PreferenceProcess
from zo_dno.surrogate.process import GaussianProcess
from zo_dno.surrogate.selection import diverse
from zo_dno.types import Choice

X = torch.randn(80, 6, generator=stream(0, "features"))
PROCESS = GaussianProcess(X[:60], X[:60, 0])
MARGIN = GaussianProcess(X[:60], X[:60, 1] - 0.5)


def test_without_requirements_it_is_the_upper_bound():
    mean, deviation = PROCESS(X[60:])
    assert torch.equal(Acquisition(PROCESS, 0.3)(X[60:]), mean + 0.3 * deviation)


def test_what_is_required_decides_among_equal_rewards():
    worth = Acquisition(PROCESS, 0.0, [MARGIN])
    lost = worth.hope(X[60:])
    assert bool((lost <= 0).all())
    margins, deviations = MARGIN(X[60:])
    order = (margins / deviations).argsort()
    assert torch.equal(lost[order], lost.sort().values)
    assert float(lost[order[-1]]) > -0.05  # nearly sure to meet it


def test_an_image_without_hope_has_a_slope():
    far = (X[60:61] - 20).requires_grad_()
    (gradient,) = torch.autograd.grad(Acquisition(PROCESS, 0.0, [MARGIN])(far).sum(), far)
    assert bool(gradient.isfinite().all())
    assert float(gradient[0, 1]) > 0


def test_a_batch_is_chosen_by_requirements_too():
    worth = Acquisition(PROCESS, 0.0, [MARGIN])
    expected = worth(X[60:]).argsort(descending=True)[:5].tolist()
    assert diverse(PROCESS, X[60:], 5, 0.0, worth.hope) == expected


def test_sent_elsewhere_it_gives_the_same_slopes_and_brings_little_along():
    """The features of the known images in double precision, a few matrices of their number, and nothing else."""
    images, describe = torch.rand(24, 3, 16, 16, generator=stream(0, "images")), Features(["pixels"])
    features = describe(images)
    choices = [Choice((one, one + 1, one + 2)) for one in range(0, 24, 3)]
    for process in (GaussianProcess(features, features[:, 0]), PreferenceProcess(features, choices)):
        here = partial(slope, OfImages(describe, Acquisition(process, 0.15)))
        sent = pickle.dumps(here)
        assert torch.equal(pickle.loads(sent)(images[:4]), here(images[:4]))
        assert len(sent) < 2 * 8 * features.numel()
