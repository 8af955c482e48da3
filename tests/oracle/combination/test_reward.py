"""Combined values, and how combinations are spelled."""

import json
import math

import numpy as np
import pytest

from tests.support.combinations import (
    both,
    bright,
    optimize,
    rough,
    scored,
)
from zo_dno.errors import InputError
from zo_dno.results.overview import overview
from zo_dno.rewards.combinations import Constrained, Min, Product, WeightedSum
from zo_dno.run.make_reward import make_reward
from zo_dno.types import Score


class TestValues:
    def test_a_weighted_sum_standardises_values(self):
        reward = WeightedSum({"a": 1, "b": -2})
        score = scored(reward, {"a": (10, 2), "b": (0.5, 0.1)}, a=14, b=0.4)
        assert score.value == pytest.approx(2 * 1 + -1 * -2)
        assert score.components == {"a": 14, "b": 0.4}
        assert reward.unit == "sd"

    def test_a_weighted_sum_of_raw_values(self):
        reward = WeightedSum({"a": 1, "b": -2}, standardise=False)
        assert scored(reward, a=14, b=0.5).value == 13
        assert (reward.unit, reward.unscaled) == ("score", ())

    def test_a_minimum(self):
        assert scored(Min(["a", "b"]), {"a": (10, 2), "b": (0.5, 0.1)}, a=14, b=0.6).value == pytest.approx(1)
        assert scored(Min(["a", "b"], standardise=False), a=14, b=0.6).value == 0.6

    def test_a_product(self):
        assert scored(Product(["a", "b", "c"]), a=2, b=3, c=0.5).value == 3
        score = scored(Product(["a", "b"]), a=2, b=-3)
        assert score.missing
        assert score.error == "a product needs values of at least 0; b is -3"
        assert score.components == {"a": 2, "b": -3}
        assert scored(Product(["a", "b"]), a=1e300, b=1e300).kind == "not finite"

    def test_thresholds_keep_the_value_and_add_a_violation(self):
        reward = Constrained("a", require=["b >= 0.9", "b <= 2", "c<=-1"])
        scales = {"b": (0.5, 0.1), "c": (0, 4)}
        assert scored(reward, scales, a=-3, b=0.9, c=-1).reward_violation == 0
        violation = scored(reward, scales, a=-3, b=0.7, c=1)
        assert (violation.value, violation.reward_violation) == (-3, pytest.approx(2 + 0.5))
        assert scored(reward, scales, a=-3, b=2.1, c=-5).reward_violation == pytest.approx(1)

    @pytest.mark.parametrize(
        "reward", [WeightedSum({"a": 1, "b": 0}), Min(["a", "b"]), Constrained("a", require="b>=1")]
    )
    def test_a_missing_term_makes_the_score_missing_with_its_name_and_reason(self, reward):
        score = scored(reward, a=1, b=Score(math.nan, error="no face", kind="refused"))
        assert score.missing
        assert (score.error, score.kind, score.components) == ("b: no face", "b: refused", {"a": 1})

    def test_a_call_outside_of_a_run_uses_given_scales(self):
        reward = make_reward(both(scales={"bright": [100, 10], "rough": [20, 5]}))
        image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        (score,) = reward([image], [""])
        b, r = bright([image], [""])[0], rough([image], [""])[0]
        assert score.value == pytest.approx((b - 100) / 10 - 2 * (r - 20) / 5)
        with pytest.raises(InputError, match="scales must be given outside of a run; got none for bright, rough"):
            make_reward(both())([image], [""])


