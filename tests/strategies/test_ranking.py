"""Ranks with ties and missing scores."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zo_dno.rng import stream
from zo_dno.strategies.ranking import centred_ranks, rank_values, shuffled_ranks
from zo_dno.strategies.snes import utilities

score_lists = st.lists(st.sampled_from([-2.0, 0.0, 0.5, 3.0, float("nan")]), min_size=1, max_size=12)


def test_best_first_and_missing_in_the_middle() -> None:
    scores = torch.tensor([5.0, torch.nan, 1.0, 3.0])
    torch.testing.assert_close(rank_values(scores, centred_ranks), torch.tensor([0.5, 0.0, -0.5, 0.0]))


def test_ties_share_the_mean() -> None:
    ranked = rank_values(torch.tensor([2.0, 7.0, 2.0, -1.0]), utilities)
    by_rank = utilities(4)
    expected = torch.stack([by_rank[1:3].mean(), by_rank[0], by_rank[1:3].mean(), by_rank[3]])
    torch.testing.assert_close(ranked, expected)


def test_utilities_sum_to_zero_and_fall() -> None:
    for m in range(1, 40):
        values = utilities(m)
        assert abs(float(values.sum())) < 1e-6
        assert bool((values.diff() <= 0).all())


@settings(max_examples=30, derandomize=True, deadline=None)
@given(scores=score_lists, seed=st.integers(0, 99))
def test_values_follow_the_scores(scores: list[float], seed: int) -> None:
    given_scores = torch.tensor(scores)
    ranked = rank_values(given_scores, utilities)
    assert abs(float(ranked.sum())) < 1e-5
    assert bool((ranked[given_scores.isnan()] == 0).all())
    order = torch.randperm(len(scores), generator=stream(seed, "test"))
    torch.testing.assert_close(rank_values(given_scores[order], utilities), ranked[order])


@settings(max_examples=30, derandomize=True, deadline=None)
@given(scores=score_lists, seed=st.integers(0, 99))
def test_shuffled_ranks_are_a_permutation_that_respects_the_scores(scores: list[float], seed: int) -> None:
    given_scores = torch.tensor(scores)
    ranks = shuffled_ranks(given_scores, stream(seed, "test"))
    assert sorted(ranks.tolist()) == list(range(len(scores)))
    present = ~given_scores.isnan()
    assert bool((given_scores[present][ranks[present].argsort()].diff() >= 0).all())


def test_shuffled_ranks_prefer_none_of_equals() -> None:
    """Mean ranks of 4 equals are 1.5 within 5 standard errors of sqrt(1.25 / 2,000); a false alarm is below 3e-6."""
    rng = stream(0, "test")
    ranks = torch.stack([shuffled_ranks(torch.ones(4), rng) for _ in range(2000)])
    assert float((ranks.mean(0) - 1.5).abs().max()) < 5 * (1.25 / 2000) ** 0.5
