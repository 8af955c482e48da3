"""Several rewards as one: their values, frozen scales, thresholds, money, and going on."""

import asyncio
import json
import math
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pytest
import yaml

import zo_dno
from tests.end_to_end.test_resume import Crash, content, crashing
from tests.support.toys import ToyGenerator
from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError, RunError
from zo_dno.oracle.combination.scales import Scale
from zo_dno.results.overview import overview
from zo_dno.rewards.combinations import Constrained, Min, Product, WeightedSum
from zo_dno.run.build import make_reward
from zo_dno.storage.ledger import Ledger
from zo_dno.types import Score
from zo_dno.ui.cli import main as cli

CHEAP, DEAR = 0.01, 0.05


def bright(images, prompts):
    return [float(np.asarray(image).mean()) for image in images]


def red(images, prompts):
    return [float(np.asarray(image)[..., 0].mean()) for image in images]


def rough(images, prompts):
    return [float(np.abs(np.diff(np.asarray(image).astype(float), axis=0)).mean()) for image in images]


def constant(images, prompts):
    return [7.0] * len(images)


for function in (bright, red, rough, constant):
    vars(function).update(version="1")


def optimize(reward, strategy="snes", **options):
    options = {"queries": 32, "seed": 3, "strategy_options": {"population": 8}, **options}
    return zo_dno.optimize(ToyGenerator(), reward, strategy, **options)


def attempt(*arguments, **options):
    """Run; returns the result, or else the message of the error that it ended with."""
    try:
        return optimize(*arguments, **options), ""
    except RunError as error:
        return None, str(error)


def resume(folder, reward=None, **options):
    return zo_dno.resume(folder, generator=ToyGenerator(), reward=reward, **options)


def both(**options):
    return WeightedSum({"bright": {"reward": bright}, "rough": {"reward": rough, "weight": -2}}, **options)


def rows_of(folder, stage="search"):
    return Ledger(folder / "ledger.db", read_only=True).queries(stage)


def scored(reward, scales=None, **values):
    scores = {name: value if isinstance(value, Score) else Score(value) for name, value in values.items()}
    return reward.score(scores, {name: Scale(*scale) for name, scale in (scales or {}).items()})


class TestValues:
    def test_a_weighted_sum_is_of_standardised_values(self):
        reward = WeightedSum({"a": 1, "b": -2})
        score = scored(reward, {"a": (10, 2), "b": (0.5, 0.1)}, a=14, b=0.4)
        assert score.value == pytest.approx(2 * 1 + -1 * -2)
        assert score.components == {"a": 14, "b": 0.4}
        assert reward.unit == "sd"

    def test_or_of_the_values_as_they_are(self):
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

    def test_thresholds_leave_the_value_and_count_what_is_lacking(self):
        reward = Constrained("a", require=["b >= 0.9", "b <= 2", "c<=-1"])
        scales = {"b": (0.5, 0.1), "c": (0, 4)}
        assert scored(reward, scales, a=-3, b=0.9, c=-1).reward_violation == 0
        violation = scored(reward, scales, a=-3, b=0.7, c=1)
        assert (violation.value, violation.reward_violation) == (-3, pytest.approx(2 + 0.5))
        assert scored(reward, scales, a=-3, b=2.1, c=-5).reward_violation == pytest.approx(1)

    @pytest.mark.parametrize(
        "reward", [WeightedSum({"a": 1, "b": 0}), Min(["a", "b"]), Constrained("a", require="b>=1")]
    )
    def test_a_missing_part_makes_it_missing_with_its_name_and_reason(self, reward):
        score = scored(reward, a=1, b=Score(math.nan, error="no face", kind="refused"))
        assert score.missing
        assert (score.error, score.kind, score.components) == ("b: no face", "b: refused", {"a": 1})

    def test_asked_at_once_with_given_scales(self):
        reward = make_reward(both(scales={"bright": [100, 10], "rough": [20, 5]}))
        image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        (score,) = reward([image], [""])
        b, r = bright([image], [""])[0], rough([image], [""])[0]
        assert score.value == pytest.approx((b - 100) / 10 - 2 * (r - 20) / 5)
        with pytest.raises(InputError, match="scales must be given outside of a run; got none for bright, rough"):
            make_reward(both())([image], [""])


