"""The Gaussian process over several prompts."""

import math

import pytest
import torch

from zo_dno.rng import stream
from zo_dno.surrogate.across import CORRELATIONS, Earlier, ProcessAcrossPrompts, likelier
from zo_dno.surrogate.process import LEVEL, GaussianProcess


def made(n, seed, change=0.0, shift=0.0):
    """Features, and a reward of two of them that differs by a shift and a change of one."""
    features = torch.randn(n, 12, generator=stream(seed, "features"))
    return features, features[:, 0] + features[:, 1] ** 2 + change * features[:, 2] + shift


def earlier(sign=1.0):
    pairs = [made(24, seed, shift=50.0 * seed) for seed in (1, 2)]
    features, rewards = (torch.cat(one) for one in zip(*pairs, strict=True))
    return Earlier(features, sign * rewards, torch.arange(48) // 24)


@pytest.fixture
def process():
    return ProcessAcrossPrompts(*made(10, 3, 0.2, -20.0), earlier())


def test_predictions_are_those_of_the_whole_covariance(process):
    new, _ = made(5, 4)
    x = torch.cat([process._x, process._features(new)])
    prompts = torch.cat([torch.arange(48) // 24, torch.full((15,), 2)])
    same = prompts[:, None] == prompts
    kernel = process.kernel(x, x)
    whole = torch.where(same, kernel + LEVEL, process.correlation * kernel)
    weights = whole[58:, :58] @ torch.linalg.inv(whole[:58, :58] + process.noise * torch.eye(58))
    mean, deviation = process(new)
    assert torch.allclose(mean, process._mean + process._unit * weights @ process._y)
    left = (whole[58:, 58:] - weights @ whole[:58, 58:]).diagonal()
    assert torch.allclose(deviation, (left * process._variance).sqrt() * process._unit)
    together, covariance, _ = process.joint(new)
    assert torch.allclose(together, mean)
    assert torch.allclose(covariance.diagonal().sqrt(), deviation)


def test_the_likelihood_is_that_of_all_rewards_less_that_of_the_earlier_ones(process):
    n, known, y = 10, 48, process._y
    whitened = torch.linalg.solve_triangular(process._factor, y[:, None], upper=False)[known:, 0]
    variance = (whitened @ whitened / n).item()  # the likeliest one
    covariance = variance * process._factor @ process._factor.T
    zeros = torch.zeros(len(y), dtype=torch.float64)
    of_all, of_earlier = (
        float(torch.distributions.MultivariateNormal(zeros[:k], covariance[:k, :k]).log_prob(y[:k]))
        for k in (known + n, known)
    )
    constant = n * (1 + math.log(2 * math.pi)) - 2 * n * math.log(process.unit)
    assert process.likelihood == pytest.approx(2 * (of_all - of_earlier) + constant)


def test_earlier_prompts_on_other_levels_help_to_predict():
    features, rewards = made(8, 3, 0.2, -20.0)
    new, expected = made(40, 4, 0.2, -20.0)
    alone = GaussianProcess(features, rewards)
    across = ProcessAcrossPrompts(features, rewards, earlier())
    assert across.correlation in CORRELATIONS
    assert likelier(alone, across) is across
    errors = [float((one(new)[0] - expected).square().mean()) for one in (across, alone)]
    assert errors[0] < 0.6 * errors[1]


@pytest.mark.parametrize("n", [8, 12, 24])
def test_rewards_with_the_opposite_sign_are_not_used(n):
    for seed in range(10):
        features, rewards = made(n, 10 + seed, 0.2)
        alone = GaussianProcess(features, rewards)
        assert likelier(alone, ProcessAcrossPrompts(features, rewards, earlier(-1.0))) is alone


def test_the_unit_of_the_rewards_changes_no_choice():
    features, rewards = made(8, 3, 0.2)
    before = earlier()
    for unit in (1e-6, 1e6):
        scaled = Earlier(before.features, unit * before.rewards, before.prompts)
        alone, across = (
            GaussianProcess(features, unit * rewards),
            ProcessAcrossPrompts(features, unit * rewards, scaled),
        )
        assert likelier(alone, across) is across


def test_left_out_predictions_are_those_of_this_prompt(process):
    left_out = process.left_out()
    assert len(left_out) == 10
    rewards = process._mean + process._unit * process._y[48:]
    assert float(torch.corrcoef(torch.stack([left_out, rewards]))[0, 1]) > 0.7


def test_rewards_that_are_all_equal_are_predicted_as_they_are():
    features, _ = made(4, 3)
    before = Earlier(earlier().features, torch.full((48,), 2.0), earlier().prompts)
    mean, deviation = ProcessAcrossPrompts(features, torch.full((4,), 5.0), before)(features)
    assert torch.allclose(mean, torch.full((4,), 5.0).double())
    assert bool(deviation.isfinite().all())
