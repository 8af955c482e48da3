"""Families of features: what they must be, and how a process weighs them."""

import pytest
import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.rng import stream
from zo_dno.surrogate.features import Features
from zo_dno.surrogate.kernels import Kernel, KernelSum, equal_sum
from zo_dno.surrogate.pixels import pixel_features
from zo_dno.surrogate.process import GaussianProcess
from zo_dno.surrogate.trust import rank_correlation

IMAGES = torch.rand(4, 3, 16, 16, generator=stream(0, "images"))
X = torch.randn(80, 30, generator=stream(0, "features"))


def means(images: Tensor) -> Tensor:
    return images.mean((2, 3))


def test_families_stand_side_by_side():
    for family in (means, f"{__name__}:means"):
        describe = Features(["pixels", family])
        assert torch.equal(describe(IMAGES), torch.cat([pixel_features(IMAGES), means(IMAGES)], 1))
        assert describe.sizes == (576, 3)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (lambda images: images.mean(), r"must be a tensor \(4, m\), a vector for each image; got shape \(\)"),
        (lambda images: images.tolist(), r"must be a tensor .* got list"),
        (lambda images: images[0].missing, "failed: AttributeError"),
    ],
)
def test_what_is_no_vector_for_each_image_is_refused(family, message):
    with pytest.raises(InputError, match=message):
        Features([family])(IMAGES)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (lambda images: means(images).log() - torch.inf, "must be finite; got -inf"),
        (lambda images: means(images) + torch.rand(1), "must be the same for the same image"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_before_a_query(family, message):
    with pytest.raises(InputError, match=message):
        Features([family]).check(IMAGES)


def test_another_number_of_features_is_refused():
    describe = Features([lambda images: images.flatten(1)])
    describe(IMAGES)
    with pytest.raises(InputError, match=r"as many for every image; got \(192,\) after \(768,\)"):
        describe(IMAGES[:, :, :8, :8])


def test_names_that_are_unknown_and_no_names_are_refused():
    with pytest.raises(InputError, match="pixels"):
        Features(["pixel"])
    with pytest.raises(InputError, match="must name a family, such as 'picture'"):
        Features([])


def test_families_without_a_gradient_are_named():
    def rounded(images: Tensor) -> Tensor:
        return (means(images) * 255).detach()

    assert Features([means]).without_gradient(IMAGES) == []
    assert "rounded" in Features([means, rounded]).without_gradient(IMAGES)[0]


def test_a_sum_of_kernels_is_the_weighted_sum_of_its_parts():
    first, second = Kernel(0.5, 0.0), Kernel(1.0, 0.5)
    both = KernelSum(((1.0, slice(0, 10), first),)).with_part(0.25, slice(10, 30), second)
    expected = 0.75 * first(X[:, :10], X[:5, :10]) + 0.25 * second(X[:, 10:], X[:5, 10:])
    assert torch.allclose(both(X, X[:5]), expected)
    assert torch.allclose(both.own(X), both(X, X).diagonal(), atol=1e-5)


def test_one_family_has_the_kernel_itself():
    assert equal_sum(Kernel(0.5, 0.0), (30,)) == equal_sum(Kernel(0.5, 0.0), ()) == Kernel(0.5, 0.0)
    rewards = X[:40, :3].sum(1)
    assert torch.equal(GaussianProcess(X[:40], rewards)(X)[0], GaussianProcess(X[:40], rewards, sizes=(30,))(X)[0])


def test_the_family_that_tells_more_decides():
    """A reward of 3 features beside 500 that tell nothing: as one family they would drown."""
    noise = torch.randn(80, 500, generator=stream(1, "noise"))
    rewards, features = X[:, :3].sum(1), torch.cat([noise, X[:, :3]], 1)

    def found(**families):
        mean, _ = GaussianProcess(features[:60], rewards[:60], **families)(features[60:])
        return rank_correlation(mean, rewards[60:])

    assert found(sizes=(500, 3)) > 0.9 > 0.5 > found()


def test_known_errors_count():
    """A reward that is known to be wrong by far hardly moves the predictions near it."""
    rewards = X[:40, 0].clone()
    rewards[0] += 8
    errors = torch.zeros(40)
    errors[0] = 8.0
    trusting, knowing = GaussianProcess(X[:40], rewards), GaussianProcess(X[:40], rewards, errors=errors)
    away = [abs(float(process(X[:1])[0]) - float(X[0, 0])) for process in (trusting, knowing)]
    assert away[1] < away[0] / 2
