"""What a call returns: scores, missing scores with their reason, failures."""

import math

import numpy as np
import pytest

import zo_dno
from tests.support.oracles import Batched, ask, value
from tests.support.toys import ToyGenerator
from zo_dno.failures import CallError, Failure
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.storage.ledger import Ledger
from zo_dno.types import Score


def test_prompts_go_with_their_images():
    seen = []

    def watched(images, prompts):
        seen.append(list(prompts))
        return value(images, prompts)

    ask(Batched(watched))
    assert seen == [[f"prompt {i}" for i in range(4)], ["prompt 4", "prompt 5"]]


def test_a_failed_call_fails_its_own_images_only():
    def picky(images, prompts):
        if any(np.asarray(one).max() == 5 for one in images):
            raise KeyError("five")
        return value(images, prompts)

    responses = ask(Batched(picky))
    assert [response.score.missing for response in responses] == [False] * 4 + [True] * 2
    assert responses[4].score.error == "KeyError: 'five'"
    assert [response.score.missing for response in ask(picky)] == [False] * 5 + [True]


@pytest.mark.parametrize("in_flight", [1, 2])
@pytest.mark.parametrize(
    ("returned", "kind", "error"),
    [
        ([], "wrong count", "0 scores for 1 images"),
        ([1, 2], "wrong count", "2 scores for 1 images"),
        ([math.nan], "NaN", "the reward returned NaN"),
        ([Score(math.nan, error="no face", kind="no face")], "no face", "no face"),
        ([math.inf], "not finite", "the reward returned inf"),
        (["seven"], "ValueError", "could not convert string to float: 'seven'"),
        (None, "TypeError", "TypeError"),
        (3.0, "TypeError", "TypeError"),
    ],
)
def test_an_invalid_score_is_missing_with_its_reason(returned, kind, error, in_flight):
    (response,) = ask(lambda images: returned, [0], in_flight=in_flight)
    assert response.score.missing
    assert response.score.kind == kind
    assert error in response.score.error
    assert response.attempts == 1


def test_a_score_out_of_range_is_missing_with_its_raw_value():
    class Percent(FunctionReward):
        range = (0.0, 100.0)

    (response,) = ask(Percent(lambda images: [250.0]), [0])
    assert response.score.missing
    assert response.score.kind == "out of range"
    assert response.score.raw == "250.0"
    assert "outside 0.0 to 100.0" in response.score.error


def test_a_reward_may_return_score_objects():
    own = Score(2.0, cost=0.01, raw="two, I think", tokens=7)
    (response,) = ask(lambda images: [own], [0])
    assert (response.score.value, response.cost) == (2.0, 0.01)
    assert (response.score.raw, response.score.tokens) == ("two, I think", 7)
    assert response.score.seconds > 0


@pytest.mark.parametrize(
    ("details", "error"),
    [
        ({"components": {"sharp": "very"}}, "must be real number"),
        ({"reward_violation": -1.0}, "reward_violation must be at least 0"),
        ({"cost": math.nan}, "cost must be at least 0 and finite; got nan"),
        ({"cost": -1.0}, "cost must be at least 0 and finite; got -1.0"),
        ({"seconds": math.inf}, "seconds must be at least 0 and finite; got inf"),
        ({"tokens": -3}, "tokens must be at least 0 and finite; got -3"),
        ({"tokens": 10**30}, "tokens must be at least 0 and finite; got 1000000"),
    ],
)
def test_details_of_a_score_must_be_numbers(details, error):
    (response,) = ask(lambda images: [Score(2.0, **details)], [0])
    assert response.score.missing
    assert error in response.score.error


def test_numbers_of_a_score_are_stored_as_plain_ones(tmp_path):
    """SQLite would keep the bytes of numpy's, which no later session could read."""
    half = "half a character: \ud800"  # as a text that was cut may end
    own = Score(np.float32(0.5), cost=np.float32(0.25), tokens=np.float64(3), seconds=np.float32(1.0), raw=half)

    def judge(images, prompts):
        return [own] * len(images)

    zo_dno.optimize(ToyGenerator(), judge, queries=8, threads=1, out=tmp_path / "run", policy={"price": 0.5})
    rows = Ledger(tmp_path / "run" / "ledger.db", read_only=True).queries()
    assert {(row.value, row.cost, row.tokens, row.seconds) for row in rows} == {(0.5, 0.25, 3, 1.0)}
    assert {row.raw for row in rows} == {"half a character: ?"}


def test_a_cost_that_is_no_number_does_not_lift_the_cap():
    calls = []

    def judge(images, prompts):
        calls.append(1)
        return [Score(0.5, cost=math.nan if len(calls) == 3 else None)]

    policy = {"price": 0.01, "in_flight": 1, "attempts": 1}
    zo_dno.optimize(ToyGenerator(), judge, queries=40, threads=1, max_cost=0.1, policy=policy)
    assert len(calls) == 10


def test_texts_and_components_of_a_reward_are_bounded():
    parts = {f"{number}" * 1000: 1.0 for number in range(2000)}
    (response,) = ask(lambda images: [Score(2.0, components=parts)], [0])
    assert len(response.score.components) <= 1000
    assert max(map(len, response.score.components)) < 120

    def raises(images):
        raise CallError(Failure("odd\x1b" * 1000, "long\x1b[2J" * 10_000, transient=False, billed=False))

    (response,) = ask(raises, [0])
    assert len(response.score.kind) < 120
    assert len(response.score.error) < 2100
    assert (response.score.kind + response.score.error).isprintable()
