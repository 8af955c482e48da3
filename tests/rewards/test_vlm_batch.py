"""The judge that is asked through a provider's batches: a population is a batch, which outlives the process."""

import asyncio
import json
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest

import zo_dno
from tests.support.answering import Answer
from tests.support.batch_provider import USED, Provider, judged
from tests.support.clocks import PATIENCE, VirtualTimeLoop
from tests.support.judging import KEY, ask
from tests.support.tiny_judge import grey
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError, RunError
from zo_dno.oracle import event_loop, http_client
from zo_dno.rewards.vlm_batch import VLMBatch
from zo_dno.run.cancellation import Stop
from zo_dno.run.make_reward import make_reward

ROOT = Path(__file__).parents[2]
RUN = {"queries": 24, "seed": 3, "strategy": "snes", "strategy_options": {"population": 8}}
PRICES = {"input_price": 2.0, "output_price": 10.0}
COST = 0.5 * (2.0 * USED[0] + 10.0 * USED[1]) / 1e6  # of one request in a batch


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch):
    """Let the minutes between two looks pass at once."""
    fast = SimpleNamespace(**{**vars(asyncio), "new_event_loop": VirtualTimeLoop})
    monkeypatch.setattr(event_loop, "asyncio", fast)


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch):
    """Load none for every client: the provider has an address without."""
    monkeypatch.setattr(http_client, "_trusted", lambda ca: False)


@pytest.fixture(params=["openai", "anthropic"])
def provider(request):
    return Provider(request.param)


def options(provider, base, **more):
    return {"url": base, "model": "judge", "provider": provider.form, **PRICES, **more}


def search(provider, base, folder, **more):
    return zo_dno.optimize(
        ToyGenerator(), "vlm_batch", reward_options=options(provider, base), out=folder, **{**RUN, **more}
    )


def values(result):
    return [row.value for row in result.history]


def direct(asked):
    """Respond to one request of `vlm` as the provider does to one in a batch."""
    picture = json.loads(asked.body)["messages"][0]["content"][0]["image_url"]["url"].partition(",")[2]
    choices = [{"message": {"content": judged(picture)}, "finish_reason": "stop"}]
    return Answer(json.dumps({"choices": choices}).encode())


@pytest.mark.fast_cases(1)
class TestRun:
    def test_equals_one_with_single_requests_at_half_the_price(self, provider, tmp_path):
        with provider.serving() as (base, _):
            result = search(provider, base, tmp_path / "run", max_cost=1.0)
            provider.before = direct
            judge, patient = {"url": base, "model": "judge"}, {"timeout": None}  # on a clock that jumps
            single = zo_dno.optimize(ToyGenerator(), "vlm", reward_options=judge, policy=patient, **RUN)
        assert values(result) == values(single)
        assert [len(keys) for keys in provider.created] == [8, 8, 8]
        assert result.cost == pytest.approx(24 * COST)
        assert result.tokens == 24 * sum(USED)

    def test_ctrl_c_leaves_the_batch_and_says_so_and_resume_fetches_it(self, provider, tmp_path, caplog):
        whole, folder = tmp_path / "whole", tmp_path / "run"
        stop = Stop()
        with provider.serving() as (base, _):
            undisturbed = search(provider, base, whole)
            first = len(provider.created)

            def interrupt(one):
                if len(provider.created) == first + 2 and one.method == "GET" and not stop.called:
                    provider.looks = 10**9  # the batch does not end in this session
                    stop()

            provider.after = interrupt
            stopped = search(provider, base, folder, stop=stop)
            assert (stopped.status, stopped.queries, len(provider.created)) == ("interrupted", 8, first + 2)
            stays = f"Batch batch_{first + 1} with 8 requests stays with the provider; fetch its responses with: zo-dno"
            assert f"{stays} resume {folder}." in caplog.text

            provider.after, provider.looks = lambda _: None, 2
            caplog.clear()
            resumed = zo_dno.resume(folder, generator=ToyGenerator())
        assert values(resumed) == values(undisturbed)
        assert resumed.cost == pytest.approx(24 * COST)
        assert "in flight" not in caplog.text
        assert len(provider.created) == first + 3
        assert set(provider.served.values()) == {2}  # once in each of two runs with equal queries

    @pytest.mark.slow
    def test_a_killed_process_pays_for_nothing_twice(self, provider, tmp_path):
        folder, waits = tmp_path / "run", threading.Event()

        def wait(one):
            if len(provider.created) == 2 and one.method == "GET":
                provider.looks = 10**9  # the batch does not end in this session
                waits.set()

        provider.after = wait
        with provider.serving() as (base, _):
            given = {"reward_options": options(provider, base, poll=1), "out": str(folder), **RUN}
            code = "import zo_dno; from tests.support.toys import ToyGenerator; "
            code += f"zo_dno.optimize(ToyGenerator(), 'vlm_batch', **{given!r})"
            with subprocess.Popen([sys.executable, "-c", code], cwd=ROOT) as process:
                assert waits.wait(PATIENCE)
                process.kill()
            provider.after, provider.looks = lambda _: None, 2
            resumed = zo_dno.resume(folder, generator=ToyGenerator())
        assert (resumed.status, len(provider.created)) == ("finished", 3)
        assert set(provider.served.values()) == {1}
        assert resumed.cost == pytest.approx(24 * COST)

    def test_pauses_where_the_provider_refuses_all_and_resumes(self, provider, tmp_path):
        provider.fate = lambda key, batch: 400 if batch == 1 else "ok"
        with provider.serving() as (base, _):
            paused = search(provider, base, tmp_path / "run")
            assert (paused.status, paused.queries) == ("paused", 8)
            assert "says 400" in paused.pause
            resumed = zo_dno.resume(tmp_path / "run", generator=ToyGenerator())
        assert (resumed.status, resumed.failed_queries) == ("finished", 0)
        assert resumed.cost == pytest.approx(24 * COST)

    def test_a_cancelled_batch_is_one_line_and_nothing_is_paid_twice(self, provider, tmp_path):
        provider.fate = lambda key, batch: "cancelled" if batch == 1 and key < "8" else "ok"
        with provider.serving() as (base, _):
            paused = search(provider, base, tmp_path / "run")
            assert "batch batch_1 was cancelled, with" in paused.pause
            assert "\n" not in paused.pause
            resumed = zo_dno.resume(tmp_path / "run", generator=ToyGenerator())
        assert (resumed.status, resumed.failed_queries) == ("finished", 0)
        assert set(provider.served.values()) == {1}
        assert resumed.cost == pytest.approx(24 * COST)

    def test_money_that_does_not_suffice_sends_nothing(self, provider, tmp_path):
        with provider.serving() as (base, asked), pytest.raises(RunError, match="No query was sent"):
            search(provider, base, tmp_path / "run", max_cost=1e-5)
        assert not asked


