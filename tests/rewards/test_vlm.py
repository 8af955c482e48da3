"""One judge: the question, its answer, and a key that is kept."""

import asyncio
import base64
import gzip
import io
import itertools
import json
import logging
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

import zo_dno
from tests.support.answering import Answer, answering
from tests.support.judging import FAST, KEY, PROMPT, ask, bodies, chat, judgement, way_of
from tests.support.tiny_judge import grey
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError, RunError
from zo_dno.rewards.vlm import VLM
from zo_dno.run.make_reward import make_reward


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("JUDGE_KEY", KEY)
    return KEY


class TestQuestions:
    def test_the_image_the_question_and_the_format(self):
        with answering(lambda _: judgement(7)) as (url, asked):
            answer = ask(VLM(f"{url}/v1/", "judge"), grey(0.5, side=40))
        (body,) = bodies(asked)
        assert asked[0].path == "/v1/chat/completions"
        assert (body["model"], body["temperature"], body["max_tokens"]) == ("judge", 0, 512)
        picture, text = body["messages"][0]["content"]
        head, _, data = picture["image_url"]["url"].partition(",")
        assert head == "data:image/png;base64"
        assert np.array_equal(
            np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), np.asarray(grey(0.5, side=40))
        )
        assert json.dumps(PROMPT) in text["text"]  # in quotation marks that the prompt cannot end
        assert "{prompt}" in text["text"]  # the prompt's own words are not filled in
        assert "from 0 (worst) to 10 (best)" in text["text"]
        schema = body["response_format"]["json_schema"]["schema"]
        assert list(schema["properties"]) == ["explanation", "score"]
        assert answer.score.value == 7
        assert answer.score.tokens == 110
        assert json.loads(answer.score.raw)["explanation"] == "It is fine."
        assert (answer.score.components, answer.score.spread, answer.score.cost) == (None, None, None)

    def test_large_images_are_made_smaller(self):
        with answering(lambda _: judgement(7)) as (url, asked):
            ask(VLM(f"{url}/v1", "judge", image_size=64), Image.new("RGB", (300, 150), "red"))
        data = bodies(asked)[0]["messages"][0]["content"][0]["image_url"]["url"].partition(",")[2]
        assert Image.open(io.BytesIO(base64.b64decode(data))).size == (64, 32)

    def test_added_and_removed_fields(self):
        extra = '{"temperature": null, "max_tokens": null, "max_completion_tokens": 512, "reasoning_effort": "low"}'
        with answering(lambda _: judgement(7)) as (url, asked):
            ask(make_reward("vlm", {"url": f"{url}/v1", "model": "m", "extra": extra, "structured": "false"}))
        (body,) = bodies(asked)
        assert sorted(body) == ["max_completion_tokens", "messages", "model", "reasoning_effort"]

    def test_a_custom_scale_and_question(self):
        with answering(lambda _: judgement(4)) as (url, asked):
            reward = VLM(f"{url}/v1", "judge", question="Would a sailor buy it?", lowest=1, highest=5)
            assert ask(reward).score.value == 4
        text = bodies(asked)[0]["messages"][0]["content"][1]["text"]
        assert text.startswith("Would a sailor buy it?\n")
        assert "from 1 (worst) to 5 (best)" in text
        assert (reward.unit, reward.range) == ("score 1-5", (1, 5))

    def test_what_decides_a_score_is_its_identity(self, key):
        one, other = (
            VLM("http://localhost:1/v1", "a, b"),
            VLM("http://localhost:1/v1/", ["a", "b"], key_env="JUDGE_KEY", input_price=1, output_price=2),
        )
        assert one.identity == other.identity
        assert one.identity != VLM("http://localhost:1/v1", "a, b", max_answer=100).identity
        assert one.identity != VLM("http://localhost:1/v1", "a, b", image_size=512).identity
        assert make_reward("vlm", one.settings).identity == one.identity

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"url": "http://localhost:8000"}, "url must be the base of an API, such as http://127.0.0.1:8000/v1; got"),
            ({"url": "http://localhost:8000/v1/chat/completions"}, "Leave out /chat/completions"),
            ({"url": "http://localhost:8000/v1?x=1"}, "without ? and #; got 'http://localhost:8000/v1'."),
            ({"url": "localhost:8000/v1"}, "url must be an address such as"),
            ({"model": " ,"}, "model must name a model, or several that differ; got"),
            ({"model": "a,a"}, "model must name a model, or several that differ; got 'a,a'"),
            ({"mode": "guess"}, "vlm option 'mode' does not fit: Input should be 'rubric'"),
            ({"samples": 3}, "samples must be 1, or more with mode rubric and a temperature above 0"),
            ({"samples": 0}, "samples must be 1, or more"),
            ({"mode": "yes", "temperature": 1}, "temperature must be 0 with mode yes; got 1"),
            ({"mode": "yes", "highest": 1}, "lowest and highest must be left out with mode yes; got None, 1.0"),
            ({"lowest": 10}, "lowest must be below highest; got 10 and 10"),
            ({"mode": "expected", "highest": 10}, "lowest and highest must be digits with mode expected"),
            ({"levels": "bad,good"}, "levels must be at least two, with mode decision; got 'bad,good', mode rubric"),
            ({"mode": "decision", "levels": "bad"}, "levels must be at least two"),
            ({"mode": "decision", "extra": {"a": 1}}, "extra must be left out with mode decision"),
            ({"extra": "[1]"}, "extra must be an object of further fields; got [1]"),
            ({"extra": "{"}, "extra must be JSON"),
            ({"extra": "[" * 90_000}, "extra must be JSON; it is nested too deeply; got '[["),
            ({"extra": {"messages": None}}, "extra must not set 'messages'"),
            ({"extra": {"temperature": 2}}, "extra must not set 'temperature', which the reward sets itself; got 2"),
            ({"extra": {"max_completion_tokens": 99}}, "must give max_completion_tokens as max_answer, 512; got 99"),
            (
                {"extra": {"max_tokens": None}, "input_price": 1, "output_price": 1},
                "extra must give max_completion_tokens where it takes max_tokens away and prices are set",
            ),
            ({"image_size": 8}, "image_size must be at least 16; got 8"),
            ({"max_answer": 0}, "max_answer must be at least 1; got 0"),
            ({"input_price": 1}, "input_price and output_price must be given together; got 1.0 and None"),
            ({"input_price": -1, "output_price": 1}, "input_price and output_price must be at least 0"),
            ({"key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY is not set"),
        ],
    )
    def test_options_that_do_not_fit_are_refused(self, options, message):
        with pytest.raises(InputError) as caught:
            make_reward("vlm", {"url": "http://127.0.0.1:1/v1", "model": "m", **options})
        assert message in str(caught.value)


