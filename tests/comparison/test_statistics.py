"""Statistics of paired runs: measures against their definitions, intervals and tests against their error rates."""

import math
from dataclasses import replace
from itertools import combinations, product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import trim_mean

from zo_dno.comparison import statistics
from zo_dno.comparison.statistics import (
    Claim,
    Interval,
    claims,
    expected_best_of,
    holm,
    interquartile_mean,
    interval,
    interval_over_cells,
    mean,
    mean_ranks,
    normalised,
    paired,
    probability_of_improvement,
    profile,
    sign_flip_p,
    strata_of,
)

FEW = st.lists(st.floats(-5, 5), min_size=1, max_size=7)


def table(scores, budget=64):
    """Build a table of {entry: {(reward, prompt, seed): best}}."""
    return pd.DataFrame(
        [
            {"entry": entry, "reward": reward, "prompt": prompt, "seed": seed, "budget": budget, "best": best}
            for entry, cells in scores.items()
            for (reward, prompt, seed), best in cells.items()
        ]
    )


def sampled(effects, cells=3, seeds=6, seed=0):
    """Sample a table of entries with effects of their own that share each run's noise."""
    rng = np.random.default_rng(seed)
    luck = rng.normal(size=(cells, seeds))
    own = {entry: rng.normal(size=(cells, seeds)) * 0.5 for entry in effects}
    return table(
        {
            entry: {
                ("r", str(cell), run): effect + luck[cell, run] + own[entry][cell, run]
                for cell, run in product(range(cells), range(seeds))
            }
            for entry, effect in effects.items()
        }
    )


@pytest.mark.parametrize("n", [4, 8, 40])
def test_the_interquartile_mean_is_scipys_where_quarters_are_whole(n):
    values = np.random.default_rng(n).normal(size=n)
    assert interquartile_mean(values) == pytest.approx(trim_mean(values, 0.25))


@given(FEW, st.floats(-3, 3), st.floats(0.1, 3))
def test_the_interquartile_mean_moves_with_its_values(values, shift, scale):
    moved = interquartile_mean(np.array(values) * scale + shift)
    assert moved == pytest.approx(interquartile_mean(np.array(values)) * scale + shift, abs=1e-9)
    assert min(values) - 1e-9 <= interquartile_mean(np.array(values)) <= max(values) + 1e-9


@given(FEW, st.data())
def test_the_expected_best_is_the_mean_over_all_subsets(values, data):
    n = data.draw(st.integers(1, len(values)))
    expected = np.mean([max(subset) for subset in combinations(values, n)])
    assert expected_best_of(np.array(values), n) == pytest.approx(expected, abs=1e-9)
    assert math.isnan(expected_best_of(np.array(values), len(values) + 1))


def test_intervals_cover_the_truth_at_their_level():
    """300 means of 4 cells of 8 normal values: the percentile bootstrap covers 88 to 97 % of them."""
    covered = 0
    for seed in range(300):
        strata = list(np.random.default_rng(seed).normal(size=(4, 8)))
        found = interval(strata, mean, seed, resamples=400)
        covered += found.low <= 0 <= found.high
    assert 0.88 < covered / 300 < 0.97


def test_cells_do_not_mix_in_an_interval():
    strata = [np.full(5, 10.0), np.full(5, -10.0)]
    found = interval(strata, mean)
    assert (found.value, found.low, found.high) == (0, 0, 0)


def test_too_few_seeds_give_no_interval():
    found = interval([np.array([1.0, 2.0])], mean)
    assert str(found) == "1.500 (too few seeds for an interval)"


def test_no_values_give_a_dash():
    assert str(interval([], mean)) == str(interval([np.array([])], mean)) == "-"


def test_an_interval_over_cells_covers_cells_that_were_not_drawn():
    """Two cells without a spread of their own: their resampled mean is 0, 0.5 or 1, and the same every time."""
    cells = [np.zeros(3), np.ones(3)]
    assert interval_over_cells(cells) == interval_over_cells(cells) == Interval(0.5, 0.0, 1.0)
    assert interval(cells, mean) == Interval(0.5, 0.5, 0.5)