class TestScales:
    def test_are_those_of_a_warm_up_of_prior_draws_whatever_the_strategy(self, tmp_path):
        scales = optimize(both(), out=tmp_path / "run").scales
        rows = rows_of(tmp_path / "run", "warm_up")
        assert len(rows) == 16
        for name in ("bright", "rough"):
            values = [row.components[name] for row in rows]
            assert scales[name] == (fmean(values), stdev(values))
        for strategy in ("hill_climb", "zo_sgd", "random_search"):
            assert optimize(both(), strategy, queries=8, strategy_options={}).scales == scales
        assert optimize(both(), queries=8, seed=4).scales != scales

    def test_keep_the_meaning_of_every_score(self, tmp_path):
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

    def test_that_are_not_needed_cost_nothing(self, tmp_path):
        optimize(Product([bright, rough]), out=tmp_path / "run")
        assert rows_of(tmp_path / "run", "warm_up") == []

    def test_of_a_part_that_never_changes(self, caplog):
        with pytest.raises(
            RunError, match=r"term 'constant' was 7 in all draws of the warm-up.*option scales: \{'const"
        ):
            optimize(Min([bright, constant]))
        result = optimize(Constrained(bright, parts=[constant], require="constant >= 5"))
        assert result.scales == {"constant": (7, 1)}
        assert "constant was 7 in all draws of the warm-up, so it counts in its own unit" in caplog.text

    def test_of_a_part_without_scores(self):
        def never(images, prompts):
            raise KeyError("no opinion")

        with pytest.raises(RunError, match=r"term 'never' got 0 scores in the warm-up of 4 draws.*no opinion"):
            optimize(WeightedSum([bright, never], warm_up=4), policy={"breaker": 0})


class TestThresholds:
    @pytest.mark.parametrize("strategy", ["snes", "hill_climb", "zo_sgd"])
    def test_the_winner_meets_them_where_it_would_not_otherwise(self, strategy):
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
    def test_who_does_not_meet_them_is_told_below_all_who_do(self, min_log_prob):
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

    def test_the_first_that_meets_them_leads_though_its_reward_is_the_lowest(self):
        """From a start where none meets it, a climber must leave the better rewards behind."""
        found = optimize(
            Constrained(bright, parts=[red], require="red <= 40"), "hill_climb", queries=160, min_log_prob=None
        )
        assert found.history[0].reward_violation > 0
        first = next(row for row in found.history if row.reward_violation == 0)
        assert first.told > max(row.told for row in found.history[: first.id])
        assert found.best.components["red"] <= 40
        assert found.best.id > first.id

    def test_that_nobody_meets(self, tmp_path):
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

    def test_a_baseline_has_to_meet_them_too(self):
        reward = Constrained(bright, parts=[red], require="red <= 110")
        found = optimize(reward, baseline=32)
        assert found.baseline.reward < optimize(bright, baseline=32).baseline.reward
        assert optimize(reward).baseline is None  # some of the first draws do not: no estimate


def priced(function, price, log=None, stops=None):
    """A reward that costs, writes down every image that it scores, and may stop the run at a call."""

    def reward(images, prompts):
        log.append(np.asarray(images[0]).tobytes())
        if stops is not None and stops[0] == len(log):
            raise stops[1]
        return function(images, prompts)

    log = [] if log is None else log
    reward.__name__ = reward.__qualname__ = function.__name__
    vars(reward).update(version="1", policy=CallPolicy(price=price, attempts=1), log=log)
    return reward


def dear(logs=None, stops=None, **options):
    """A combination of a cheap and a dear part; `stops` are (call, error) for each."""
    logs, stops = logs or ([], []), stops or (None, None)
    parts = [priced(bright, CHEAP, logs[0], stops[0]), priced(rough, DEAR, logs[1], stops[1])]
    return WeightedSum(parts, warm_up=4, **options)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Everything that a dear run of 24 queries keeps."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    optimize(dear(), out=folder, queries=24)
    return content(folder)


