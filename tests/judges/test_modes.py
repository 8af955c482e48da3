"""Responses of judges with numbers that no float holds."""

import pytest

from zo_dno.failures import CallError
from zo_dno.judges.chat_completions import read_completion
from zo_dno.judges.modes import Decision

LARGE = 10**400


def test_a_log_probability_that_no_float_holds_is_unreadable():
    choice = {"message": {"content": "7"}, "logprobs": {"content": [{"token": "7", "logprob": -LARGE}]}}
    with pytest.raises(CallError, match="expected a chat completion; got"):
        read_completion({"choices": [choice]})


@pytest.mark.parametrize("value", [LARGE, float("nan"), 2.0, "x", None])
def test_a_decision_that_is_no_probability_is_unreadable(value):
    with pytest.raises(CallError, match="expected a typed decision; got"):
        Decision("Is it dusk?").read({"answers": {"judgement": {"noul": value}}})
