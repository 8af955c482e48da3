"""Python functions, and objects that can be called, as rewards."""

import re
from dataclasses import dataclass

import numpy as np
import pytest

import zo_dno
from tests.support.oracles import image
from zo_dno.errors import InputError
from zo_dno.oracle.call import call
from zo_dno.oracle.function_reward import FunctionReward

ONE = [image(7)]


def told(function, **options):
    """Return what a function was called with, as the text that it notes."""
    (score,) = call(FunctionReward(function, "mine", options), ONE, ["sea"])
    return score.raw


def noted(images=None, prompts=None, *more):
    return [zo_dno.Score(1.0, raw=repr((type(images[0]).__name__, prompts and list(prompts), *more)))]


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda images: noted(images), "('Image', None)"),
        (lambda images, prompts: noted(images, prompts), "('Image', ['sea'])"),
        (lambda prompts, images: noted(images, prompts), "('Image', ['sea'])"),
        (lambda prompt, pictures: noted(pictures, prompt), "('Image', ['sea'])"),
        (lambda pictures, words: noted(pictures, words), "('Image', ['sea'])"),
        (lambda images, threshold=0.5: noted(images, None, threshold), "('Image', None, 0.5)"),
        (lambda images, threshold=0.5, prompts=(): noted(images, prompts, threshold), "('Image', ['sea'], 0.5)"),
        (lambda *, images, prompts: noted(images, prompts), "('Image', ['sea'])"),
        (lambda *images_and_prompts: noted(*images_and_prompts), "('Image', ['sea'])"),
        (lambda arrays: noted(arrays), "('ndarray', None)"),
        (lambda arrays, prompts: noted(arrays, prompts), "('ndarray', ['sea'])"),
    ],
)
def test_images_and_prompts_are_told_by_name_or_place(function, expected):
    assert told(function) == expected


@pytest.mark.parametrize(
    "function",
    [
        lambda images, threshold=0.5: noted(images, None, threshold),
        lambda images, threshold: noted(images, None, threshold),
        lambda images, *, threshold: noted(images, None, threshold),
        lambda images, **options: noted(images, None, options["threshold"]),
    ],
)
def test_other_parameters_are_options(function):
    assert told(function, threshold=0.75) == "('Image', None, 0.75)"
    assert FunctionReward(function, "mine", {"threshold": 0.75}).identity["settings"] == {"threshold": 0.75}


def typed(images, threshold: float = 0.5):
    return [threshold] * len(images)


def test_options_have_the_types_of_their_parameters():
    reward = zo_dno.make_reward(typed, {"threshold": "0.75"})
    assert reward(ONE, [""]) == [0.75]
    with pytest.raises(InputError, match=r"option 'threshold' does not fit: .*; got 'high'"):
        zo_dno.make_reward(typed, {"threshold": "high"})
    with pytest.raises(InputError, match=r"option 'treshold' is unknown. Did you mean 'threshold'"):
        zo_dno.make_reward(typed, {"treshold": 1})


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (3, "reward must be a function of images and prompts; got 3."),
        (None, "reward must be a function of images and prompts; got None."),
        (lambda *, prompts: None, "must take images as its first parameter; it takes none"),
        (
            lambda images, prompts, metadata: None,
            "reward 'mine' must take (images) or (images, prompts), and options; got no value for its parameter "
            "'metadata'. Give it a default, or the option metadata=...",
        ),
    ],
)
def test_a_function_that_cannot_be_called_is_refused(function, message):
    with pytest.raises(InputError, match=re.escape(message)):
        FunctionReward(function, "mine")


class Judge:
    """A class of its own, whose attributes say how it is called."""

    batch, noisy, range, unit, version = 4, True, (0, 1), "likes", 2

    def __init__(self, strictness: float = 1.0):
        self.strictness = strictness

    def __call__(self, images, prompts):
        return [self.strictness / 2] * len(images)


@pytest.mark.parametrize("given", [Judge(), Judge, "tests.oracle.test_function_reward:Judge"])
def test_attributes_of_a_function_or_an_object_are_the_rewards(given):
    reward = zo_dno.make_reward(given)
    assert (reward.batch, reward.noisy, reward.range, reward.unit) == (4, True, (0.0, 1.0), "likes")
    assert reward.identity["version"] == "2"
    assert reward.name == "Judge"
    assert list(reward([*ONE, *ONE], ["", ""])) == [0.5, 0.5]


def test_a_function_is_asked_batch_by_batch_and_a_noisy_one_again():
    sizes = []

    def judge(images):
        sizes.append(len(images))
        return [float(np.asarray(one).mean()) for one in images]

    judge.batch, judge.noisy = 8, True
    from tests.support.toys import ToyGenerator

    result = zo_dno.optimize(ToyGenerator(), judge, "random_search", queries=40, strategy_options={"population": 16})
    assert max(sizes) == 8
    assert len(sizes) < 12
    assert result.repeats or result.unasked


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("batch", 0, "the largest number of images in a call, at least 1"),
        ("batch", "8", "the largest number of images in a call, at least 1"),
        ("noisy", "no", "True or False"),
        ("range", (1, 0), "the lowest and the highest possible score, such as (0, 1)"),
        ("range", 1, "the lowest and the highest possible score, such as (0, 1)"),
        ("policy", {"price": 1}, "a zo_dno.CallPolicy"),
        ("unit", 3, "text"),
    ],
)
def test_an_attribute_of_another_kind_is_refused(name, value, expected):
    def mine(images):
        return [0.5] * len(images)

    setattr(mine, name, value)
    with pytest.raises(InputError) as raised:
        zo_dno.make_reward(mine)
    assert str(raised.value) == f"{name} of reward 'mine' must be {expected}; got {value!r}."


def make_judge(strictness: float = 1.0):
    return Judge(strictness)


def make_function(strictness):
    return lambda images: [float(strictness)] * len(images)


@dataclass(frozen=True)
class Needy:
    path: str

    def __post_init__(self):
        raise FileNotFoundError(f"no weights in {self.path}")


def test_a_factory_makes_the_reward_from_options():
    assert zo_dno.make_reward(make_judge, {"strictness": "3"})(ONE, [""]) == [1.5]
    assert zo_dno.make_reward("tests.oracle.test_function_reward:make_function", {"strictness": 3})(ONE, [""]) == [3.0]


def test_a_class_that_raises_is_one_line_that_says_where():
    with pytest.raises(InputError, match=r"Needy' could not be made: FileNotFoundError: no weights in a \(test_func"):
        zo_dno.make_reward(Needy, {"path": "a"})
