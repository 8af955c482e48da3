"""Scores of what a judge gives to the tokens of its answer."""

import json

import pytest

from tests.support.answering import answering
from tests.support.judging import ask, bodies, chat
from zo_dno.rewards.vlm import VLM

SEVEN = [{"7": 0.5, "6": 0.25, " 8": 0.15, "Seven": 0.1}, {".": 1.0}]
PROBABILITIES = {
    "expected": ("expected", chat("7.", SEVEN), pytest.approx((7 * 0.5 + 6 * 0.25 + 8 * 0.15) / 0.9)),
    "expected, decorated": ("expected", chat("**7**", [{"**": 1.0}, *SEVEN]), pytest.approx(6.2 / 0.9)),
    "expected, certain": ("expected", chat("9", [{"9": 1.0, "1": 0.0}]), 9),
    "yes": ("yes", chat("Yes.", [{"Yes": 0.6, " yes": 0.1, "No": 0.2, "Maybe": 0.1}]), pytest.approx(0.7 / 0.9)),
    "no": ("yes", chat("No", [{"No": 1.0}]), 0),
}
UNLIKELY = {
    "prose": (
        "expected",
        chat("I give it 7", [{"I": 1.0}]),
        "the response must begin with one digit; got 'I give it 7'",
    ),
    "two digits": (
        "expected",
        chat("10", [{"1": 1.0}, {"0": 1.0}]),
        "the response must begin with one digit; got '10'",
    ),
    "a fraction": ("expected", chat("7.5", [{"7": 1.0}, {".5": 1.0}]), "the response must begin with one digit"),
    "mostly prose": ("expected", chat("7", [{"7": 0.4, "The": 0.6}]), "gives 40% of the probability to 0 to 9"),
    "neither": ("yes", chat("Well", [{"Well": 0.9, "Yes": 0.1}]), "gives 10% of the probability to yes or no"),
    "empty": ("yes", chat("", [{"": 1.0}]), "the judge's response is empty"),
}


class TestProbabilities:
    @pytest.mark.parametrize("name", PROBABILITIES)
    def test_the_mean_or_the_share_is_the_score(self, name):
        mode, answer, value = PROBABILITIES[name]
        with answering(lambda _: answer) as (url, asked):
            found = ask(VLM(f"{url}/v1", "judge", mode=mode))
        assert found.score.value == value
        assert (bodies(asked)[0]["logprobs"], bodies(asked)[0]["top_logprobs"]) == (True, 20)
        assert sum(json.loads(found.score.raw)["probabilities"].values()) == pytest.approx(1, abs=1e-5)

    @pytest.mark.parametrize("name", UNLIKELY)
    def test_an_unreadable_response_is_missing(self, name):
        mode, answer, message = UNLIKELY[name]
        with answering(lambda _: answer) as (url, _):
            found = ask(VLM(f"{url}/v1", "judge", mode=mode))
        assert found.score.missing
        assert message in found.score.error
        assert found.score.tokens == 110

    @pytest.mark.parametrize("mode", ["expected", "yes"])
    def test_a_server_without_them_is_noticed_and_the_text_never_taken(self, mode):
        with answering(lambda _: chat("7" if mode == "expected" else "Yes")) as (url, _):
            found = ask(VLM(f"{url}/v1", "judge", mode=mode))
        assert (found.attempts, found.score.missing, found.score.kind) == (1, True, "no log-probabilities")
        assert found.score.error.startswith("the server gave no log-probabilities: it cannot, or leaves them out. Use")