BAD = {
    "prose": (chat("A fine boat."), "there is no score in the response: 'A fine boat.'", 1),
    "two scores": (chat("Score: 3 or rather score: 4"), "several scores in the response, 3 and 4", 1),
    "outside": (judgement(11), "the score 11 is not from 0 to 10", 1),
    "cut": (chat('{"explanation": "3/10', finish_reason="length"), "cut off before its score", 1),
    "empty": (chat(None), "the judge's response is empty", 1),
    "refusal": (chat(None, message={"refusal": "I cannot."}), "the judge refused: I cannot.", 1),
    "filtered": (chat("", finish_reason="content_filter"), "the judge refused: content filter", 1),
    "no choices": (Answer(b'{"choices": []}'), "expected a chat completion; got {'choices': []}", 2),
    "a list": (Answer(b"[1]"), "expected a chat completion; got [1]", 2),
    "a number": (chat(5), "expected a chat completion; got", 2),
    "error with 200": (
        Answer(b'{"error": {"message": "no capacity", "code": 502}}'),
        "with status 200: no capacity",
        2,
    ),
    "HTML": (Answer(b"<html>Log in</html>"), "expected JSON; got 19 bytes of application/json: <html>Log in</html>", 2),
    "20 MB": (Answer(b'{"choices": "' + b" " * 20_000_000 + b'"}'), "the response is larger than 4 MiB", 1),
    "a bomb": (
        Answer(gzip.compress(b" " * 20_000_000), headers={"Content-Encoding": "gzip"}),
        "the response is larger than 4 MiB",
        1,
    ),
    "wrong key": (Answer(b'{"error": {"message": "bad key"}}', 401), "HTTP 401 Unauthorized: bad key", 1),
    "wrong model": (Answer(b'{"error": {"message": "no model judge"}}', 404), "HTTP 404 Not Found: no model judge", 1),
    "broken": (Answer(b"Internal Server Error", 500), "HTTP 500 Internal Server Error", 2),
}