def test_an_interval_over_one_cell_is_that_of_its_values():
    cell = [np.random.default_rng(2).normal(size=40)]
    one, other = interval_over_cells(cell, resamples=20000), interval(cell, mean, resamples=20000)
    assert (one.value, one.low, one.high) == pytest.approx((other.value, other.low, other.high), abs=0.02)


def test_an_interval_over_cells_weighs_values_alike_and_needs_seeds():
    found = interval_over_cells([np.zeros(3), np.ones(9)])
    assert (found.value, found.low, found.high) == (0.75, 0.0, 1.0)
    assert str(interval_over_cells([np.zeros(3), np.ones(1)])) == "0.250 (too few seeds for an interval)"
    assert str(interval_over_cells([])) == "-"


def test_entries_without_a_pair_are_not_compared():
    found = normalised(table({"a": {("r", "p", 0): 1.0}, "b": {("r", "p", 1): 2.0}}), "a")
    assert math.isnan(probability_of_improvement(found, "b", "a", 64).value)
    assert claims(found, "a", 64) == []
    assert mean_ranks(found, 64).isna().all()


def test_several_runs_of_a_seed_are_one_pair():
    """Paired each with each, three runs against two would count as six."""
    scores = table({"a": {("r", "p", 0): 1.0}, "b": {("r", "p", 0): 2.0}})
    again = table({"b": {("r", "p", 0): 4.0}})
    found = normalised(pd.concat([scores, again], ignore_index=True), "a")
    (cell,) = paired(found, "b", "a", 64)
    assert cell == pytest.approx([found.loc[found["entry"] == "b", "score"].mean()])


def test_a_cell_without_a_winner_leaves_the_others_their_measures():
    cells = {("r", "p", 0): 1.0, ("r", "q", 0): math.nan}
    found = normalised(table({"a": cells, "b": {**cells, ("r", "p", 0): 3.0}}), "a")
    assert [list(cell) for cell in strata_of(found, "b", 64)] == [[1.0]]


def test_the_sign_flip_test_is_exact_for_few_pairs():
    assert sign_flip_p(np.arange(1, 7.0)) == 2 / 64
    assert math.isnan(sign_flip_p(np.ones(5)))


def test_the_sign_flip_test_has_its_level():
    """400 samples of 20 pairs without an effect: below 5 % in 2 to 9 % of them (99.9 % of the binomial's range)."""
    rng = np.random.default_rng(1)
    assert 8 <= sum(sign_flip_p(rng.normal(size=20), seed) < 0.05 for seed in range(400)) <= 36


def test_holm_corrects_from_the_smallest_on():
    assert holm([0.04, 0.01, math.nan, 0.03]) == pytest.approx([0.06, 0.03, math.nan, 0.06], nan_ok=True)
    assert holm([0.9, 0.8]) == [1.0, 1.0]


def test_normalised_rewards_are_0_at_best_of_n_and_1_at_the_best_of_all():
    small = table({"random_search": {("r", "p", s): float(s) for s in range(3)}}, budget=16)
    large = table({"random_search": {("r", "p", 0): 2.0}, "snes": {("r", "p", 0): 5.0}}, budget=64)
    scores = normalised(pd.concat([small, large], ignore_index=True), "random_search")["score"]
    assert list(scores) == [-0.25, 0.0, 0.25, 0.25, 1.0]


def test_rewards_are_normalised_on_the_scale_of_another_table():
    """Only where that has the cell; else the table has a scale of its own."""
    own = table({"random_search": {("r", "p", 0): 9.0}, "snes": {("r", "p", 0): 4.0, ("r", "q", 0): 3.0}}, budget=16)
    scale = table({"random_search": {("r", "p", 0): 1.0}, "snes": {("r", "p", 0): 5.0}})
    assert list(normalised(own, "random_search", scale)["score"]) == [2.0, 0.75, 0.0]


def test_a_run_without_a_winner_counts_as_the_worst():
    found = normalised(table({"a": {("r", "p", 0): 1.0, ("r", "p", 1): 3.0}, "b": {("r", "p", 0): None}}), "a")
    assert list(found["score"]) == [-1.0, 1.0, -1.0]


