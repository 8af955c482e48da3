import pytest

from tests.support.oracles import ask
from zo_dno.errors import InputError
from zo_dno.oracle.function_reward import FunctionReward


def test_a_function_of_images_alone_is_a_reward():
    assert [response.score.value for response in ask(lambda images: [1.0] * len(images))] == [1] * 6


def test_a_value_that_is_no_function_is_refused():
    with pytest.raises(InputError, match="reward must be a function of images and prompts; got 3"):
        FunctionReward(3)