class TestMoney:
    def test_is_counted_once(self, tmp_path):
        result = optimize(dear(), out=tmp_path / "run", queries=8, baseline=4)
        queries = 4 + 8 + 4
        assert result.cost == pytest.approx(queries * (CHEAP + DEAR))
        every = Ledger(tmp_path / "run" / "ledger.db", read_only=True).all_queries()
        assert sum(row.cost for row in every) == pytest.approx(result.cost)
        assert all(row.cost == row.tokens == row.attempts == 0 for row in every if not row.of_term)
        seen = overview(tmp_path / "run")
        assert seen.cost == pytest.approx(result.cost)
        assert seen.attempts == 2 * queries
        assert seen.counts["search: rough"]["scored"] == 8
        assert resume(tmp_path / "run", dear()).cost == pytest.approx(result.cost)

    @pytest.mark.parametrize("cap", [0.03, 0.3])
    def test_never_exceeds_the_cap_and_a_higher_one_goes_on(self, tmp_path, whole, cap):
        logs = [], []
        result, message = attempt(dear(logs), out=tmp_path / "run", queries=24, max_cost=cap)
        assert "max_cost" in message if result is None else result.stopped_by == "cost"
        spent = CHEAP * len(logs[0]) + DEAR * len(logs[1])
        assert spent <= cap + 1e-9
        assert overview(tmp_path / "run").cost == pytest.approx(spent)
        result = resume(tmp_path / "run", dear(logs), max_cost=100)
        assert [len(log) for log in logs] == [28, 28]
        assert result.cost == pytest.approx(28 * (CHEAP + DEAR))
        assert content(tmp_path / "run") == whole

    def test_the_dear_part_is_not_asked_where_the_cheap_one_has_no_score(self):
        def sometimes(images, prompts):
            return [math.nan if value < 100 else value for value in bright(images, prompts)]

        log = []
        reward = WeightedSum([priced(rough, DEAR, log), priced(sometimes, CHEAP)], standardise=False)
        result = optimize(reward, "random_search")
        assert 0 < result.failed_queries < 32
        assert len(log) == 32 - result.failed_queries
        assert result.failures == {"sometimes: the reward returned NaN": result.failed_queries}

    def test_prices_belong_to_the_one_part_that_counts(self):
        options = {"policy": {"price": 0.5, "attempts": 1}, "queries": 8}
        assert optimize(Constrained(bright, parts=[red], require="red >= 1", warm_up=2), **options).cost == 5
        with pytest.raises(
            InputError, match=r"price must be given to one term; got it for bright, rough. Such as parts="
        ):
            optimize(both(), **options)
        parts = {"bright": {"reward": bright, "policy": {"price": 0.25}}, "rough": {"reward": rough}}
        assert optimize(Product(parts), queries=8, policy={"attempts": 1}).cost == 2

    def test_equal_images_are_paid_once(self):
        logs = [], []
        reward = dear(logs, scales={"bright": [0, 1], "rough": [0, 1]})
        generator = zo_dno.FunctionGenerator(lambda z: ToyGenerator()(z)[:1].repeat(len(z), 1, 1, 1), (3, 4, 4))
        result = zo_dno.optimize(generator, reward, queries=16, strategy_options={"population": 8})
        assert [len(log) for log in logs] == [2, 2]
        assert result.cached_queries == 14


