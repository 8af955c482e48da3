"""What a call returns: scores, missing scores with their reason, failures."""

import math

import numpy as np
import pytest

from tests.support.oracles import Batched, ask, value
from zo_dno.oracle.function_reward import FunctionReward
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
    ],
)
def test_details_of_a_score_must_be_numbers(details, error):
    (response,) = ask(lambda images: [Score(2.0, **details)], [0])
    assert response.score.missing
    assert error in response.score.error
