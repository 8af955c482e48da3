"""The tutorial example of Direct Noise Optimization, and the mean rewards that its authors print for it."""

import pytest
import torch

from zo_dno import ring
from zo_dno.rng import stream

TOLERANCE = 0.05


@pytest.fixture(scope="module")
def model() -> ring.Ring:
    return ring.Ring()


@pytest.fixture(scope="module")
def brief() -> ring.Ring:
    return ring.Ring(iterations=200)


def test_a_briefly_trained_model_puts_some_points_near_the_ring(brief):
    """100 points, of which an untrained model puts none there; the share's standard error is 5 points."""
    radius = brief(torch.randn(100, brief.d, generator=stream(1, "prior"))).norm(dim=1)
    assert float(((radius > 0.7) & (radius < 1.3)).float().mean()) > 0.25


@pytest.mark.slow
def test_a_briefly_trained_model_comes_near_the_ring(brief):
    """1,000 points, of which an untrained model puts none there; the share's standard error is 1.6 points."""
    x = brief(torch.randn(1000, brief.d, generator=stream(1, "prior")))
    radius = x.norm(dim=1)
    assert float(((radius > 0.7) & (radius < 1.3)).float().mean()) > 0.4
    assert float(x.mean(0).norm()) < 0.15


@pytest.mark.slow
def test_the_model_samples_the_ring(model):
    """1,000 points: a share of 95 % has a standard error of 0.7 points."""
    x = model(torch.randn(1000, model.d, generator=stream(1, "prior")))
    radius = x.norm(dim=1)
    assert float(((radius > 0.7) & (radius < 1.3)).float().mean()) > 0.95
    assert float(x.mean(0).norm()) < 0.15
    wanted = ring.points(1000, stream(2, "points")).norm(dim=1)
    assert float(radius.mean()) == pytest.approx(float(wanted.mean()), abs=0.05)


def test_every_number_of_the_noise_moves_its_own_point_alone(brief):
    z = torch.randn(3, brief.d, generator=stream(3, "prior")).requires_grad_()
    (gradient,) = torch.autograd.grad(brief(z)[1].sum(), z)
    assert bool((gradient[1] != 0).all())
    assert not bool(gradient[[0, 2]].any())


def test_the_reward_is_the_tutorials():
    x = torch.tensor([[1.125, 0.125], [0.0, 1.0]])
    assert ring.reward(x).tolist() == pytest.approx([2 - (0.125**2 - 0.125**2) / 5, 0.0], abs=1e-5)


@pytest.mark.parametrize("method", ["gradient", "hybrid2"])
def test_the_first_steps_gain_most_of_the_reward(brief, method):
    """Of 10 points: from about 0 before them to more than 1, where 1.5 is nearly all that there is."""
    means = ring.climb(brief, method, 2, particles=10)
    assert float(means[2]) > 1 > 2 * float(means[0])


@pytest.mark.slow
def test_the_true_gradient_gets_as_far_as_the_tutorials(model):
    """1.55 after 100 iterations; 100 points' mean has a standard error of about 0.04."""
    assert float(ring.climb(model, "gradient", 100, particles=100)[100]) > 1.55 - TOLERANCE


@pytest.mark.slow
def test_hybrid_2_with_two_probes_gets_as_far_as_the_tutorials(model):
    """0.83 and 0.90 after 50 and 100 iterations; `python -m benchmarks.ring` goes on to 250.

    Every point is a run with a seed of its own.
    """
    means = ring.climb(model, "hybrid2", 100, particles=60)
    assert float(means[50]) > 0.83 - TOLERANCE
    assert float(means[100]) > 0.90 - TOLERANCE


def test_the_same_seed_is_the_same_climb(brief):
    first, second, other = (ring.climb(brief, "hybrid2", 2, particles=3, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