class TestGoingOn:
    @pytest.mark.parametrize(("at", "after"), [(3, True), (14, False), (110, False)])
    def test_a_dear_run_that_was_killed(self, tmp_path, monkeypatch, whole, at, after):
        logs = [], []
        with crashing(monkeypatch, at, after), pytest.raises(Crash):
            optimize(dear(logs), out=tmp_path / "run", queries=24)
        resume(tmp_path / "run", dear(logs))
        assert content(tmp_path / "run") == whole
        repeated = [sum(count - 1 for count in Counter(log).values()) for log in logs]
        assert sum(repeated) <= 1 - after  # at most the answer that was not written yet

    def test_a_free_run_that_was_killed(self, tmp_path, monkeypatch):
        def reward():
            return WeightedSum([bright, rough], warm_up=4, require="darkness >= 0.4")

        optimize(reward(), out=tmp_path / "whole", queries=24)
        with crashing(monkeypatch, 30, after=True), pytest.raises(Crash):
            optimize(reward(), out=tmp_path / "parts", queries=24)
        resume(tmp_path / "parts", reward())
        assert content(tmp_path / "parts") == content(tmp_path / "whole")

    @pytest.mark.parametrize(("term", "at"), [(0, 3), (1, 3), (1, 9)])
    def test_ctrl_c(self, tmp_path, whole, term, at):
        logs, stops = ([], []), [None, None]
        stops[term] = at, KeyboardInterrupt()
        result, message = attempt(dear(logs, stops), out=tmp_path / "run", queries=24)
        if result is None:
            assert ("in the warm-up" if at < 5 else "before its first query was answered") in message
        else:
            assert (result.status, result.queries) == ("interrupted", at - 5)
        resume(tmp_path / "run", dear(logs))
        assert content(tmp_path / "run") == whole

    @pytest.mark.parametrize("ready", [1, 13])
    def test_a_part_that_dies_pauses_the_run_and_nothing_of_it_counts(self, tmp_path, whole, ready):
        def dies(images, prompts):
            if len(log) > ready:
                raise PermissionError("bad key")
            return rough(images, prompts)

        log, dies.__name__ = [], "rough"
        reward = WeightedSum([priced(bright, CHEAP), priced(dies, DEAR, log)], warm_up=4)
        result, message = attempt(reward, out=tmp_path / "run", queries=24, policy={"breaker": 3})
        said = message if result is None else result.pause
        assert "the last 3 queries to rough all failed, at last with: PermissionError: bad key" in said
        assert result is None or (result.status, result.failed_queries) == ("paused", 0)
        assert len(log) == ready + 3
        resume(tmp_path / "run", dear(([], log)))
        assert len(log) == 28 + 3
        found = content(tmp_path / "run")
        assert [replace(row, failures="") for row in found[1]] == whole[1]
        assert (found[0], found[2:]) == (whole[0], whole[2:])

    def test_by_name_alone(self, tmp_path):
        options = {"reward_options": {"parts": {"brightness": 1, "small": {"reward": "jpeg_smaller", "weight": 0.5}}}}
        optimize("weighted_sum", out=tmp_path / "parts", queries=16, **options)
        resume(tmp_path / "parts", queries=24)
        optimize("weighted_sum", out=tmp_path / "whole", queries=24, horizon=16, **options)
        assert content(tmp_path / "parts") == content(tmp_path / "whole")
        kept = yaml.safe_load((tmp_path / "parts" / "config.yaml").read_text())["reward_options"]
        assert kept["parts"] == {"brightness": 1, "small": {"reward": "jpeg_smaller", "weight": 0.5}}

    def test_another_weight_or_threshold_is_refused(self, tmp_path):
        optimize(both(), out=tmp_path / "run")
        with pytest.raises(InputError, match="cannot go on as it began.*reward parts"):
            resume(tmp_path / "run", WeightedSum([bright, rough]), queries=48)
        with pytest.raises(InputError, match="cannot go on as it began.*rough <= 110"):
            resume(tmp_path / "run", both(require=["rough <= 110"]), queries=48)

    def test_parts_share_answers_with_other_runs(self, tmp_path):
        cache, log = tmp_path / "answers.db", []
        optimize(priced(bright, CHEAP, log), "random_search", cache=cache, strategy_options={})
        optimize(
            Constrained(priced(bright, CHEAP, log), parts=[red], require="red >= 1"),
            *("random_search",),
            cache=cache,
            strategy_options={},
        )
        assert len(log) == 32 + 16  # of the second run, the warm-up alone


