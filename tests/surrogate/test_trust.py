"""What predictions turned out to be worth."""

from itertools import pairwise

import pytest
import torch
from scipy.stats import spearmanr

from zo_dno.rng import stream
from zo_dno.surrogate.trust import LEAST, after, after_fallback, is_predictable, rank_correlation


def test_it_is_spearmans_with_ties_as_well():
    one, other = torch.randn(2, 30, generator=stream(0, "numbers")).round(decimals=0)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)


@pytest.mark.parametrize("flat", [0, 1])
def test_what_does_not_vary_has_none(flat):
    pair = [torch.arange(5.0), torch.arange(5.0)]
    pair[flat] = torch.ones(5)
    assert rank_correlation(*pair) == 0


def test_steps_shrink_without_success_and_grow_with_it():
    shares = [1.0]
    for better in [True] + 10 * [False] + 12 * [True]:
        shares.append(after(shares[-1], better=better))
    assert shares[1] == 1.0
    assert all(later < earlier for earlier, later in pairwise(shares[1:8]))
    assert min(shares) == 0.1
    assert shares[-1] == 1.0


def test_five_rounds_without_success_end_trust_and_a_few_of_another_search_renew_it():
    share = 1.0
    for _ in range(5):
        assert share >= LEAST
        share = after(share, better=False)
    assert share < LEAST
    rounds = 0
    while share < LEAST:
        share, rounds = after_fallback(share), rounds + 1
    assert 1 <= rounds <= 4
    assert after(share, better=False) < LEAST


def test_rewards_that_go_with_their_predictions_are_predictable():
    rewards = torch.randn(64, generator=stream(0, "rewards"))
    noise = torch.randn(64, generator=stream(0, "noise"))
    assert is_predictable(rewards + noise, rewards)
    assert not is_predictable(-rewards, rewards)
    assert not is_predictable(torch.cat([rewards[:32], -rewards[32:]]), rewards)


def test_few_rewards_cannot_tell():
    rewards = torch.randn(31, generator=stream(0, "rewards"))
    assert is_predictable(-rewards, rewards)
