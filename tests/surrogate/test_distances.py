"""Distances of images: what they measure, and the mistakes of a function of the caller's."""

import pytest
import torch

from zo_dno.errors import InputError
from zo_dno.surrogate.distances import NAMES, check_distance, has_gradient, make_distance, mean_distance

IMAGES = torch.rand(4, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def vectors(images):
    return images.mean((2, 3))


def pairs(some, others):
    return (some - others).abs().amax((1, 2, 3))


def measured(distance, images=IMAGES):
    described = distance.describe(images)
    return distance.between(described, described)


def test_every_distance_is_one_and_has_a_gradient():
    for one in (*NAMES, vectors, pairs, "tests.surrogate.test_distances:pairs"):
        distance = make_distance(one)
        check_distance(distance, IMAGES)
        found = measured(distance)
        assert (found.shape, bool((found.diagonal() < 1e-6).all())) == ((4, 4), True)
        assert mean_distance(found) == pytest.approx(float(found.sum()) / 12, rel=1e-5)
        assert has_gradient(distance, IMAGES)
    assert make_distance("tests.surrogate.test_distances:pairs").name == make_distance(pairs).name
    assert not has_gradient(make_distance(lambda images: vectors(images.detach())), IMAGES)


def test_many_large_images_are_compared_in_parts(monkeypatch):
    compared = []

    def counted(some, others):
        compared.append(len(some))
        return pairs(some, others)

    whole = [measured(make_distance(one)) for one in (vectors, counted)]
    monkeypatch.setattr("zo_dno.surrogate.distances._AT_ONCE", 10)
    assert all(
        torch.equal(measured(make_distance(one)), own) for one, own in zip((vectors, counted), whole, strict=True)
    )
    assert compared == [16, 4, 4, 4, 4]


def test_pixels_differ_by_their_mean_absolute_difference_and_vectors_by_the_length_of_theirs():
    found = measured(make_distance("pixels"))
    assert float(found[0, 1]) == pytest.approx(float((IMAGES[0] - IMAGES[1]).abs().mean()), rel=1e-5)
    found = measured(make_distance(vectors))
    assert float(found[0, 1]) == pytest.approx(float((vectors(IMAGES)[0] - vectors(IMAGES)[1]).norm()), rel=1e-5)
    found = measured(make_distance(pairs))
    assert float(found[2, 3]) == float((IMAGES[2] - IMAGES[3]).abs().max())
    large = torch.rand(2, 3, 200, 300)
    assert make_distance("pixels").describe(large).shape == (2, 3 * 128 * 128)


@pytest.mark.parametrize(
    ("apart", "message"),
    [
        ("pixel", "distance apart 'pixel' is unknown. Did you mean 'pixels'"),
        ("tests.surrogate.test_distances:nothing", "could not be imported: module .* has no attribute 'nothing'"),
        (lambda: 0, "must take one batch of images and give vectors, or two and give distances; it takes 0"),
        (lambda images: images.mean(), "must be a tensor .4, m., a vector for each image; got shape"),
        (lambda images: vectors(images) * torch.nan, "must be finite; got nan"),
        (lambda images: vectors(images) * 0, "must tell images apart; got 0 between all of 4 prior draws"),
        (
            lambda some, others: pairs(some, others)[:2],
            r"must give \(16,\), a distance for each pair of images; got \(",
        ),
        (
            lambda some, others: pairs(some, others) + some[:, 0, 0, 0],
            "must give the same distance in both orders; got",
        ),
        (lambda some, others: -pairs(some, others), "must give distances of at least 0; got -"),
        (lambda some, others: 1 / 0, "failed: .*division by zero"),
    ],
)
def test_a_distance_that_is_none_is_one_line(apart, message):
    with pytest.raises(InputError, match=message) as found:
        check_distance(make_distance(apart), IMAGES)
    assert "\n" not in str(found.value)
