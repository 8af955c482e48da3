"""The Gaussian process over features."""

import pytest
import torch

from tests.support.pictures import textures
from zo_dno.rng import stream
from zo_dno.surrogate.kernels import KERNELS
from zo_dno.surrogate.pixels import pixel_features
from zo_dno.surrogate.process import GaussianProcess
from zo_dno.surrogate.trust import rank_correlation

SOME = torch.from_numpy(textures(160)).permute(0, 3, 1, 2).float() / 255


@pytest.mark.parametrize(
    ("reward", "least"),
    [
        (lambda x: (x[:, 0] - x[:, 2]).mean((1, 2)), 0.85),
        (lambda x: x.diff(dim=3).abs().mean((1, 2, 3)), 0.9),
        (lambda x: x[:, :, :8].mean((1, 2, 3)) * x[:, :, 8:].mean((1, 2, 3)), 0.8),
    ],
    ids=["colour", "texture", "layout"],
)
def test_rewards_of_colour_texture_and_layout_are_predicted(reward, least):
    features, rewards = pixel_features(SOME), reward(SOME).double()
    mean, deviation = GaussianProcess(features[:120], rewards[:120])(features[120:])
    assert float(torch.corrcoef(torch.stack([mean, rewards[120:]]))[0, 1]) > least
    within = (mean - rewards[120:]).abs() < 3 * deviation + 0.1 * rewards.std()
    assert float(within.double().mean()) > 0.8


@pytest.fixture
def process():
    rewards = SOME[:40].mean((1, 2, 3)) + 0.08 * torch.randn(40, generator=stream(0, "noise"))
    return GaussianProcess(pixel_features(SOME[:40]), rewards)


def test_left_out_predictions_are_those_of_a_process_without_the_reward(process):
    kernel, others = process._covariance(process._x, process._x), torch.arange(40) != 7
    inverse = torch.linalg.inv(kernel[others][:, others] + process.noise * torch.eye(39))
    expected = process._mean + process._unit * kernel[7, others] @ inverse @ process._y[others]
    assert float(process.left_out()[7]) == pytest.approx(float(expected), rel=1e-3)


@pytest.mark.parametrize("n", [16, 32])
def test_what_features_do_not_explain_is_not_taken_for_explained(n):
    """Features of mean 0 sum to 0: a linear process without a level would know every reward from the others' sum."""
    trusts = []
    for seed in range(20):
        features = torch.randn(n, 200, generator=stream(seed, "features"))
        process = GaussianProcess(features, torch.randn(n, generator=stream(seed, "rewards")))
        trusts.append(rank_correlation(process.left_out(), process._y))
    assert sum(trusts) / 20 < 0.1  # 4 standard errors above 0 with 32


def test_predictions_together_are_the_predictions_one_by_one(process):
    features = pixel_features(SOME[40:60])
    mean, deviation = process(features)
    together, covariance, noise = process.joint(features)
    assert torch.allclose(mean, together)
    assert torch.allclose(deviation, covariance.diagonal().sqrt(), rtol=1e-6, atol=1e-7)
    assert float(torch.linalg.eigvalsh(covariance).min()) > -1e-9
    assert float(noise) >= 0


def test_predictions_have_the_gradient_of_their_differences(process):
    features = pixel_features(SOME[40:43]).double().requires_grad_()
    mean, deviation = process(features)
    (gradient,) = torch.autograd.grad((mean + deviation).sum(), features)
    towards = process._features.scale * torch.randn(features.shape, generator=stream(1, "towards"), dtype=torch.float64)
    with torch.no_grad():
        ahead, behind = (sum(process(features + sign * 1e-5 * towards)).sum() for sign in (1, -1))
    assert float((ahead - behind) / 2e-5) == pytest.approx(float((gradient * towards).sum()), rel=1e-4)


def test_rewards_that_are_all_equal_are_predicted_as_they_are():
    mean, deviation = GaussianProcess(pixel_features(SOME[:9]), torch.full((9,), 2.5))(pixel_features(SOME[9:12]))
    assert torch.allclose(mean, torch.full((3,), 2.5, dtype=torch.float64))
    assert bool(deviation.isfinite().all())


def test_the_most_likely_kernel_is_chosen(process):
    rows = torch.arange(40)
    likelihoods = {kernel: process._fit(kernel, rows).likelihood for kernel in KERNELS}
    assert process.kernel == max(likelihoods, key=lambda kernel: likelihoods[kernel])
    assert len(set(likelihoods.values())) > 5


def test_a_feature_that_never_varied_does_not_decide():
    """One that is the same in all known pictures, and then is not."""
    features = torch.cat([pixel_features(SOME[:40]), torch.zeros(40, 1)], 1)
    process = GaussianProcess(features, SOME[:40].mean((1, 2, 3)))
    new = torch.cat([pixel_features(SOME[40:50]), torch.zeros(10, 1)], 1)
    before, _ = process(new)
    new[:, -1] = 0.01
    after, _ = process(new)
    assert float((after - before).abs().max()) < 0.1 * float(before.std())


def test_many_scores_are_fitted_with_the_kernel_that_some_of_them_choose():
    features = pixel_features(SOME)
    process = GaussianProcess(features, SOME.mean((1, 2, 3)))
    assert len(process._weights) == 160
    mean, _ = process(features)
    assert float(torch.corrcoef(torch.stack([mean, SOME.mean((1, 2, 3)).double()]))[0, 1]) > 0.99
