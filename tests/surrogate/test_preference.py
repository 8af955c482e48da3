"""The process behind choices."""

import itertools
import math

import pytest
import torch

from zo_dno.rng import stream
from zo_dno.surrogate.preference import PreferenceProcess, _Likelihood, log_odds_against_chance
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
    assert Choice((3, 1), (0, 2)).stages == [((3,), (3, 1, 0, 2)), ((1,), (1, 0, 2))]
    assert Choice((3, 1, 2)).stages == [((3,), (3, 1, 2)), ((1,), (1, 2))]
    assert Choice((5,), (6,)).stages == [((5,), (5, 6))]
    assert Choice((3, 1), (0, 2), level=True).stages == [((3, 1), (3, 1, 0, 2))]
    assert Choice((), (0, 2), level=True).stages == Choice((0, 2), (), level=True).stages == []


def test_choices_are_kept_as_lists():
    for choice in (
        Choice((3, 1), (0, 2)),
        Choice((3, 1)),
        Choice((3, 1), (0,), level=True),
        Choice((), (0,), level=True),
    ):
        assert Choice.of_lists(choice.lists) == choice
        assert choice.renumbered({3: 5, 0: 1}).level == choice.level
    for damaged in ([[1]], [[1], [2], [3]], [[], [2], [3], [4]]):
        with pytest.raises(ValueError, match="unpack|not both"):
            Choice.of_lists(damaged)


def test_liked_images_come_before_the_others_in_any_order():
    """The likelihood is the sum over the orders, and its derivatives are those of the sum."""
    utility = torch.tensor([0.3, -0.2, 1.0, 2.0, -1.0], dtype=torch.float64)

    def summed(u):
        orders = [
            (*order, *rest) for order in itertools.permutations((0, 3)) for rest in itertools.permutations((1, 2))
        ]
        of_one = [torch.stack([u[list(order[k:])].softmax(0)[0] for k in range(4)]).prod() for order in orders]
        return (0.9 * torch.stack(of_one).sum() + 0.1 / 6).log()

    likelihood, gradient, information = _Likelihood(Choice((3, 0), (1, 2), level=True).stages, 5, 0.1)(utility)
    assert float(likelihood) == pytest.approx(float(summed(utility)))
    variable = utility.clone().requires_grad_()
    assert torch.allclose(gradient, torch.autograd.grad(summed(variable), variable)[0])
    hessian = torch.autograd.functional.hessian(summed, utility)
    assert torch.allclose(information, -hessian, atol=1e-10)
    unlikely = _Likelihood(Choice((4, 1), (3, 2), level=True).stages, 5, 0.5)(8 * utility)[2]
    assert float(torch.linalg.eigvalsh(unlikely).min()) > -1e-9  # cut where it is negative


@pytest.mark.parametrize("n_liked", [1, 2, 3])
def test_of_random_marks_chance_is_as_likely_as_any_prediction(n_liked):
    """So random clicks are rarely taken for a preference, whatever was predicted."""
    utility = torch.randn(4, generator=stream(2, "utility")).double() * 3
    rest = [tuple({*range(4)} - {*liked}) for liked in itertools.combinations(range(4), n_liked)]
    liked = [Choice(tuple({*range(4)} - {*others}), others, level=True) for others in rest]
    odds = [math.exp(log_odds_against_chance(utility, [one])) for one in liked]
    assert sum(odds) / len(odds) == pytest.approx(1)


def test_the_likelihood_is_plackett_and_luces_with_slips():
    utility = torch.tensor([0.3, -0.2, 1.0], dtype=torch.float64)
    stages = _Likelihood(Choice((2, 0, 1)).stages, 3, 0.1)
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
    _, _, found = _Likelihood(Choice((2,), (0, 1)).stages, 3, 0.1)(at)
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
        float(_Likelihood(Choice(order).stages, 4, 0.2)(utility)[0].exp()) for order in itertools.permutations(range(4))
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