def test_a_pair_has_the_same_cell_and_seed():
    found = normalised(
        table({"a": {("r", "p", 0): 1.0, ("r", "p", 1): 2.0, ("r", "q", 0): 3.0}, "b": {("r", "p", 1): 4.0}}), "a"
    )
    (difference,) = paired(found, "b", "a", 64)
    score = found.set_index(["entry", "prompt", "seed"])["score"]
    assert difference == pytest.approx([score["b", "p", 1] - score["a", "p", 1]])


def test_a_claim_states_whether_it_is_significant():
    found = normalised(sampled({"random_search": 0.0, "ahead": 1.5, "level": 0.0, "behind": -1.5}), "random_search")
    stated = {claim.entry: claim for claim in claims(found, "random_search", 64)}
    assert next(iter(stated)) == "ahead"
    assert list(stated)[-1] == "behind"
    assert "is ahead of random_search" in str(stated["ahead"])
    assert "is behind random_search" in str(stated["behind"])
    assert "are not told apart" in str(stated["level"])
    assert stated["ahead"].difference.low > 0 > stated["behind"].difference.high


def test_a_claim_of_few_pairs_is_not_significant():
    claim = Claim("a", "b", 64, Interval(0.5, math.nan, math.nan), 1.0, 3, math.nan)
    assert "3 pairs are too few to say whether that is chance (it takes 6)" in str(claim)
    assert not claim.is_significant


@pytest.mark.slow
def test_claims_about_equal_entries_have_their_level():
    """60 comparisons of 5 equal entries: a false claim in at most 9 of them (99.9 % of the binomial's range at 5 %)."""
    wrong = 0
    for seed in range(60):
        scores = normalised(
            sampled(dict.fromkeys(["random_search", "a", "b", "c", "d"], 0.0), seed=seed), "random_search"
        )
        wrong += any(claim.is_significant for claim in claims(scores, "random_search", 64))
    assert wrong <= 9


def test_improvement_profiles_and_ranks_agree_with_their_definitions():
    cells = [("r", "p", seed) for seed in range(4)]
    found = normalised(
        table({"a": dict(zip(cells, [1.0, 2, 3, 4], strict=True)), "b": dict(zip(cells, [2.0, 2, 2, 5], strict=True))}),
        "a",
    )
    assert probability_of_improvement(found, "b", "a", 64).value == (1 + 0.5 + 0 + 1) / 4
    assert mean_ranks(found, 64).to_dict() == {"b": (1 + 1.5 + 2 + 1) / 4, "a": (2 + 1.5 + 1 + 2) / 4}
    scores = found.loc[found["entry"] == "a", "score"].to_numpy()
    assert list(profile(found, "a", 64, np.array([-1e9, *sorted(scores)]))) == [1, 0.75, 0.5, 0.25, 0]


def test_the_scale_of_rewards_does_not_matter():
    one = sampled({"random_search": 0.0, "a": 0.7})
    other = one.assign(best=one["best"] * 1000 - 5)
    first, second = (claims(normalised(t, "random_search"), "random_search", 64)[0] for t in (one, other))
    assert first.difference.value == pytest.approx(second.difference.value)
    assert first.p == second.p


def test_the_constants_are_the_documented_ones():
    assert (statistics.LEVEL, statistics.FEWEST_SEEDS, statistics.FEWEST_PAIRS) == (0.95, 3, 6)


@pytest.mark.parametrize(("n_claims", "needed"), [(1, 6), (2, 7), (3, 7), (4, 8), (20, 10)])
def test_pairs_that_a_claim_takes_are_the_fewest_that_can_be_significant(n_claims, needed):
    """A claim whose pairs are all won, beside others that are not."""
    assert statistics.pairs_needed(n_claims) == needed
    others = [1.0] * (n_claims - 1)
    assert statistics.holm([sign_flip_p(np.ones(needed)), *others])[0] < 0.05
    if needed > statistics.FEWEST_PAIRS:
        assert statistics.holm([sign_flip_p(np.ones(needed - 1)), *others])[0] >= 0.05


def test_a_claim_that_no_result_could_make_says_how_many_pairs_it_takes():
    claim = Claim("a", "b", 64, Interval(0.571, 0.443, 0.679), 1.0, 6, 0.062, 2)
    assert "6 pairs are too few to say whether that is chance (it takes 7 with 2 claims)" in str(claim)
    assert "is ahead of" in str(replace(claim, pairs=7, p=0.031))
