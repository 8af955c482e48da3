"""The process behind choices."""

import itertools

import pytest
import torch

from zo_dno.rng import stream
from zo_dno.surrogate.preference import PreferenceProcess, _Stages
from zo_dno.surrogate.trust import rank_correlation
from zo_dno.types import Choice

X = torch.randn(120, 8, generator=stream(0, "features"))
UTILITY = (2 * X[:, 0] - X[:, 1] + 0.5 * X[:, 2] ** 2).double()


def chosen(count, flipped, seed=1, shown=4):
    """Choose the best of some images, or with a probability another one."""
    rng = stream(seed, "choices")
    choices = []
    for _ in range(count):
        rows = torch.randperm(80, generator=rng)[:shown].tolist()
        rows.sort(key=lambda row: -float(UTILITY[row]))
        if float(torch.rand((), generator=rng)) < flipped:
            rows = [rows[1], rows[0], *rows[2:]]
        choices.append(Choice((rows[0],), tuple(rows[1:])))
    return choices


def test_an_order_has_a_stage_for_every_step():
    assert Choice((3, 1), (0, 2)).stages == [(3, (3, 1, 0, 2)), (1, (1, 0, 2))]
    assert Choice((3, 1, 2)).stages == [(3, (3, 1, 2)), (1, (1, 2))]
    assert Choice((5,), (6,)).stages == [(5, (5, 6))]


def test_the_likelihood_is_plackett_and_luces_with_slips():
    utility = torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64)
    stages = _Stages(Choice((2, 0, 1)).stages, 3, 0.1)
    likelihood, gradient, information = stages(utility)
    assert torch.equal(likelihood, stages.likelihood(utility))
    first = 0.9 * utility.softmax(0)[2] + 0.1 / 3
    second = 0.9 * utility[:2].softmax(0)[0] + 0.1 / 2
    assert float(likelihood) == pytest.approx(float((first * second).log()))
    variable = utility.clone().requires_grad_()
    value = (0.9 * variable.softmax(0)[2] + 0.1 / 3).log() + (0.9 * variable[:2].softmax(0)[0] + 0.05).log()
    assert torch.allclose(gradient, torch.autograd.grad(value, variable)[0])
    assert float(torch.linalg.eigvalsh(information).min()) > -1e-12
    assert float(sum(gradient)) == pytest.approx(0, abs=1e-12)  # a shift of all utilities changes nothing


@pytest.mark.parametrize("utility", [[0.3, -0.2, 1.0], [0.0, 0.0, 0.0], [2.0, 1.0, -1.5]])
def test_the_curvature_is_the_likelihoods_and_cut_where_it_is_negative(utility):
    at = torch.tensor(utility, dtype=torch.float64)
    _, _, found = _Stages(Choice((2,), (0, 1)).stages, 3, 0.1)(at)
    wanted = -torch.autograd.functional.hessian(lambda u: (0.9 * u.softmax(0)[2] + 0.1 / 3).log(), at)
    values = torch.linalg.eigvalsh(wanted)
    assert float(torch.linalg.eigvalsh(found).min()) > -1e-12
    if float(values.min()) > -1e-12:
        assert torch.allclose(found, wanted, atol=1e-12)
    else:
        assert not torch.allclose(found, wanted)


def test_probabilities_of_all_orders_sum_to_one():
    utility = torch.randn(4, generator=stream(2, "utility")).double()
    total = sum(
        float(_Stages(Choice(order).stages, 4, 0.2)(utility)[0].exp()) for order in itertools.permutations(range(4))
    )
    assert total == pytest.approx(1)


@pytest.mark.parametrize(("count", "flipped", "least"), [(80, 0.0, 0.75), (80, 0.2, 0.6)])
def test_choices_predict_the_utility_of_images_that_were_not_shown(count, flipped, least):
    mean, deviation = PreferenceProcess(X, chosen(count, flipped))(X[80:])
    assert rank_correlation(mean, UTILITY[80:]) > least
    assert bool((deviation > 0).all())


def test_more_choices_predict_better():
    few, many = (
        rank_correlation(PreferenceProcess(X, chosen(count, 0.0))(X[80:])[0], UTILITY[80:]) for count in (8, 120)
    )
    assert many > few + 0.1


def test_without_choices_nothing_is_preferred():
    process = PreferenceProcess(X, [])
    mean, _ = process(X[80:])
    assert float(mean.abs().max()) == 0


def test_predictions_together_are_the_predictions_one_by_one():
    process = PreferenceProcess(X, chosen(30, 0.1))
    mean, deviation = process(X[80:90])
    together, covariance, _ = process.joint(X[80:90])
    assert torch.allclose(mean, together)
    assert torch.allclose(deviation, covariance.diagonal().sqrt(), rtol=1e-6)
    assert float(torch.linalg.eigvalsh(covariance).min()) > -1e-9


def test_predictions_have_the_gradient_of_their_differences():
    process = PreferenceProcess(X, chosen(30, 0.1))
    features = X[80:83].double().requires_grad_()
    (gradient,) = torch.autograd.grad(sum(process(features)).sum(), features)
    towards = torch.randn(features.shape, generator=stream(3, "towards"), dtype=torch.float64)
    with torch.no_grad():
        ahead, behind = (sum(process(features + sign * 1e-5 * towards)).sum() for sign in (1, -1))
    assert float((ahead - behind) / 2e-5) == pytest.approx(float((gradient * towards).sum()), rel=1e-4)
