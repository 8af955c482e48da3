"""Batches at a provider: every response is paid for once, wherever the process dies."""

import asyncio
import base64
import json
import threading

import pytest
from PIL import Image

from tests.support.answering import Answer
from tests.support.batch_provider import Provider
from tests.support.clocks import PATIENCE, VirtualTimeLoop
from zo_dno.failures import CallError
from zo_dno.judges.anthropic_batches import AnthropicBatches, as_completion, as_message
from zo_dno.judges.batch_store import BatchStore
from zo_dno.judges.batches import Batches
from zo_dno.judges.chat_completions import image_content, read_completion, schema, text_content
from zo_dno.judges.openai_batches import OpenAIBatches
from zo_dno.oracle import http_client
from zo_dno.oracle.http_client import Client
from zo_dno.storage.images import png_bytes

FORMS = {"openai": OpenAIBatches, "anthropic": AnthropicBatches}
PNG = base64.b64encode(png_bytes(Image.new("RGB", (2, 2), (51, 51, 51)))).decode()
KEYS = [f"{number:064x}" for number in range(3)]


def requests(keys=KEYS):
    message = {"role": "user", "content": [image_content(PNG), text_content("How light is it?")]}
    return {key: {"model": "judge", "max_tokens": 10, "temperature": 0.0, "messages": [message]} for key in keys}


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch):
    """Load none for every client: the provider has an address without."""
    monkeypatch.setattr(http_client, "_trusted", lambda ca: False)


@pytest.fixture(params=FORMS)
def provider(request):
    return Provider(request.param)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "batches.db"


def ask(provider, base, path, wanted=None, most=3, task_made=lambda loop, task: None, **limits):
    """Carry out one session: the responses and failures, or None where the session was killed."""

    async def session():
        client, store = Client(), BatchStore(path)
        api = FORMS[provider.form](base, client)
        for name, limit in limits.items():
            setattr(api, name, limit)
        task = asyncio.ensure_future(Batches(api, store, 60.0, most).ask(wanted or requests()))
        task_made(asyncio.get_running_loop(), task)
        try:
            return await task
        except asyncio.CancelledError:
            return None
        finally:
            store.close()
            await client.aclose()

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        return runner.run(session())


def scores(responses):
    return {key: json.loads(read_completion(one).text)["score"] for key, one in responses.items()}


class Kill:
    """Ends a session at one of its requests: before the provider carries it out, or after that, unanswered."""

    def __init__(self, provider, when, asked, number):
        self.provider, self.when, self.asked, self.at = provider, when, asked, len(asked) + number
        self.came, self._over = False, threading.Event()

    def __call__(self, loop, task):
        self._loop, self._task = loop, task
        task.add_done_callback(lambda _: self._over.set())
        setattr(self.provider, self.when, self._dies)

    def _dies(self, _):
        if len(self.asked) - 1 != self.at:
            return None
        self.came = True
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._over.wait(PATIENCE)
        return Answer(b"{}", 500)


@pytest.mark.fast_cases(2)
class TestWhereverTheProcessDies:
    @pytest.mark.parametrize("when", ["before", "after"])
    def test_every_response_is_paid_for_once(self, provider, when, path):
        number = 0
        with provider.serving() as (base, asked):
            for number in range(100):
                created, file = len(provider.created), path.with_name(f"{number}.db")
                wanted = requests([f"{number:032x}{key[32:]}" for key in KEYS])
                kill = Kill(provider, when, asked, number)
                first = ask(provider, base, file, wanted, task_made=kill)
                setattr(provider, when, lambda _: None)
                assert (first is None) == kill.came
                responses, failures = ask(provider, base, file, wanted)
                assert scores(responses) == dict.fromkeys(wanted, 2.0)
                assert not failures
                assert len(provider.created) == created + 1
                if first is not None:
                    break
        assert number >= 4  # requests of a whole session
        assert set(provider.served.values()) == {1}

    def test_a_creation_without_a_response_is_looked_up(self, provider, path):
        def cut(asked):
            if asked.method == "POST" and asked.path.endswith("batches") and len(provider.created) == 1:
                raise ConnectionResetError

        provider.after = cut
        with provider.serving() as (base, _):
            responses, _ = ask(provider, base, path)
        assert len(responses) == 3
        assert len(provider.created) == 1


class TestItems:
    @pytest.mark.parametrize("fate", ["expired", 429, 500, "lost"])
    @pytest.mark.fast_cases(4)
    def test_what_fails_for_a_passing_reason_is_sent_again(self, provider, fate, path):
        provider.fate = lambda key, batch: fate if key == KEYS[1] and batch == 0 else "ok"
        with provider.serving() as (base, _):
            responses, failures = ask(provider, base, path)
        assert scores(responses) == dict.fromkeys(KEYS, 2.0)
        assert not failures
        assert [sorted(keys) for keys in provider.created] == [KEYS, [KEYS[1]]]

    def test_what_always_expires_is_given_up(self, provider, path):
        provider.fate = lambda key, batch: "expired" if key == KEYS[1] else "ok"
        with provider.serving() as (base, _):
            responses, failures = ask(provider, base, path, most=2)
        assert len(provider.created) == 2
        assert sorted(responses) == [KEYS[0], KEYS[2]]
        assert failures[KEYS[1]].kind == "expired"

    def test_what_is_refused_is_not_sent_again(self, provider, path):
        provider.fate = lambda key, batch: 400 if key == KEYS[1] else "ok"
        with provider.serving() as (base, _):
            responses, failures = ask(provider, base, path)
        assert len(provider.created) == 1
        assert "says 400" in failures[KEYS[1]].message
        assert len(responses) == 2

    @pytest.mark.fast_cases(1)
    def test_a_later_call_asks_for_what_failed_alone(self, provider, path):
        provider.fate = lambda key, batch: 400 if batch == 0 and key == KEYS[1] else "ok"
        with provider.serving() as (base, _):
            ask(provider, base, path)
            responses, failures = ask(provider, base, path)
            assert (len(responses), failures) == (3, {})
        assert [sorted(keys) for keys in provider.created] == [KEYS, [KEYS[1]]]

    @pytest.mark.fast_cases(1)
    def test_a_cancelled_batch_pauses_and_a_later_call_asks_for_the_rest(self, provider, path):
        provider.fate = lambda key, batch: "cancelled" if key != KEYS[0] and batch == 0 else "ok"
        with provider.serving() as (base, _):
            with pytest.raises(CallError, match="batch batch_0 was cancelled, with 2 of 3 requests open") as error:
                ask(provider, base, path)
            assert error.value.failure.pauses
            responses, _ = ask(provider, base, path)
        assert len(responses) == 3
        assert [sorted(keys) for keys in provider.created] == [KEYS, KEYS[1:]]
        assert set(provider.served.values()) == {1}


