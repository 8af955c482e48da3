import math

import numpy as np
import pytest

from zo_dno.callables import FunctionReward
from zo_dno.errors import InputError
from zo_dno.oracle import ask
from zo_dno.types import Score

IMAGES = np.arange(6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), dtype=np.uint8)
PROMPTS = [f"prompt {i}" for i in range(6)]


class Batched(FunctionReward):
    batch = 4


def value(images, prompts):
    return [float(np.asarray(image)[0, 0, 0]) for image in images]


def test_every_score_is_on_its_own_image():
    for reward in (FunctionReward(value), Batched(value)):
        assert [score.value for score in ask(reward, IMAGES, PROMPTS)] == [0, 1, 2, 3, 4, 5]


def test_prompts_go_with_their_images():
    seen = []

    def watched(images, prompts):
        seen.append(list(prompts))
        return value(images, prompts)

    ask(Batched(watched), IMAGES, PROMPTS)
    assert seen == [PROMPTS[:4], PROMPTS[4:]]


def test_a_function_of_images_alone_will_do():
    assert [score.value for score in ask(FunctionReward(lambda images: [1.0] * len(images)), IMAGES, PROMPTS)] == [
        1
    ] * 6


def test_a_failed_call_loses_its_own_images_only():
    def picky(images, prompts):
        if any(np.asarray(image).max() == 5 for image in images):
            raise KeyError("five")
        return value(images, prompts)

    scores = ask(Batched(picky), IMAGES, PROMPTS)
    assert [score.missing for score in scores] == [False] * 4 + [True] * 2
    assert scores[4].error == "KeyError: 'five'"
    assert [score.missing for score in ask(FunctionReward(picky), IMAGES, PROMPTS)] == [False] * 5 + [True]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ([], "ValueError: 0 scores for 1 images"),
        ([1, 2], "ValueError: 2 scores for 1 images"),
        ([math.nan], "the reward returned NaN"),
        ([math.inf], "the reward returned inf"),
        (["seven"], "ValueError: could not convert string to float: 'seven'"),
        (None, "TypeError"),
        (3.0, "TypeError"),
    ],
)
def test_what_is_no_score_is_missing_and_says_why(answer, error):
    (score,) = ask(FunctionReward(lambda images: answer), IMAGES[:1], PROMPTS[:1])
    assert score.missing
    assert error in score.error


def test_out_of_range_is_missing_with_its_raw_answer():
    class Percent(FunctionReward):
        range = (0.0, 100.0)

    (score,) = ask(Percent(lambda images: [250.0]), IMAGES[:1], PROMPTS[:1])
    assert score.missing
    assert score.raw == "250.0"
    assert "outside 0.0 to 100.0" in score.error


def test_a_reward_may_answer_with_scores_of_its_own():
    own = Score(2.0, cost=0.01, raw="two, I think")
    (score,) = ask(FunctionReward(lambda images: [own]), IMAGES[:1], PROMPTS[:1])
    assert (score.value, score.cost, score.raw) == (2.0, 0.01, "two, I think")
    assert score.seconds > 0


def test_what_is_no_function_is_refused():
    with pytest.raises(InputError, match="reward must be a function of images and prompts; got 3"):
        FunctionReward(3)
