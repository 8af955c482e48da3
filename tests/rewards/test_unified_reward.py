"""What is read from the responses of `unified_reward`, and its options; its model is in test_larger_models."""

import math

import pytest

from zo_dno.errors import InputError
from zo_dno.rewards.unified_reward import UnifiedReward


@pytest.mark.parametrize(
    ("response", "value"),
    [
        ("cat (animal): 1\nFinal Score: 3.5", 3.5),
        ("**Final Score:** 4", 4),
        ("Final Score: 4.25/5", 4.25),
        ("Final Score: 2\nFinal Score: 2.0", 2),
    ],
)
def test_the_rating_behind_final_score_is_read(response, value):
    assert UnifiedReward().read(response).value == value
    assert UnifiedReward().read(response).raw == response


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        ("a good picture", "no score"),
        ("Final Score: high", "no score"),
        ("Final Score: 2\nFinal Score: 4", "no score"),
        ("Final Score: 35", "out of range"),
        ("Final Score: -1", "out of range"),
    ],
)
def test_an_unclear_rating_is_missing(response, kind):
    score = UnifiedReward().read(response)
    assert math.isnan(score.value)
    assert score.kind == kind
    assert score.error


def test_several_ratings_are_averaged():
    names = ("Alignment Score (1-5)", "Coherence Score (1-5)", "Style Score (1-5)")
    reward = UnifiedReward(ratings=",".join(names))
    score = reward.read(f"{names[0]}: 2.5\n{names[1]}: 2\n{names[2]}: 3.0")
    assert score.value == 2.5
    assert score.components == dict(zip(names, (2.5, 2.0, 3.0), strict=True))
    assert reward.read(f"{names[0]}: 2.5").missing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"question": "How good?"}, r"question must have \{\} where the prompt belongs; got 'How good\?'"),
        ({"ratings": "a,"}, r"ratings must be names separated by commas; got 'a,'"),
        ({"longest": 0}, r"longest must be at least 1; got 0"),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        UnifiedReward(**options)
