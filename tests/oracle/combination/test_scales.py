"""Scales: measured on prior draws, frozen, or given."""

from statistics import fmean, stdev

import pytest

from tests.support.combinations import both, bright, constant, optimize, resume, rough, rows_of
from zo_dno.errors import RunError
from zo_dno.rewards.combinations import Constrained, Min, Product, WeightedSum


class TestScales:
    def test_are_measured_on_prior_draws_and_independent_of_the_strategy(self, tmp_path):
        scales = optimize(both(), out=tmp_path / "run").scales
        rows = rows_of(tmp_path / "run", "warm_up")
        assert len(rows) == 16
        for name in ("bright", "rough"):
            values = [row.components[name] for row in rows]
            assert scales[name] == (fmean(values), stdev(values))
        for strategy in ("hill_climb", "zo_sgd", "random_search"):
            assert optimize(both(), strategy, queries=8, strategy_options={}).scales == scales
        assert optimize(both(), queries=8, seed=4).scales != scales

    def test_stay_the_same_for_the_whole_run(self, tmp_path):
        result = optimize(both(), out=tmp_path / "run")
        (b_mean, b), (r_mean, r) = result.scales["bright"], result.scales["rough"]
        for row in result.history:
            value = (row.components["bright"] - b_mean) / b - 2 * (row.components["rough"] - r_mean) / r
            assert row.value == pytest.approx(value)
            if row.plausible:
                assert row.told == pytest.approx(row.value, abs=1e-5)
        longer = resume(tmp_path / "run", both(), queries=48)
        assert longer.scales == result.scales
        assert longer.history[:32] == result.history
        assert len(rows_of(tmp_path / "run", "warm_up")) == 16

    def test_may_be_given(self):
        result = optimize(both(scales={"bright": [128, 30], "rough": [20, 5]}), out=None)
        assert result.scales == {"bright": (128, 30), "rough": (20, 5)}
        assert result.first.reward == pytest.approx(
            (result.first.components["bright"] - 128) / 30 - 2 * (result.first.components["rough"] - 20) / 5
        )

    def test_are_not_measured_if_they_are_not_needed(self, tmp_path):
        optimize(Product([bright, rough]), out=tmp_path / "run")
        assert rows_of(tmp_path / "run", "warm_up") == []

    def test_of_a_term_whose_value_never_changes(self, caplog):
        with pytest.raises(
            RunError, match=r"term 'constant' was 7 in all draws of the warm-up.*option scales: \{'const"
        ):
            optimize(Min([bright, constant]))
        result = optimize(Constrained(bright, parts=[constant], require="constant >= 5"))
        assert result.scales == {"constant": (7, 1)}
        assert "constant was 7 in all draws of the warm-up, so it counts in its own unit" in caplog.text

    def test_of_a_term_without_scores(self):
        def never(images, prompts):
            raise KeyError("no opinion")

        with pytest.raises(RunError, match=r"term 'never' got 0 scores in the warm-up of 4 draws.*no opinion"):
            optimize(WeightedSum([bright, never], warm_up=4), policy={"breaker": 0})
