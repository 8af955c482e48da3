"""Thresholds that a winner must meet."""

import math

import pytest
import yaml

from tests.support.combinations import both, bright, optimize, red, resume
from zo_dno.results.overview import overview
from zo_dno.rewards.combinations import Constrained


class TestThresholds:
    @pytest.mark.parametrize("strategy", ["snes", "hill_climb", "zo_sgd"])
    def test_the_winner_meets_them_although_it_would_not_without_them(self, strategy):
        options = {"strategy": strategy, "queries": 96, "strategy_options": {}}
        free = optimize(bright, **options)
        assert red([free.best_image], [""])[0] > 110
        found = optimize(Constrained(bright, parts=[red], require=["red <= 110"]), **options)
        assert found.status == "finished"
        assert red([found.best_image], [""])[0] <= 110
        assert (found.reward, found.unit) == ("bright", "score")
        assert bright([found.best_image], [""])[0] == found.best.reward
        meets = [row for row in found.history if row.components["red"] <= 110 and row.plausible]
        assert found.best.reward == max(row.value for row in meets)
        assert found.unmet == {"red <= 110": sum(row.components["red"] > 110 for row in found.history)}

    @pytest.mark.parametrize("min_log_prob", ["1%", None])
    def test_a_candidate_that_misses_them_is_told_below_all_that_meet_them(self, min_log_prob):
        found = optimize(
            Constrained(bright, parts=[red], require="red <= 110"),
            "random_search",
            queries=64,
            min_log_prob=min_log_prob,
        )
        least = math.inf
        for start in range(0, 64, 8):
            rows = found.history[start : start + 8]
            allowed = [row for row in rows if row.is_feasible(constrained=min_log_prob is not None)]
            least = min([least, *(row.told for row in allowed)])
            assert all(row.told < least for row in rows if row not in allowed)
        assert 0 < found.unmet["red <= 110"] < 64

    def test_the_first_candidate_that_meets_them_leads_despite_the_lowest_reward(self):
        """A climber that starts where no candidate meets the threshold must give up higher rewards."""
        found = optimize(
            Constrained(bright, parts=[red], require="red <= 40"), "hill_climb", queries=160, min_log_prob=None
        )
        assert found.history[0].reward_violation > 0
        first = next(row for row in found.history if row.reward_violation == 0)
        assert first.told > max(row.told for row in found.history[: first.id])
        assert found.best.components["red"] <= 40
        assert found.best.id > first.id

    def test_that_no_candidate_meets(self, tmp_path):
        found = optimize(Constrained(bright, parts=[red], require=["red >= 255", "red >= 1"]), out=tmp_path / "run")
        assert found.status == "infeasible"
        assert found.infeasible.startswith("No candidate is feasible: of 32 with a score, 32 miss red >= 255")
        assert "red >= 1" not in found.infeasible.replace("red >= 255", "")
        assert found.unmet == {"red >= 255": 32, "red >= 1": 0}
        assert found.best.components["red"] == max(row.components["red"] for row in found.history if row.plausible)
        assert overview(tmp_path / "run").unmet == found.unmet
        assert overview(tmp_path / "run").best is None

    def test_on_any_reward_by_name(self, tmp_path):
        found = optimize("jpeg_smaller", require=["darkness >= 0.5"], out=tmp_path / "run")
        assert (found.reward, found.unit) == ("jpeg_smaller", "kB")
        assert found.best.components["darkness"] >= 0.5
        config = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
        assert (config["reward"], config["require"]) == ("jpeg_smaller", ["darkness >= 0.5"])
        assert resume(tmp_path / "run", queries=40).queries == 40

    def test_on_a_combination(self):
        found = optimize(both(), require="darkness >= 0.6", queries=64)
        assert found.best.components["darkness"] >= 0.6
        assert found.scales.keys() == {"bright", "rough", "darkness"}

    def test_the_baseline_must_meet_them_as_well(self):
        reward = Constrained(bright, parts=[red], require="red <= 110")
        found = optimize(reward, baseline=32)
        assert found.baseline.reward < optimize(bright, baseline=32).baseline.reward
        assert optimize(reward).baseline is None  # some of the first draws miss it: no estimate
