import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from zo_dno.judges.plackett_luce import agreement, groups, strengths
from zo_dno.types import Order

NAMES = [f"image {number}" for number in range(12)]


def choose(rng, truth, shown, n_ranked):
    """Sample an order from the model: repeated choices, each by exp(strength)."""
    left, ranked = list(shown), []
    for _ in range(n_ranked):
        weights = np.exp([truth[name] for name in left])
        ranked.append(left.pop(rng.choice(len(left), p=weights / weights.sum())))
    return Order(tuple(shown), tuple(ranked))


def test_two_images_are_bradley_terry():
    """With a flat prior the log-odds are those of the wins; a narrow prior shrinks them."""
    orders = [Order(("a", "b"), ("a",))] * 30 + [Order(("a", "b"), ("b",))] * 10
    found = strengths(orders, ["a", "b"], {"b": 0.0}, spread=100.0)
    assert found["a"].value == pytest.approx(math.log(3), abs=0.05)
    assert found["a"].error == pytest.approx(1 / math.sqrt(40 * 0.75 * 0.25), rel=0.05)


def test_the_mode_is_the_one_that_scipy_finds():
    rng = np.random.default_rng(0)
    truth = dict(zip(NAMES, rng.normal(0, 1.5, len(NAMES)), strict=True))
    orders = [choose(rng, truth, group, 2) for group in groups(NAMES, 4, 4, rng)]
    found = strengths(orders, NAMES[2:], {name: truth[name] for name in NAMES[:2]}, spread=1.5)

    def minus_log_posterior(values):
        at = truth | dict(zip(NAMES[2:], values, strict=True))
        total = 0.0
        for order in orders:
            left = list(order.shown)
            for best in order.ranked:
                total += math.log(sum(math.exp(at[name]) for name in left)) - at[best]
                left.remove(best)
        mean = values.sum() / (len(values) + 1.5**2 / 10**2)  # the best common mean, given N(0, 10^2)
        return total + ((values - mean) ** 2).sum() / (2 * 1.5**2) + mean**2 / (2 * 10**2)

    best = minimize(minus_log_posterior, np.zeros(10), method="BFGS", options={"gtol": 1e-7})
    assert [found[name].value for name in NAMES[2:]] == pytest.approx(best.x, abs=1e-4)


def test_liked_images_come_before_the_others_in_any_order():
    """Of a fit to many sets, the truth lies within the standard errors; one liked image is the choice of one."""
    rng = np.random.default_rng(3)
    truth = dict(zip(NAMES, rng.normal(0, 1.5, len(NAMES)), strict=True))
    orders = []
    for group in groups(NAMES, 4, 120, rng):
        whole = choose(rng, truth, group, 4)
        orders.append(Order(whole.shown, whole.ranked[: rng.integers(5)], level=True))
    found = strengths(orders, NAMES[1:], {NAMES[0]: truth[NAMES[0]]})
    assert all(abs(found[name].value - truth[name]) < 4 * found[name].error < 3.5 for name in NAMES[1:])
    one = [Order(("a", "b", "c"), ("b",), level=level) for level in (False, True)]
    assert strengths(one[:1], "bc", {"a": 0.0}) == strengths(one[1:], "bc", {"a": 0.0})
    several = strengths([Order(("a", "b", "c", "d"), ("b", "c"), level=True)], "bcd", {"a": 0.0})
    assert several["b"].value == pytest.approx(several["c"].value)
    assert several["b"].value > several["d"].value
    nothing = strengths([Order(("a", "b"), (), level=True), Order(("a", "b"), ("a", "b"), level=True)], "b", {"a": 0.0})
    assert (nothing["b"].value, nothing["b"].error > 5) == (0.0, True)
    pairs = [
        ("ada", Order(("a", "b", "c"), ("a", "b"), level=True)),
        ("bob", Order(("a", "b", "c"), ("b",), level=True)),
    ]
    assert agreement(pairs) == (1, 1)  # both have b before c; on a and b, and on a and c, one of them says nothing


def test_strengths_are_recovered():
    """Truth lies within 4 standard errors for 40 images: a false alarm in about 1 of 400 seeds."""
    rng = np.random.default_rng(1)
    names = [f"image {number}" for number in range(40)]
    truth = dict(zip(names, rng.normal(0, 1.5, 40), strict=True))
    orders = [choose(rng, truth, group, 3) for group in groups(names, 4, 20, rng)]
    found = strengths(orders, names[1:], {names[0]: truth[names[0]]})
    assert all(abs(found[name].value - truth[name]) < 4 * found[name].error for name in names[1:])
    values = np.array([found[name].value for name in names[1:]])
    assert np.corrcoef(values, [truth[name] for name in names[1:]])[0, 1] > 0.9


def test_anchors_place_a_population_above_what_came_before():
    """Every new image beats the old best: without the anchor they would be centred on 0."""
    orders = [Order((name, "old best"), (name,)) for name in NAMES for _ in range(5)]
    found = strengths(orders, NAMES, {"old best": 2.0})
    assert min(one.value for one in found.values()) > 3


def test_images_without_choices_have_no_strength():
    assert set(strengths([Order(("a", "b"), ("a",))], ["a", "b", "c"])) == {"a", "b"}
    assert strengths([], ["a"]) == {}
    assert strengths([Order(("a",), ("a",))], ["a"]) == {}


@settings(max_examples=60, deadline=None)
@given(n=st.integers(2, 30), size=st.integers(2, 6), rounds=st.integers(1, 5), seed=st.integers(0, 2**32))
def test_every_round_shows_every_image_and_two_connect_them(n, size, rounds, seed):
    names = [f"image {number}" for number in range(n)]
    planned = groups(names, size, rounds, np.random.default_rng(seed))
    a_round = math.ceil(n / min(size, n))
    assert len(planned) == rounds * a_round
    assert all(len(set(group)) == len(group) == min(size, n) for group in planned)
    for number in range(rounds):
        assert {name for group in planned[number * a_round :][:a_round] for name in group} == set(names)
    if rounds > 1:
        reached, before = {names[0]}, 0
        while len(reached) > before:
            before = len(reached)
            reached |= {name for group in planned if reached & set(group) for name in group}
        assert reached == set(names)


def test_agreement_counts_pairs_that_several_judged():
    orders = [
        ("ada", Order(("a", "b", "c"), ("a", "b", "c"))),
        ("bob", Order(("a", "b"), ("a",))),
        ("bob", Order(("b", "c"), ("c",))),
        ("bob", Order(("c", "d"), ("c",))),
    ]
    assert agreement(orders) == (1, 2)