class TestBadAnswers:
    @pytest.mark.parametrize("name", BAD)
    def test_a_bad_response_is_missing_with_a_reason(self, name):
        answer, message, attempts = BAD[name]
        with answering(lambda _: answer) as (url, _):
            found = ask(VLM(f"{url}/v1", "judge"))
        assert found.score.missing
        assert message in found.score.error
        assert found.attempts == attempts
        assert len(found.score.error.splitlines()) == 1
        assert len(found.score.error) < 300

    def test_the_text_of_a_response_without_a_score_is_kept(self):
        with answering(lambda _: chat("A fine\nboat.")) as (url, _):
            found = ask(VLM(f"{url}/v1", "judge", input_price=10, output_price=100))
        assert (found.score.raw, found.score.tokens, found.score.kind) == ("A fine\nboat.", 110, "no score")
        assert found.cost == pytest.approx((100 * 10 + 10 * 100) / 1e6)

    def test_half_a_character_a_huge_text_and_a_huge_count_do_not_stop_a_run(self, tmp_path):
        strange = itertools.cycle(
            [
                judgement(7, explanation="\ud800"),
                Answer(b'{"error": {"message": "\\ud800"}}', 400),
                chat("x" * 100_000),
                chat("7", used=(10**30, 5)),
            ]
        )
        with answering(lambda _: next(strange)) as (url, _):
            reward = VLM(f"{url}/v1", "judge")
            result = zo_dno.optimize(ToyGenerator(), reward, queries=8, out=tmp_path / "run", threads=1)
        assert result.failed_queries == 4
        assert max(len(row.raw or "") for row in result.history) < 40_000
        assert result.tokens == 2 * (110 + 110 + 5)

    def test_a_server_that_asks_to_wait(self):
        answers = iter([Answer(b"{}", 429, {"Retry-After": "0.3"}), judgement(7)])
        with answering(lambda _: next(answers)) as (url, asked):
            found = ask(VLM(f"{url}/v1", "judge"))
        assert (found.score.value, found.failures) == (7, ("HTTP 429",))
        assert asked[0].headers["idempotency-key"] == asked[1].headers["idempotency-key"]

    def test_a_redirect_is_not_followed_and_the_key_stays(self, key):
        with answering(lambda _: judgement(7)) as (other, asked_other):
            to = f"{other.replace('127.0.0.1', 'localhost')}/v1/chat/completions"
            with answering(lambda _: Answer(b"", 308, {"Location": to})) as (url, asked):
                found = ask(VLM(f"{url}/v1", "judge", key_env="JUDGE_KEY"))
        assert asked[0].headers["authorization"] == f"Bearer {KEY}"
        assert asked_other == []
        assert found.score.error.startswith(
            f"HTTP 308: redirected to {urlsplit(to).netloc}. Redirects are not followed"
        )


def echoing(asked):
    """Return everything that was sent: in a response, in an error, in a page."""
    sent = json.dumps(asked.headers) + asked.headers["authorization"]
    way = way_of(asked, 4)
    if way == 0:
        return Answer(json.dumps({"error": {"message": sent[-190:] + KEY}}).encode(), 400)
    if way == 1:
        return Answer(f"<html>{'x' * 190}{sent}".encode(), 200)
    if way == 2:
        return Answer(json.dumps({"choices": sent, KEY: 1}).encode(), 200)
    return judgement(len(sent) % 10, explanation=sent)


def test_the_key_is_in_no_file_no_log_and_no_message(tmp_path, key, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    with answering(echoing) as (url, asked):
        reward = VLM(f"{url}/v1", "judge", key_env="JUDGE_KEY", input_price=1, output_price=1)
        options = {"policy": {**FAST, "breaker": 0}, "threads": 1}
        result = zo_dno.optimize(ToyGenerator(), reward, queries=24, out=tmp_path / "run", **options)
        with pytest.raises(RunError) as caught:
            broken = VLM(f"{url}/v1", "judge", mode="expected", key_env="JUDGE_KEY")
            zo_dno.optimize(ToyGenerator(), broken, queries=8, out=tmp_path / "broken", **options)
    assert all(one.headers["authorization"] == f"Bearer {KEY}" for one in asked)
    assert {row.kind for row in result.history} == {None, "HTTP 400", "unreadable response"}
    seen = "".join((str(caught.value), caplog.text, *capfd.readouterr(), repr(reward), repr(result)))
    assert "***" in "".join(row.raw or row.error for row in result.history)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"ledger.db", "config.yaml", "result.json"} <= {path.name for path in files}
    for content in (seen.encode(), *(path.read_bytes() for path in files)):
        for secret in (KEY, json.dumps(KEY)[1:-1], KEY[:12]):
            assert secret.encode() not in content


def test_a_run_of_a_reward_object_is_resumed_with_its_key_and_prices(tmp_path, key):
    with answering(lambda _: judgement(7)) as (url, asked):
        reward = VLM(f"{url}/v1", "a,b", key_env="JUDGE_KEY", input_price=1, output_price=1)
        options = {"queries": 4, "strategy_options": {"population": 4}, "threads": 1}
        first = zo_dno.optimize(ToyGenerator(), reward, **options, out=tmp_path / "run")
        result = zo_dno.resume(tmp_path / "run", queries=8, generator=ToyGenerator())
    assert [one.headers["authorization"] for one in asked] == [f"Bearer {KEY}"] * 16
    assert 0 < first.cost < result.cost


def test_it_works_inside_a_running_loop():
    async def inside(url):
        reward = VLM(f"{url}/v1", "judge")
        scores = await reward([grey(0.2), grey(0.3)], ["a", "b"])
        await reward.aclose()
        return [score.value for score in scores]

    with answering(lambda _: judgement(7)) as (url, _):
        assert asyncio.run(inside(url)) == [7, 7]