class TestScores:
    def test_one_refused_request_is_missing_and_costs_nothing(self, provider):
        images = [grey(level, side=8) for level in (0.2, 0.4, 0.6)]
        with provider.serving() as (base, _):
            provider.fate = lambda key, batch: 400 if key == min(provider.created[0]) else "ok"
            answers = ask(VLMBatch(**options(provider, base)), *images)
        missing = [answer for answer in answers if answer.score.missing]
        assert len(missing) == 1
        assert "says 400" in missing[0].score.error
        assert sum(answer.cost for answer in answers) == pytest.approx(2 * COST)

    def test_a_response_of_another_form_is_missing_and_counts_as_the_most(self, provider):
        provider.fate = lambda key, batch: "odd"
        with provider.serving() as (base, _):
            reward = VLMBatch(**options(provider, base))
            answer = ask(reward)
        assert answer.score.missing
        assert answer.cost == pytest.approx(reward.policy.price)

    def test_several_judges_are_one_batch(self, provider):
        with provider.serving() as (base, _):
            answer = ask(VLMBatch(**options(provider, base, model="a,b")), grey(0.4, side=8))
        assert [len(keys) for keys in provider.created] == [2]
        assert set(answer.score.components) == {"a", "b"}
        assert answer.cost == pytest.approx(2 * COST)

    def test_equal_images_are_one_request(self, provider):
        with provider.serving() as (base, _):
            ask(VLMBatch(**options(provider, base)), grey(0.4, side=8), grey(0.5, side=8))
        assert [len(keys) for keys in provider.created] == [2]

    def test_the_key_is_in_the_providers_header_and_in_no_file(self, provider, monkeypatch, tmp_path):
        monkeypatch.setenv("JUDGE_KEY", KEY)
        with provider.serving() as (base, asked):
            with_key = options(provider, base, key_env="JUDGE_KEY")
            zo_dno.optimize(
                ToyGenerator(), "vlm_batch", reward_options=with_key, out=tmp_path / "run", **{**RUN, "queries": 8}
            )
        header, text = {"openai": ("authorization", f"Bearer {KEY}"), "anthropic": ("x-api-key", KEY)}[provider.form]
        assert {one.headers[header] for one in asked} == {text}
        assert not any(KEY.encode() in file.read_bytes() for file in (tmp_path / "run").rglob("*") if file.is_file())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"mode": "decision"}, "mode must be rubric, expected or yes with vlm_batch"),
        ({"provider": "anthropic", "mode": "yes"}, "mode must be rubric and seed left out with provider anthropic"),
        ({"provider": "anthropic", "seed": 1}, "seed left out with provider anthropic"),
        ({"batch_price": 2}, "batch_price must be from 0 to 1"),
        ({"poll": 0}, "poll must be at least 1 second"),
        ({"tries": 0}, "tries must be at least 1"),
        ({"provider": "x"}, "vlm_batch option 'provider' does not fit"),
    ],
)
def test_options_that_do_not_fit_are_refused(more, message):
    with pytest.raises(InputError, match=message):
        make_reward("vlm_batch", {"url": "http://127.0.0.1:1/v1", "model": "judge", **more})


def test_price_and_patience_do_not_decide_a_score():
    base = {"url": "http://127.0.0.1:1/v1", "model": "judge"}
    assert VLMBatch(**base).identity == VLMBatch(**base, batch_price=0.4, poll=5, tries=1, **PRICES).identity