def test_a_run_of_parts_is_shown(tmp_path, capsys):
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


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WeightedSum({}), "parts must hold a reward with a weight; got none"),
        (lambda: WeightedSum({"darkness": 0}), "parts must hold a reward with a weight"),
        (lambda: WeightedSum(3), "parts must be a mapping or a list of rewards; got 3"),
        (lambda: WeightedSum("darkness"), "parts must be a mapping or a list of rewards; got 'darkness'"),
        (lambda: WeightedSum('{"darkness": 1'), "parts must be JSON; got .*Put quotes"),
        (lambda: WeightedSum({"darknes": 1}), "reward 'darknes' is unknown. Did you mean 'darkness'"),
        (
            lambda: WeightedSum(["darkness", "darkness"]),
            "distinct names; got 'darkness' 2 times. Give each one a label",
        ),
        (lambda: WeightedSum({"darkness": math.nan}), "weight of term 'darkness' must be a finite number; got nan"),
        (lambda: WeightedSum({"darkness": True}), "weight of term 'darkness' must be a finite number; got True"),
        (lambda: WeightedSum({"x": {"rewart": 1}}), "term key 'rewart' is unknown. Did you mean 'reward'"),
        (lambda: WeightedSum([{"weight": 1}]), "term must name its reward; got {'weight': 1}"),
        (lambda: WeightedSum({"x": {"options": 3}}), "options of term 'x' must be a mapping; got 3"),
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
def test_mistakes_are_named_before_anything_is_written(tmp_path, make, message):
    with pytest.raises(InputError, match=message):
        optimize(make(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_combination_is_not_held_out():
    with pytest.raises(InputError, match="held_out must be single rewards; got 'product'. Name its parts instead"):
        optimize(bright, held_out=[Product(["darkness"])])


def test_two_of_one_kind_have_labels():
    parts = [{"reward": "jpeg_smaller", "options": {"quality": q}, "label": f"jpeg {q}"} for q in (30, 90)]
    result = optimize(WeightedSum(parts, standardise=False, require="jpeg 30 >= -10"))
    assert result.best.components.keys() == {"jpeg 30", "jpeg 90"}
    assert result.best.components["jpeg 30"] > result.best.components["jpeg 90"]


@pytest.fixture
def zo(monkeypatch, capsys, tmp_path):
    """Run the command line in this process, in an empty folder; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["zo-dno", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return call


class Slow(zo_dno.Reward):
    """Answers on the event loop, several at once, and late where the image is dark."""

    name, unit, is_async, takes_keys = "slow", "n", True, True
    policy = CallPolicy(in_flight=4)

    async def __call__(self, images, prompts, keys=()):
        assert len(keys) == 1
        await asyncio.sleep(0.002 * (255 - bright(images, prompts)[0]) / 255)
        return [Score(value, components={"own": 1.0}, spread=0.5) for value in bright(images, prompts)]


def test_parts_may_wait_for_many_answers_at_once(tmp_path):
    result = optimize(Min([Slow(), rough], standardise=False), out=tmp_path / "run")
    for row in result.history:
        assert row.value == min(row.components["slow"], row.components["rough"])
    slow = [row for row in rows_of(tmp_path / "run", "search.part") if row.oracle == "slow"]
    assert [row.value for row in slow] == [row.components["slow"] for row in result.history]
    assert all((row.components, row.spread) == ({"own": 1.0}, 0.5) for row in slow)
    with pytest.raises(InputError, match="parts must be synchronous outside of a run; got 'slow', which is async"):
        make_reward(Min([Slow(), rough], standardise=False))([result.best_image], [""])


class TestCommandLine:
    FAST = ("--prompt", "mountains at day", "--steps", 1, "--queries", 8, "--threads", 1, "--seed", 1)

    def test_parts_as_json_and_thresholds(self, zo):
        parts = {"jpeg_smaller": 1, "brightness": -0.5}
        options = ("--reward", "weighted_sum", "--reward-option", f"parts={json.dumps(parts)}")
        required = ("--require", "prompt_match >= 0.05", "--require", "brightness <= 0.9")
        code, output, errors = zo(
            "run", *self.FAST, *options, "--reward-option", "warm_up=4", *required, "--out", "here"
        )
        assert code == 0, errors
        result = json.loads(Path("here/result.json").read_text())
        assert result["best"]["parts"].keys() == {"jpeg_smaller", "brightness", "prompt_match"}
        assert result["best"]["parts"]["prompt_match"] >= 0.05
        assert "prompt_match >= 0.05: not met by" in output
        assert "warm_up: prompt_match" in zo("show", "here")[1]
        config = yaml.safe_load(Path("here/config.yaml").read_text())
        assert (config["reward_options"]["parts"], config["require"]) == (parts, [required[1], required[3]])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ("--require", "prompt_match > 0.9"),
                "require must be NAME >= NUMBER or NAME <= NUMBER; got 'prompt_match",
            ),
            (("--require", "prompt >= 0.9"), "reward 'prompt' is unknown. Did you mean 'prompt_match'?"),
            (("--reward", "weighted_sum"), "parts"),
            (("--reward", "constrained"), "reward"),
            (("--reward", "min", "--reward-option", "parts=[darkness]"), "parts must be JSON; got '[darkness]'"),
        ],
    )
    def test_a_mistake_is_one_line(self, zo, arguments, message):
        code, _, errors = zo("run", *self.FAST, *arguments, "--out", "here")
        assert code == 2, errors
        assert message in errors
        assert len(errors.strip().splitlines()) == 1, errors
        assert not Path("here").exists()