class TestBatches:
    def test_one_that_is_gone_pauses_and_is_sent_again(self, provider, path):
        with provider.serving() as (base, _):
            provider.before = lambda one: Answer(b"{}", 404) if one.path.endswith("batch_0") else None
            with pytest.raises(CallError, match="batch batch_0 is not at the provider any more"):
                ask(provider, base, path)
            provider.before = lambda one: None
            responses, _ = ask(provider, base, path)
        assert (len(responses), len(provider.created)) == (3, 2)

    @pytest.mark.fast_cases(1)
    def test_an_outage_of_the_provider_is_waited_for(self, provider, path):
        with provider.serving() as (base, asked):
            provider.before = lambda one: Answer(b"{}", 503) if 3 < len(asked) < 12 else None
            responses, _ = ask(provider, base, path)
        assert (len(responses), len(provider.created)) == (3, 1)

    @pytest.mark.fast_cases(1)
    def test_a_long_outage_ends_the_call_and_the_batch_is_fetched_later(self, provider, path):
        with provider.serving() as (base, asked):
            provider.before = lambda one: Answer(b"{}", 503) if len(asked) > 3 else None
            with pytest.raises(CallError, match="HTTP 503") as error:
                ask(provider, base, path)
            assert error.value.failure.transient
            provider.before = lambda one: None
            responses, _ = ask(provider, base, path)
        assert (len(responses), len(provider.created)) == (3, 1)

    def test_a_wrong_key_is_one_clear_error_and_leaves_nothing_open(self, provider, path):
        provider.before = lambda one: Answer(b'{"error": {"message": "no such key"}}', 401)
        with provider.serving() as (base, asked):
            with pytest.raises(CallError, match="HTTP 401 Unauthorized: no such key"):
                ask(provider, base, path)
            assert len(asked) == 1
        assert BatchStore(path).open() == []

    @pytest.mark.fast_cases(1)
    def test_many_requests_are_several_batches(self, provider, path):
        with provider.serving() as (base, _):
            responses, _ = ask(provider, base, path, most_requests=2)
            assert [len(keys) for keys in provider.created] == [2, 1]
            ask(provider, base, path.with_name("other.db"), most_bytes=10)
        assert len(responses) == 3
        assert [len(keys) for keys in provider.created[2:]] == [1, 1, 1]

    def test_one_that_is_refused_as_a_whole_pauses(self, path):
        provider = Provider("openai")
        provider.whole = "failed"
        with provider.serving() as (base, _):
            with pytest.raises(CallError, match="refused batch batch_0: too many tokens are waiting") as error:
                ask(provider, base, path)
            assert error.value.failure.pauses
            provider.whole = "completed"
            responses, _ = ask(provider, base, path)
        assert len(responses) == 3

    @pytest.mark.parametrize("id_", ["../files", "a/b", "", 3, "a" * 300, "a?b"])
    def test_an_id_that_is_no_word_is_put_into_no_address(self, id_, path, provider):
        provider.before = lambda one: Answer(json.dumps({"id": id_}).encode())
        with provider.serving() as (base, asked), pytest.raises(CallError, match="expected an object with an id"):
            ask(provider, base, path)
        assert len(asked) == 1


class TestMessages:
    def test_a_request_loses_what_the_other_api_lacks(self):
        body = requests(["a"])["a"] | {"response_format": schema("judgement", {}), "seed": 3, "top_p": 0.5}
        message = as_message(body)
        assert {*message} == {"model", "max_tokens", "temperature", "messages", "top_p"}
        image, text = message["messages"][0]["content"]
        assert image == {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}}
        assert text == {"type": "text", "text": "How light is it?"}

    @pytest.mark.parametrize(
        ("stop", "cut", "refused"), [("end_turn", False, False), ("max_tokens", True, False), ("refusal", False, True)]
    )
    def test_a_message_is_a_completion(self, stop, cut, refused):
        content = [{"type": "thinking", "thinking": "Score: 3"}, {"type": "text", "text": "Score: 7"}]
        usage = {"input_tokens": 5, "cache_read_input_tokens": 20, "output_tokens": 7}
        found = read_completion(as_completion({"content": content, "stop_reason": stop, "usage": usage}))
        assert (found.text, found.cut, bool(found.refusal)) == ("Score: 7", cut, refused)
        assert (found.usage.input, found.usage.output) == (25, 7)

    @pytest.mark.parametrize("message", [None, [], "x", {"content": None}, {"error": 1}])
    def test_what_is_no_message_cannot_be_read(self, message):
        with pytest.raises(CallError, match="expected a chat completion|the response is an error: 1"):
            read_completion(as_completion(message))
