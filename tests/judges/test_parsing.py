import contextlib
import json
import math

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from zo_dno.judges.parsing import UnreadableError, read_choice, read_score

SCORES = {
    '{"explanation": "Sharp, with a boat.", "score": 7}': 7,
    '{"explanation": "Sharp.", "score": 7.5}': 7.5,
    '{"explanation": "Sharp.", "score": "7"}': 7,
    '{"explanation": "Sharp.", "score": "7/10"}': 7,
    '{"Score": 7}': 7,
    '{"result": {"rating": 7, "notes": [1, 2]}}': 7,
    'Here you are:\n```json\n{"explanation": "It has 3 boats.", "score": 7}\n```\nAnything else, in 2 words?': 7,
    '{"explanation": "line\nbreak", "score": 7}': 7,
    '{"explanation": "a {\\"score\\": 3} in it", "score": 7}': 7,
    "{'explanation': 'single quotes', 'score': 7}": 7,
    '{"explanation": "a comma too many", "score": 7,}': 7,
    '{"explanation": "not closed", "score": 7': 7,
    '{"score": 7} {"score": 7.0}': 7,
    '<think>Is it 3? Score: 4</think>{"score": 7}': 7,
    "Score: 7": 7,
    "score = 7": 7,
    "**Score:** 7/10": 7,
    "Score (0-10): 7": 7,
    "I give it a score of 7 out of 10, for its 3 boats.": 7,
    "The score is 7.": 7,
    "Rating: 7.5 / 10": 7.5,
    "My score: 7. Without the boat, score: 7.": 7,
    "A fine picture of 2 boats: 7/10": 7,
    "7": 7,
    " **7.0**\n": 7,
    "7/10": 7,
    "A fine picture.\n\n7": 7,
    "0": 0,
    "10": 10,
}

NO_SCORES = {
    "": "no score in the response",
    "A fine picture.": "no score in the response",
    "There are 3 boats.": "no score in the response",
    "There are 3 boats.\n7": "no score in the response",
    "1. sharp\n2. bright\n3": "no score in the response",
    "7 8": "no score in the response",
    "Score: 7-8": "no score in the response",
    "Score: 7 to 8": "no score in the response",
    "Score: 7 (or 8)": "no score in the response",
    "Score: 7,5": "no score in the response",
    "Score: 70%": "no score in the response",
    "Score: seven": "no score in the response",
    "Score: 1e1": "no score in the response",
    "v7": "no score in the response",
    "Score: 7. With a boat it had been score: 9.": "several scores in the response, 7 and 9",
    "The boat takes 3/10 of the picture.": "no score in the response",
    "7 out of 10 people would like it": "no score in the response",
    "7/10, or 8/10": "several scores in the response, 7 and 8",
    '{"score": 7, "score": 8}': "several scores in the response, 7 and 8",
    '{"score": 7} {"score": 8}': "several scores in the response, 7 and 8",
    '{"rating": 3, "score": 7}': "several scores in the response, 3 and 7",
    '{"score": null}': "the score is no number",
    '{"score": true}': "the score is no number",
    '{"score": "high"}': "the score is no number",
    '{"score": [7]}': "the score is no number",
    '{"score": NaN}': "the score is no number",
    '{"score": 1e999}': "the score is no number",
    f'{{"score": {"9" * 400}}}': "the score is no number",
    f'{{"score": -{"9" * 400}}}': "the score is no number",
    f"Score: {'9' * 400}": "the score inf is not from 0 to 10",
    "Score: 4/5": "the score is out of 5, not of 10",
    "Score: 85/100": "the score is out of 100, not of 10",
    "Score: 11": "the score 11 is not from 0 to 10",
    '{"score": -1}': "the score -1 is not from 0 to 10",
    "-3": "the score -3 is not from 0 to 10",
    "<think>Score: 7": "cut off while the model was thinking",
    "7" * 40_000: "longer than 32768 characters",
}


@pytest.mark.parametrize("text", SCORES)
def test_a_clear_score_is_read(text):
    assert read_score(text, 0, 10) == SCORES[text]


@pytest.mark.parametrize("text", NO_SCORES)
def test_an_unclear_score_is_not_read(text):
    with pytest.raises(UnreadableError) as caught:
        read_score(text, 0, 10)
    assert NO_SCORES[text] in str(caught.value)
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)


def test_only_whole_objects_count_in_a_response_that_was_cut_off():
    assert read_score('{"score": 7} and now I shall', 0, 10, cut=True) == 7
    with pytest.raises(UnreadableError, match="cut off before its score") as caught:
        read_score('{"explanation": "A score of 3 would be', 0, 10, cut=True)
    assert caught.value.kind == "cut off"


@settings(max_examples=300, deadline=None)
@given(st.floats(0, 10), st.text(max_size=200), st.text(alphabet="{}[]\"': \n`", max_size=20))
def test_a_score_in_json_is_read_beside_any_explanation(score, explanation, before):
    assume("</think>" not in explanation)
    text = json.dumps({"explanation": explanation, "score": score})
    assert read_score(f"{before.replace('{', '').replace('<', '')}{text}", 0, 10) == score


PIECES = [
    "score",
    "Score:",
    "rating is",
    "7",
    "12",
    "-3",
    "/",
    " out of ",
    "10",
    ".",
    ",",
    "{",
    "}",
    '"',
    ":",
    "\n",
    " ",
]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text())
@example("{" * 30_000)
@example('{"score":' * 3_000)
@example("score" + " " * 32_000)
@example("7/" * 16_000)
def test_a_score_is_on_the_scale_or_refused(text):
    with contextlib.suppress(UnreadableError):
        value = read_score(text, 0, 10)
        assert 0 <= value <= 10
        assert math.isfinite(value)


CHOICES = {
    '{"explanation": "A is blurred.", "better": "B"}': "B",
    '{"better": "image B"}': "B",
    "```json\n{'better': 'B'}\n```": "B",
    "Answer: B": "B",
    "A is blurred.\n**Answer:** B.": "B",
    "Better: Image B": "B",
    "B": "B",
    "b.": "B",
    "Image B": "B",
    "Answer: a tie": None,
    "Answer: A or B": None,
    "Answer: A\nAnswer: B": None,
    '{"better": "both"}': None,
    '{"better": 1}': None,
    "A is better than B": None,
    "": None,
}


@pytest.mark.parametrize("text", CHOICES)
def test_choices(text):
    if CHOICES[text]:
        assert read_choice(text, ("A", "B")) == CHOICES[text]
    else:
        with pytest.raises(UnreadableError):
            read_choice(text, ("A", "B"))
