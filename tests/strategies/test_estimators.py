"""Directions, gradient estimators and step rules, against what they must be on average."""

import math

import pytest
import torch
from torch import Tensor

from zo_dno.rng import stream
from zo_dno.strategies.directions import DIRECTIONS, towards_past
from zo_dno.strategies.estimators import central_difference, forward_difference
from zo_dno.strategies.step_rules import STEP_RULES, adam, sgd, sign, zero_moments

D, MU = 8, 0.5
SIGMAS = 5.0  # 8 to 64 entries compared a test: a false alarm is below 4e-5
every_direction = pytest.mark.parametrize("kind", sorted(DIRECTIONS))


def assert_mean(samples: Tensor, expected: Tensor) -> None:
    """Check the mean of samples (n, ...) within SIGMAS standard errors, or exactly where they do not vary."""
    error = samples.std(dim=0) / math.sqrt(len(samples))
    assert bool(((samples.mean(0) - expected).abs() <= SIGMAS * error + 1e-5).all())


@every_direction
def test_directions_have_second_moment_identity(kind: str) -> None:
    blocks = torch.stack([DIRECTIONS[kind](4, D, stream(i, "test")) for i in range(4000)])
    assert_mean(blocks.mean(1), torch.zeros(D))
    assert_mean(blocks.mT @ blocks / 4, torch.eye(D))


@pytest.mark.parametrize("kind", ["sphere", "rademacher", "orthogonal"])
def test_directions_of_fixed_length(kind: str) -> None:
    xi = DIRECTIONS[kind](5, D, stream(0, "test"))
    torch.testing.assert_close(xi.norm(dim=1), torch.full((5,), math.sqrt(D)))


def test_orthogonal_directions_are_orthogonal() -> None:
    xi = DIRECTIONS["orthogonal"](D + 3, D, stream(0, "test"))
    torch.testing.assert_close(xi[:D] @ xi[:D].T, D * torch.eye(D), atol=1e-4, rtol=0)
    torch.testing.assert_close(xi[D:] @ xi[D:].T, D * torch.eye(3), atol=1e-4, rtol=0)


def quadratic(curvature: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return z, slope a and symmetric h of r(z) = a z + z h z / 2."""
    rng = stream(7, "test")
    half = torch.randn(D, D, generator=rng) * curvature
    return torch.randn(D, generator=rng), torch.randn(D, generator=rng), half + half.T


@every_direction
@pytest.mark.parametrize("curvature", [0.0, 0.3])
@pytest.mark.parametrize("estimator", ["forward", "central"])
@pytest.mark.fast_cases(3)
def test_estimators_are_unbiased(kind: str, curvature: float, estimator: str) -> None:
    """On linear and quadratic rewards: the even terms of the expansion average out by symmetry."""
    z, a, h = quadratic(curvature)

    def reward(z: Tensor) -> Tensor:
        return z @ a + (z @ h * z).sum(-1) / 2

    def estimate(xi: Tensor) -> Tensor:
        if estimator == "forward":
            return forward_difference(xi, reward(z + MU * xi), reward(z), MU)
        return central_difference(xi, reward(z + MU * xi), reward(z - MU * xi), MU)

    estimates = [estimate(DIRECTIONS[kind](4, D, stream(i, "test"))) for i in range(2000)]
    assert_mean(torch.stack(estimates), a + h @ z)


def test_a_full_orthogonal_frame_is_exact() -> None:
    z, a, _ = quadratic(0.0)
    xi = DIRECTIONS["orthogonal"](D, D, stream(0, "test"))
    torch.testing.assert_close(central_difference(xi, (z + MU * xi) @ a, (z - MU * xi) @ a, MU), a)


def test_a_pair_with_a_missing_half_contributes_nothing() -> None:
    xi = DIRECTIONS["gaussian"](4, D, stream(0, "test"))
    plus, minus = torch.tensor([1.0, torch.nan, 3.0, 4.0]), torch.tensor([0.0, 9.0, 0.5, torch.nan])
    kept = torch.tensor([0, 2])
    torch.testing.assert_close(
        central_difference(xi, plus, minus, MU), central_difference(xi[kept], plus[kept], minus[kept], MU)
    )
    base = torch.tensor(0.5)
    torch.testing.assert_close(
        forward_difference(xi, plus, base, MU), forward_difference(xi[[0, 2, 3]], plus[[0, 2, 3]], base, MU)
    )
    assert bool(forward_difference(xi, plus, torch.tensor(torch.nan), MU).isnan().all())


def test_step_rules_agree_with_torch() -> None:
    for rule, reference in ((sgd, torch.optim.SGD), (adam, torch.optim.Adam)):
        own, moments = torch.zeros(D), zero_moments(D)
        theirs = torch.zeros(D, requires_grad=True)
        setting = {"momentum": 0.9} if rule is sgd else {"betas": (0.9, 0.999)}
        optimizer = reference([theirs], lr=0.1, maximize=True, **setting)
        for i in range(1, 6):
            gradient = torch.randn(D, generator=stream(i, "test"))
            theirs.grad = gradient.clone()
            optimizer.step()
            own = own + rule(gradient, moments, i, 0.1, 0.9)
        torch.testing.assert_close(own, theirs.detach())
    assert set(STEP_RULES.values()) == {sgd, adam, sign}


def test_guided_directions_keep_their_energy_and_lie_in_the_span_as_far_as_asked_for() -> None:
    """Mean energies within 5 standard errors of 2,000 draws."""
    past = torch.randn(3, 50, generator=stream(1, "past"))
    xi = torch.randn(2000, 50, generator=stream(2, "xi"))
    found = towards_past(xi, torch.cat([past, torch.zeros(2, 50)]), 0.7, stream(3, "inside"))
    basis = torch.linalg.qr(past.T).Q
    inside, whole = (found @ basis).square().sum(1), found.square().sum(1)
    assert abs(float(whole.mean()) - 50) < 5 * float(whole.std()) / 2000**0.5
    assert abs(float(inside.mean()) - (0.7 * 50 + 0.3 * 3)) < 5 * float(inside.std()) / 2000**0.5
    assert towards_past(xi, torch.zeros(2, 50), 0.7, stream(3, "inside")) is xi


def test_signs_step_as_far_in_every_entry() -> None:
    moments = zero_moments(3)
    step = sign(torch.tensor([2.0, -1e-6, 0.0]), moments, 1, 0.1, 0.9)
    assert step.tolist() == pytest.approx([0.1, -0.1, 0.0])
