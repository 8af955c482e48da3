"""What a call returns: scores, missing scores with their reason, failures."""

import math

import numpy as np
import pytest
import torch

import zo_dno
from tests.support.oracles import Batched, ask, value
from tests.support.toys import ToyGenerator
from zo_dno.failures import CallError, Failure
from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.storage.ledger import Ledger
from zo_dno.types import Score

MISUSES = [
    (["seven"], "got a str, 'seven' for image 0. Return numbers: float(text)."),
    (["85"], "got a str, '85' for image 0. Return numbers: float(text)."),
    ([None], "got None for image 0. Return float('nan') for an image without a score."),
    ([[0.5]], "got a list, [0.5] for image 0. Return the scores alone."),
    ([object], "got a type, <class 'object'> for image 0."),
    (None, "such as [0.5] for 1 image; got None. Is a return statement missing?"),
    (3.0, "got a float, 3.0. Return a list, also for one image."),
    ("8", "got a str, '8'. Return a list, also for one image."),
    ({0: 0.5}, "got a dict, {0: 0.5}. Return its values, in the order of the images."),
    ({0.5}, "got a set, {0.5}. A set has no order: return a list."),
    (range(1).__iter__(), "got a range_iterator. Return list(...) of it."),
    (np.ones((1, 1)), "got a ndarray of shape (1, 1). Return it flat, as by .flatten()."),
    (torch.ones(1, 3), "got a Tensor of shape (1, 3)."),
    (np.float64(1), "got a float64 of shape ()."),
]


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
        *((returned, "no scores", error) for returned, error in MISUSES),
        (([0.5], {}), "wrong count", "2 scores for 1 images. Return the scores alone."),
    ],
)
def test_an_invalid_score_is_missing_with_its_reason(returned, kind, error, in_flight):
    (response,) = ask(FunctionReward(lambda images: returned, "mine"), [0], in_flight=in_flight)
    assert response.score.missing
    assert response.score.kind == kind
    assert error in response.score.error
    assert response.attempts == 1


@pytest.mark.parametrize("in_flight", [1, 2])
@pytest.mark.parametrize(("returned", "error"), MISUSES)
def test_a_first_call_without_scores_pauses_before_the_second(returned, error, in_flight):
    calls = []

    def mine(images):
        calls.append(len(images))
        return returned

    with pytest.raises(PauseError, match="the first query failed with: reward 'mine' must return") as pause:
        ask(mine, in_flight=in_flight, breaker=16)
    assert error.removesuffix(".") in str(pause.value)
    assert calls == [1]
    assert [query.id for query in pause.value.unscored] == [0]


def test_a_later_call_without_scores_costs_its_own_image():
    responses = ask(lambda images: [0.5] if value(images, [])[0] != 3 else None, breaker=16)
    assert [response.score.missing for response in responses] == [False] * 3 + [True] + [False] * 2


def test_arrays_of_any_library_and_tuples_are_scores():
    for returned in (np.ones(1), torch.ones(1), (1,), [torch.ones(1)], [True], np.ones(1, np.float16)):
        assert ask(lambda images, returned=returned: returned, [0])[0].score.value == 1.0


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
