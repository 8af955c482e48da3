"""The tests of plausibility, and the projection onto plausible noise."""

import pytest
import torch

from zo_dno import rng
from zo_dno.noise.plausibility import PlausibilityTests
from zo_dno.noise.space import NoiseLayout

LAYOUT = NoiseLayout(((4, 16, 16),))


@pytest.fixture
def z():
    """Two plausible draws and two that are too long."""
    noise = torch.randn(4, LAYOUT.d, generator=rng.stream(0, "test", "plausibility"))
    noise[2:] *= 1.2
    return noise


def test_scaled_noise_is_implausible_and_violates_the_more_the_longer_it_is(z):
    tests = PlausibilityTests(LAYOUT)
    found = tests(z)
    assert found.plausible.tolist() == [True, True, False, False]
    assert torch.equal(found.noise_violation == 0, found.plausible)
    assert (tests(1.2 * z).noise_violation[2:] > found.noise_violation[2:]).all()
    one = found.at(2)
    assert (one.plausible, one.norm_ratio) == (False, pytest.approx(1.2, abs=0.1))


def test_the_projection_is_plausible_and_needs_a_min_log_prob(z):
    tests = PlausibilityTests(LAYOUT)
    moved = tests.project(z)
    assert tests(moved).plausible.all()
    assert torch.allclose(PlausibilityTests(LAYOUT, min_log_prob=None).project(z), z)


def test_perturbed_rows_cannot_win_and_keep_their_figures(z):
    found = PlausibilityTests(LAYOUT)(z)
    rest = found.with_perturbed(torch.tensor([True, False, True, False]))
    assert rest.plausible.tolist() == [False, True, False, False]
    assert rest.noise_violation[2] == 0
    assert torch.equal(rest.log_prob, found.log_prob)
