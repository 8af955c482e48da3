"""Several judges, or several samples of one."""

import json
import threading

import numpy as np
import pytest

from tests.support.answering import Answer, answering
from tests.support.clocks import PATIENCE
from tests.support.judging import ask, bodies, chat, judgement
from zo_dno.judges.modes import Rubric
from zo_dno.rewards.vlm import VLM


def by_judge(scores):
    """Respond with the next score of the list of the requested model."""
    lock = threading.Lock()

    def answer(asked):
        with lock:
            score = scores[json.loads(asked.body)["model"]].pop(0)
        return score if isinstance(score, Answer) else judgement(score)

    return answer


class TestPanels:
    def test_judges_are_averaged_and_their_spread_is_kept(self):
        with answering(by_judge({"a": [6], "b": [9]})) as (url, _):
            score = ask(VLM(f"{url}/v1", "a,b")).score
        assert (score.value, score.spread, score.components, score.tokens) == (7.5, 1.5, {"a": 6, "b": 9}, 220)
        assert [line.split()[0] for line in score.raw.splitlines()] == ["[a]", "[b]"]

    def test_samples_have_seeds_and_keys_of_their_own(self):
        options = {"samples": 3, "temperature": 0.7, "seed": 5}
        with answering(by_judge({"a": [1, 2, 6] * 2})) as (url, asked):
            score, again = (ask(VLM(f"{url}/v1", "a", **options)).score for _ in range(2))
        assert sorted(score.components) == ["a/1", "a/2", "a/3"]
        assert score.value == again.value == 3
        assert score.spread == pytest.approx(np.std([1, 2, 6]))
        seeds = [body["seed"] for body in bodies(asked)]
        assert len(set(seeds[:3])) == 3
        assert sorted(seeds[:3]) == sorted(seeds[3:])
        assert len({one.headers["idempotency-key"] for one in asked}) == 3

    def test_a_sample_that_cannot_be_read_is_left_out_but_not_a_whole_judge(self):
        options = {"samples": 2, "temperature": 0.7}
        with answering(by_judge({"a": [4, chat("well")], "b": [8, 10]})) as (url, _):
            score = ask(VLM(f"{url}/v1", "a,b", **options)).score
        assert score.value == (4 + 9) / 2
        assert len(score.components) == 3
        with answering(by_judge({"a": [chat("well"), chat("so")], "b": [8, 10]})) as (url, _):
            score = ask(VLM(f"{url}/v1", "a,b", **options)).score
        assert score.missing
        assert score.error.startswith("a/1: there is no score in the response")
        assert sorted(score.components) == ["b/1", "b/2"]

    def test_judgements_before_a_failed_request_are_kept(self):
        scores = {"a": [6], "b": [Answer(b"{}", 503), Answer(b"{}", 500), 8]}
        with answering(by_judge(scores)) as (url, asked):
            found = ask(VLM(f"{url}/v1", "a,b", input_price=10, output_price=100, max_question=1000), attempts=3)
        assert (found.score.value, found.failures) == (7, ("HTTP 503", "HTTP 500"))
        assert [body["model"] for body in bodies(asked)].count("a") == 1
        worst = 2 * (1000 * 10 + 512 * 100) / 1e6
        assert found.cost == pytest.approx(
            2 * 0.002 + 2 * worst
        )  # a was paid for in the first, b perhaps in the second

    def test_a_deadline_loses_no_judgement(self, clock, monkeypatch):
        """The deadline passes while a's judgement is read, which comes once b has its first request, which hangs."""
        hangs, released, hung, read, passes = [True], threading.Event(), threading.Event(), Rubric.read, [PATIENCE]

        def answer(asked):
            if json.loads(asked.body)["model"] == "a":
                hung.wait(PATIENCE)
            elif hangs and hangs.pop():
                hung.set()
                released.wait(PATIENCE)
            return judgement(6)

        def reading(mode, response):
            clock.advance(passes.pop() if passes else 0)
            return read(mode, response)

        monkeypatch.setattr(Rubric, "read", reading)
        with answering(answer) as (url, asked):
            found = ask(VLM(f"{url}/v1", "a,b"), timeout=PATIENCE)
            released.set()
        assert (found.score.value, found.failures) == (6, ("timeout",))
        assert sorted(body["model"] for body in bodies(asked)) == ["a", "b", "b"]

    def test_a_judge_that_fails_permanently_is_named(self):
        with answering(by_judge({"a": [6], "b": [Answer(b'{"error": "no such model"}', 404)]})) as (url, _):
            found = ask(VLM(f"{url}/v1", "a,b"))
        assert (found.attempts, found.score.kind) == (1, "HTTP 404")
        assert found.score.error == f"b: HTTP 404 Not Found: no such model ({url}/v1/chat/completions)"
