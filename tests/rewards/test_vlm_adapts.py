"""A judge whose server refuses fields: it is asked without them, the run keeps that, and nothing is hidden."""

import json
from functools import partial

import pytest

import zo_dno
from tests.support.answering import Answer, answering
from tests.support.judging import ask, bodies, chat, judgement
from tests.support.odd_judges import refusal
from tests.support.tiny_judge import grey
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError, RunError
from zo_dno.judges.dialect import kept_in
from zo_dno.results.overview import overview
from zo_dno.results.report import run_report
from zo_dno.rewards.vlm import VLM
from zo_dno.rewards.vlm_compare import VLMCompare
from zo_dno.run.make_reward import make_reward

TOKENS = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
OPTIONS = {"strategy_options": {"population": 4}, "threads": 1}


def refusing(name, answer, asked):
    return answer if name in json.loads(asked.body) else judgement(int(asked.body[-20]) % 11)


class TestARun:
    def test_the_refusal_is_said_once_kept_and_shown(self, tmp_path, caplog):
        with answering(partial(refusing, "max_tokens", refusal(TOKENS, "max_tokens"))) as (url, asked):
            options = {"url": f"{url}/v1", "model": "judge"}
            result = zo_dno.optimize(
                ToyGenerator(), "vlm", queries=4, reward_options=options, out=tmp_path / "run", **OPTIONS
            )
            before = len(asked)
            zo_dno.resume(tmp_path / "run", queries=8, generator=ToyGenerator())
        said = [one.message for one in caplog.records if "refused" in one.message]
        assert said == [f"vlm asks judge with max_completion_tokens in place of max_tokens; it refused: {TOKENS}"]
        assert result.failed_queries == 0
        assert [one.field for one in result.adapted] == ["max_tokens"]
        assert all("max_tokens" not in body for body in bodies(asked[before:]))  # from the start of the resumed run
        assert overview(tmp_path / "run").adapted == list(result.adapted) == kept_in(tmp_path / "run")
        assert "with max_completion_tokens in place of max_tokens" in run_report(tmp_path / "run")

    def test_a_file_of_another_user_changes_no_other_field(self, tmp_path):
        with answering(lambda _: judgement(7)) as (url, asked):
            reward = VLM(f"{url}/v1", "judge")
            reward.begin(tmp_path)
            (path,) = [tmp_path / name for name in (reward._dialects._path.name,)]
            entry = {"reward": "vlm", "judge": "judge", "reason": ""}
            bad = [
                {"field": "messages", "now": None},
                {"field": "max_tokens", "now": None},
                {"field": "seed", "now": "x"},
            ]
            path.write_text(json.dumps([entry | one for one in bad]))
            again = VLM(f"{url}/v1", "judge", seed=1)
            again.begin(tmp_path)
            ask(again)
        assert {"messages", "max_tokens", "seed"} <= bodies(asked)[0].keys()

    def test_a_refused_temperature_makes_the_reward_noisy(self, tmp_path):
        """The best are scored again from the queries that were kept back."""
        answer = refusal("'temperature' does not support 0 with this model.", "temperature")
        with answering(partial(refusing, "temperature", answer)) as (url, _):
            reward = VLM(f"{url}/v1", "judge")
            result = zo_dno.optimize(ToyGenerator(), reward, queries=40, out=tmp_path / "run", **OPTIONS)
        assert reward.turned_noisy
        assert result.queries == 40
        assert result.repeats
        assert "so that scores may vary" in str(result.adapted[0])

    def test_an_exact_judge_searches_with_all_queries(self):
        with answering(lambda _: judgement(7)) as (url, _):
            result = zo_dno.optimize(ToyGenerator(), VLM(f"{url}/v1", "judge"), queries=40, **OPTIONS)
        assert (result.queries, len(result.history), result.repeats) == (40, 40, ())

    @pytest.mark.parametrize("extra", ['{"temperature": null}', {"temperature": None}])
    def test_a_temperature_that_is_taken_away_is_noisy(self, extra):
        reward = make_reward("vlm", {"url": "http://localhost:1/v1", "model": "m", "extra": extra})
        assert reward.noisy
        assert not VLM("http://localhost:1/v1", "m", extra=extra, seed=3).noisy
        assert not VLM("http://localhost:1/v1", "m").noisy

    @pytest.mark.parametrize("change", [{"mode": "rubric"}, {"mode": "rubric", "temperature": "0.5"}])
    def test_before_the_first_score_the_options_are_open(self, tmp_path, change):
        with answering(partial(refusing, "logprobs", refusal("logprobs is not supported", "logprobs"))) as (url, _):
            options = {"url": f"{url}/v1", "model": "judge", "mode": "expected"}
            run = partial(zo_dno.optimize, ToyGenerator(), "vlm", queries=12, out=tmp_path / "run", **OPTIONS)
            with pytest.raises(RunError, match="Change it with --reward-option mode=rubric, which needs no prob"):
                run(reward_options=options, policy={"breaker": 2})
            result = zo_dno.resume(tmp_path / "run", generator=ToyGenerator(), reward_options=change)
            assert (result.status, result.queries, result.failed_queries) == ("finished", 12, 0)
            with pytest.raises(InputError, match="reward_options"):
                zo_dno.resume(tmp_path / "run", generator=ToyGenerator(), reward_options={"lowest": 1})


def test_a_comparing_judge_adapts_too(tmp_path):
    def answer(asked):
        body = json.loads(asked.body)
        return refusal(TOKENS, "max_tokens") if "max_tokens" in body else chat('{"explanation": "", "better": "A"}')

    with answering(answer) as (url, _):
        reward = VLMCompare(f"{url}/v1", "judge")
        reward.begin(tmp_path)
        ask(reward, grey(0.2), grey(0.8))
        assert [one.change for one in reward.adaptations] == ["with max_completion_tokens in place of max_tokens"]
    assert len(kept_in(tmp_path)) == 1


def test_a_field_of_the_option_extra_is_not_dropped():
    with answering(lambda _: refusal("Unknown parameter: 'top_k'.", "top_k")) as (url, asked):
        found = ask(VLM(f"{url}/v1", "judge", extra={"top_k": 5}))
    assert len(asked) == 1
    assert "It comes from --reward-option extra=..., without it the field is left out" in found.score.error


def test_an_address_where_nothing_listens_is_named():
    found = ask(VLM("http://127.0.0.1:9/v1", "judge"), attempts=1)
    assert "(http://127.0.0.1:9/v1/chat/completions)" in found.score.error
    with answering(lambda _: Answer(b"", 404)) as (url, _):
        assert f"({url}/v2/chat/completions)" in ask(VLM(f"{url}/v2", "judge")).score.error


def test_a_429_inside_a_200_is_not_charged():
    answers = iter([Answer(b'{"error": {"code": 429}}'), judgement(7)])
    with answering(lambda _: next(answers)) as (url, _):
        found = ask(VLM(f"{url}/v1", "judge", input_price=10, output_price=100))
    assert found.cost == pytest.approx((100 * 10 + 10 * 100) / 1e6)
