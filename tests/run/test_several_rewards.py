"""Several rewards as one option, and the mistakes that it can have."""

import pytest

from zo_dno.errors import InputError
from zo_dno.run.config import validated
from zo_dno.run.make_reward import make_reward, rewards_in
from zo_dno.run.options import RunOptions
from zo_dno.run.several_rewards import as_one

BOTH = ["jpeg_smaller", "prompt_match"]


def test_a_list_of_rewards_is_a_front_and_a_single_one_is_itself():
    assert as_one("brightness", {"x": 1}, None) == ("brightness", {"x": 1})
    assert as_one(["brightness"], None, None) == ("brightness", {})
    name, options = as_one(BOTH, {"jpeg_smaller.quality": 50, "warm_up": 4}, None)
    assert (name, options) == (
        "front",
        {"parts": [{"reward": "jpeg_smaller", "options": {"quality": 50}}, "prompt_match"], "warm_up": 4},
    )
    made = make_reward(name, options)
    assert (made.objectives, rewards_in(made)) == (tuple(BOTH), 2)
    assert made.terms[0].reward.quality == 50
    assert as_one(BOTH, None, front=False)[0] == "weighted_sum"


def test_config_and_options_take_it_and_a_written_config_is_read_again():
    given = {"prompt": "forest at night", "reward": BOTH, "front": True, "reward_options": {"reference": "-3,0.1"}}
    config = validated(given)
    assert (config.reward, config.front) == ("front", None)
    again = RunOptions(reward=config.reward, reward_options=config.reward_options, front=True)
    assert again.reward_options == {"parts": BOTH, "reference": "-3,0.1"}
    assert RunOptions(reward=["brightness"]).reward == "brightness"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reward": BOTH, "reward_options": 5}, "reward_options must be"),
        ({"reward": BOTH, "reward_options": []}, "reward_options must be"),
        ({"reward": BOTH, "reward_options": {1: 2}}, "reward_options"),
        ({"reward": "jpeg_smaller", "front": True}, "front must come with several rewards; got jpeg_smaller alone"),
        ({"front": True}, "front must come with several rewards; got jpeg_smaller alone"),
        ({"reward": [*BOTH, "prompt_match"]}, "reward must name every reward once; got prompt_match 2 times"),
        ({"reward": []}, "reward must name at least one reward; got none"),
        ({"reward": BOTH, "reward_options": {"parts": {}}}, "parts must be left out where several rewards are given"),
        ({"reward": "front", "front": False}, "front must be true, or left out"),
    ],
)
def test_options_that_contradict_each_other_are_one_line(given, message):
    with pytest.raises(InputError, match=message) as found:
        RunOptions(**given)
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reference": [1]}, r"2 values, one per reward \(jpeg_smaller, prompt_match\); got 1"),
        ({"reference": "-3,0.1,2"}, "2 values, one per reward .*; got 3"),
        ({"reference": {"prompt_match": 0.1}}, "got none for jpeg_smaller"),
        ({"reference": {"prompt": 0.1}}, "reference of reward 'prompt' is unknown. Did you mean 'prompt_match'"),
        ({"reference": "3,0.1"}, "'jpeg_smaller' must be below 0 .kB.; got 3. Scores of jpeg_smaller are negative"),
        ({"reference": "-3 MB,0.1"}, "'jpeg_smaller' must be in its unit, kB; got '-3 MB'"),
        ({"reference": "-3,1"}, "'prompt_match' must be at least 0 and below 1"),
        ({"reference": "-3,nan"}, "'prompt_match' must be a finite number in probability; got 'nan'"),
        ({"reference": [True, 0.1]}, "'jpeg_smaller' must be a finite number"),
        ({"parts": ["jpeg_smaller"]}, "a front must have 2 to 5 rewards; got 1: jpeg_smaller"),
        ({"parts": [*BOTH, {"reward": "jpeg_smaller", "label": "size"}]}, "'jpeg_smaller' and 'size', which score al"),
        ({"parts": [*BOTH, "human"]}, "got 'human', whose scores come from choices .* Take mode=rate"),
        ({"parts": ["brightness", "contrast", "saturation", "hue", "entropy", "png_smaller"]}, "2 to 5 rewards; got 6"),
    ],
)
def test_a_front_that_cannot_be_is_one_line(options, message):
    with pytest.raises(InputError, match=message) as found:
        make_reward("front", {"parts": BOTH, **options})
    assert "\n" not in str(found.value)


def test_a_reference_point_may_name_rewards_and_units():
    for given in ("-3 kB, 0.2", "prompt_match=0.2,jpeg_smaller=-3", {"prompt_match": 0.2, "jpeg_smaller": -3}):
        made = make_reward("front", {"parts": BOTH, "reference": given})
        assert made.reference == {"jpeg_smaller": -3.0, "prompt_match": 0.2}
        assert make_reward("front", made.settings).identity == made.identity
    rated = {"reward": "human", "options": {"mode": "rate"}}
    assert make_reward("front", {"parts": ["brightness", rated]}).objectives == ("brightness", "human")