def combined(reward, levels):
    """A combination of one, in a combination of one, and so on."""
    for _ in range(levels):
        reward = {"reward": "min", "options": {"parts": [reward]}}
    return [reward]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightedSum({}), "parts must hold a reward with a weight; got none"),
        (lambda: WeightedSum({"darkness": 0}), "parts must hold a reward with a weight"),
        (lambda: WeightedSum(3), "parts must be a mapping or a list of rewards; got 3"),
        (lambda: WeightedSum("darkness"), "parts must be a mapping or a list of rewards; got 'darkness'"),
        (lambda: WeightedSum('{"darkness": 1'), "parts must be JSON; got .*Put quotes"),
        (lambda: WeightedSum("[" * 90_000), "parts must be JSON; got .{,250}: it is nested too deeply. Put quotes"),
        (lambda: WeightedSum(combined("darkness", 300)), "parts must be single rewards; 'min' is a combination"),
        (lambda: WeightedSum({"darknes": 1}), "reward 'darknes' is unknown. Did you mean 'darkness'"),
        (
            lambda: WeightedSum(["darkness", "darkness"]),
            "distinct names; got 'darkness' 2 times. Give each one a label",
        ),
        (lambda: WeightedSum({"darkness": math.nan}), "weight of term 'darkness' must be a finite number; got nan"),
        (lambda: WeightedSum({"darkness": True}), "weight of term 'darkness' must be a finite number; got True"),
        (lambda: WeightedSum({"x": {"rewart": 1}}), "term key 'rewart' is unknown. Did you mean 'reward'"),
        (lambda: WeightedSum([{"weight": 1}]), "term must name its reward; got {'weight': 1}"),
        (lambda: WeightedSum({"x": {"options": 3}}), "options of term 'x' must be a mapping of names to values; got 3"),
        (
            lambda: WeightedSum({"x": {"policy": {3: 1}}}),
            "policy of term 'x' must be a mapping of names to values; got {3",
        ),
        (lambda: WeightedSum([{"reward": "jpeg_smaller", "options": {"qality": 3}}]), "option 'qality' is unknown"),
        (lambda: WeightedSum([WeightedSum(["darkness"])]), "parts must be single rewards; 'weighted_sum' is a combin"),
        (lambda: WeightedSum(["darkness"], warm_up=1), "warm_up must be at least 2; got 1"),
        (
            lambda: WeightedSum(["darkness"], scales="3"),
            r"scales must be term -> \[mean, standard deviation\]; got '3'",
        ),
        (lambda: WeightedSum(["darkness"], scales={"dark": [0, 1]}), "scales of term 'dark' is unknown. Did you mean"),
        (lambda: WeightedSum(["darkness"], scales={"darkness": [0, 0]}), r"standard deviation above 0\]; got \[0, 0\]"),
        (lambda: Product({"darkness": 2}), "weight must be 1 in product; got 2 for 'darkness'"),
        (lambda: Min({"darkness": -1}), "weight must be 1 in min; got -1 for 'darkness'"),
        (
            lambda: Constrained("darkness", require=["brightness > 1"]),
            "require must be NAME >= NUMBER or NAME <= NUMBER",
        ),
        (lambda: Constrained("darkness", require="brightness >= much"), "got 'brightness >= much'. Such as 'prompt_m"),
        (lambda: Constrained("darkness", require="brightness >= nan"), "got 'brightness >= nan'"),
        (lambda: Constrained("darkness", require=[">= 1"]), "got '>= 1'"),
        (
            lambda: Constrained("darkness", require=["brightness >= 9"]),
            "within 0 to 1 of brightness; got brightness >= 9",
        ),
        (lambda: Constrained("darkness", require=["brigtness >= 1"]), "reward 'brigtness' is unknown"),
        (lambda: Constrained("darkness", parts=["darkness"]), "got 'darkness' 2 times"),
    ],
)
def test_mistakes_are_refused_before_anything_is_written(tmp_path, make, message):
    with pytest.raises(InputError, match=message):
        optimize(make(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_combination_is_not_held_out():
    with pytest.raises(InputError, match="held_out must be single rewards; got 'product'. Name its terms instead"):
        optimize(bright, held_out=[Product(["darkness"])])


def test_two_terms_of_one_reward_have_labels():
    parts = [{"reward": "jpeg_smaller", "options": {"quality": q}, "label": f"jpeg {q}"} for q in (30, 90)]
    result = optimize(WeightedSum(parts, standardise=False, require="jpeg 30 >= -10"))
    assert result.best.components.keys() == {"jpeg 30", "jpeg 90"}
    assert result.best.components["jpeg 30"] > result.best.components["jpeg 90"]


def test_a_run_with_terms_is_shown(tmp_path, capsys):
    from zo_dno.ui import display

    result = optimize("jpeg_smaller", require=["darkness >= 0.45"], out=tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "result.json").read_text())
    assert kept["best"]["parts"] == result.best.components
    assert kept["first"]["parts"].keys() == {"jpeg_smaller", "darkness"}
    assert kept["unmet"] == result.unmet
    assert kept["scales"]["darkness"] == list(result.scales["darkness"])
    display.summary(result)
    display.overview(overview(tmp_path / "run"))
    shown = capsys.readouterr().out
    assert shown.count(f"darkness >= 0.45: not met by {result.unmet['darkness >= 0.45']} candidates") == 2
    assert f"best: jpeg_smaller {result.best.reward:.4g}, darkness {result.best.components['darkness']:.4g}" in shown
