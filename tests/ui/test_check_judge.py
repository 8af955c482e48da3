"""`zo-dno check-judge`: what a server takes and gives, and one line for a server that gives nothing."""

import itertools
import json

import pytest

from tests.support.answering import Answer, answering
from tests.support.judging import chat, judgement
from tests.support.odd_judges import refusal


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)


def rows(output):
    """Return what is shown, by the name of the row."""
    return {line[:17].strip(): line[17:].strip() for line in output.splitlines() if line[:1].isalpha()}


def test_a_server_that_takes_everything(zo):
    def answer(asked):
        return chat("8", [{"8": 0.9, "7": 0.1}]) if "logprobs" in json.loads(asked.body) else judgement(8)

    with answering(answer) as (url, asked):
        prices = ("--reward-option", "input_price=10", "--reward-option", "output_price=100")
        code, output, _ = zo("check-judge", f"{url}/v1", "--model", "judge", *prices)
    found = rows(output)
    assert (code, len(asked)) == (0, 6)
    assert found["scores"] == "8, 8, 8, 8, 8 (score 0-10)"
    assert (found["spread"], found["structure"], found["temperature"]) == ("none", "JSON", "0 taken")
    assert found["probabilities"] == "yes, expected digit 7.9"
    assert found["usage"] == "110 tokens a request of one judge"
    assert found["cost of an image"].startswith("0.002, at most 0.1331")
    assert "--reward-option mode=expected" in output


def test_a_server_that_refuses_and_varies(zo):
    scores = itertools.cycle((6, 8))

    def answer(asked):
        body = json.loads(asked.body)
        refused = next(
            (name for name in ("max_tokens", "response_format", "temperature", "logprobs") if name in body), None
        )
        return refusal(f"Unsupported parameter: '{refused}'", refused) if refused else chat(f"Score: {next(scores)}")

    with answering(answer) as (url, _):
        code, output, _ = zo("check-judge", f"{url}/v1", "--model", "judge")
    found = rows(output)
    assert code == 0
    assert found["spread"].startswith("standard deviation 0.98 over 5 repeats")
    assert found["structure"] == "refused; the score is read from the text"
    assert found["temperature"] == "refused, so that scores may vary"
    assert found["probabilities"].startswith("no: HTTP 400")
    assert "what judges' servers refused" in output
    assert "structured=no" in output


BAD = {
    "nothing": Answer(b""),
    "a page": Answer(b"<html>Log in</html>"),
    "bytes": Answer(bytes(range(256))),
    "no path": Answer(b"", 404),
    "no key": Answer(b'{"error": {"message": "bad key"}}', 401),
    "no credits": Answer(b'[{"error": {"code": 402, "message": "no credits"}}]'),
    "odd types": Answer(b'{"choices": {"0": 1}, "usage": "x", "error": []}'),
    "a long wait": Answer(b"{}", 429, {"Retry-After": "999999"}),
    "an elsewhere": Answer(b"", 302, {"Location": "http://["}),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.fast_cases(6)
def test_a_server_without_a_score_is_one_line(zo, name):
    with answering(lambda _: BAD[name]) as (url, _):
        code, output, errors = zo("check-judge", f"{url}/v1", "--model", "judge")
    assert code == 1
    assert rows(output)["scores"].startswith("none; 5 of 5 missing: ")
    assert errors.splitlines()[-1].startswith("Error: The judge gives no score: ")
    assert "Traceback" not in errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("nowhere", "--model", "m"), "server 'nowhere' is unknown."),
        (("http://127.0.0.1:1", "--model", "m"), "url must be the base of an API"),
        (("ollama", "--model", ""), "model must name a model"),
        (("ollama", "--model", "m", "--reward-option", "mode=yes"), "mode must be left out, since the check tries"),
        (("ollama", "--model", "m", "--image", "none.png"), "image must be a picture; none.png cannot be read"),
        (("openai", "--model", "m"), "OPENAI_API_KEY is not set"),
    ],
)
def test_a_mistake_is_one_line(zo, monkeypatch, words, said):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    code, _, errors = zo("check-judge", *words)
    assert code == 2
    assert said in errors
    assert len(errors.strip().splitlines()) == 1
