"""A server says which reward it serves, and one that is restarted with another is noticed."""

import json

import pytest
from fastapi.testclient import TestClient
from starlette.responses import Response

import zo_dno
from tests.rewards.test_reward_app import picture
from tests.support.answering import Answer, answering
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.failures import CallError
from zo_dno.oracle import http_client
from zo_dno.oracle.server_identity import ServerIdentity
from zo_dno.rewards.http import HTTP
from zo_dno.run.make_reward import make_reward
from zo_dno.storage.ledger import Ledger
from zo_dno.web.reward_app import reward_app
from zo_dno.web.server import WebServer

OPTIONS = {"queries": 32, "seed": 3, "strategy": "snes", "strategy_options": {"population": 8}}
QUICK = {"attempts": 2, "first_wait": 0.01}


class Switched:
    """A server whose reward a test replaces, as a restart does."""

    def __init__(self):
        self.app = reward_app(make_reward("brightness"))

    def serve(self, reward, **options):
        self.app = reward_app(make_reward(reward, options))

    async def __call__(self, scope, receive, send):
        await self.app(scope, receive, send)


async def away(scope, receive, send):
    """Respond to everything with 503."""
    if scope["type"] == "http":
        await Response(status_code=503)(scope, receive, send)


class Late:
    """A server that says nothing at the start of a run, and scores afterwards."""

    def __init__(self, first, then):
        self.first, self.then = first, then

    async def __call__(self, scope, receive, send):
        await (self.first if scope.get("path") == "/version" else self.then)(scope, receive, send)


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch):
    """Load none for every client: the server has an address without."""
    monkeypatch.setattr(http_client, "_trusted", lambda ca: False)


@pytest.fixture
def switched():
    return Switched()


@pytest.fixture
def url(switched):
    server = WebServer(switched)
    server.start()
    yield f"{server.url}/score"
    server.stop()


def search(folder, url, **options):
    return zo_dno.optimize(
        ToyGenerator(),
        "http",
        reward_options={"url": url, "batch": 8},
        out=folder,
        **{**OPTIONS, "policy": QUICK, **options},
    )


def resume(folder, **options):
    return zo_dno.resume(folder, generator=ToyGenerator(), **options)


def recorded(folder):
    ledger = Ledger(folder / "ledger.db", read_only=True)
    try:
        return ledger.get("reward").get("server")
    finally:
        ledger.close()


def at_step(number, happens):
    steps = iter(range(1000))
    return lambda step: happens() if next(steps) == number else None


class TestRun:
    def test_records_which_reward_the_server_serves(self, url, tmp_path):
        search(tmp_path / "run", url)
        assert recorded(tmp_path / "run").startswith("brightness version 1 (")

    def test_pauses_where_the_server_is_restarted_with_another_reward(self, switched, url, tmp_path):
        whole = zo_dno.optimize(ToyGenerator(), "brightness", **OPTIONS)
        paused = search(tmp_path / "run", url, on_step=at_step(1, lambda: switched.serve("darkness")))
        assert (paused.status, paused.queries) == ("paused", 16)
        assert "the server now serves darkness version 1 (" in paused.pause
        assert "it was brightness version 1 (" in paused.pause
        assert "\n" not in paused.pause

        with pytest.raises(
            InputError, match=r"reward server: brightness version 1 \(.*, now darkness version 1 \(.*--accept-drift"
        ):
            resume(tmp_path / "run")

        switched.serve("brightness")
        resumed = resume(tmp_path / "run")
        assert (resumed.status, resumed.drift) == ("finished", None)
        assert [row.value for row in resumed.history] == [row.value for row in whole.history]

    def test_resumes_with_the_other_reward_where_that_is_accepted(self, switched, url, tmp_path):
        search(tmp_path / "run", url, on_step=at_step(1, lambda: switched.serve("darkness")))
        result = resume(tmp_path / "run", accept_drift=True)
        assert result.status == "finished"
        assert "reward server: brightness version 1" in result.drift
        assert recorded(tmp_path / "run").startswith("darkness")
        switched.serve("contrast")
        with pytest.raises(InputError, match="reward server: darkness"):
            resume(tmp_path / "run", queries=40)

    def test_holds_a_server_that_is_away_when_it_is_resumed_to_what_it_said(self, switched, url, tmp_path):
        search(tmp_path / "run", url, queries=16, policy={**QUICK, "breaker": 1})
        switched.app = away
        paused = resume(tmp_path / "run", queries=24)
        assert "HTTP 503" in paused.pause

        switched.app = Late(away, reward_app(make_reward("darkness")))
        paused = resume(tmp_path / "run", queries=24)
        assert "the server now serves darkness" in paused.pause
        assert "it was brightness" in paused.pause

    def test_notices_other_options_of_the_same_reward(self, switched, url, tmp_path):
        switched.serve("jpeg_smaller")
        paused = search(tmp_path / "run", url, on_step=at_step(0, lambda: switched.serve("jpeg_smaller", quality=60)))
        assert (paused.status, paused.queries) == ("paused", 8)

    def test_notices_it_in_a_term_of_a_combination(self, switched, url, tmp_path):
        parts = {"there": {"reward": "http", "options": {"url": url}, "policy": QUICK}, "contrast": 1}
        options = {**OPTIONS, "reward_options": {"parts": parts, "standardise": False}, "out": tmp_path / "run"}
        paused = zo_dno.optimize(
            ToyGenerator(), "weighted_sum", **options, on_step=at_step(0, lambda: switched.serve("darkness"))
        )
        assert "now serves darkness" in paused.pause
        with pytest.raises(InputError, match="darkness"):
            resume(tmp_path / "run")
        switched.serve("brightness")
        assert resume(tmp_path / "run").status == "finished"


class TestServersOfOthers:
    def test_are_asked_nothing_and_checked_for_nothing(self, tmp_path):
        with answering(lambda _: Answer(b'{"scores": [1], "reward": 0.5}')) as (url, asked):
            result = zo_dno.optimize(
                ToyGenerator(), "http", reward_options={"url": url}, out=tmp_path / "run", queries=8
            )
        assert result.status == "finished"
        assert {one.path for one in asked} == {"/"}
        assert recorded(tmp_path / "run") is None

    @pytest.mark.parametrize("about", [Answer(b"<html>", 404), Answer(b"[]"), Answer(b'{"name": "x", "version": 2}')])
    def test_may_have_no_identity_at_the_same_address(self, about, tmp_path):
        with answering(lambda one: about if one.method == "GET" else Answer(b'{"scores": [1]}')) as (url, asked):
            reward = {"url": f"{url}/api/score"}
            zo_dno.optimize(ToyGenerator(), "http", reward_options=reward, out=tmp_path / "run", queries=8)
        assert [one.path for one in asked if one.method == "GET"] == ["/api/version"]
        assert recorded(tmp_path / "run") is None


SAID = {"name": "clip", "version": "2", "fingerprint": "0123456789abcdef"}


class TestServerIdentity:
    def test_is_learned_from_the_first_response_where_the_server_was_away_before(self, tmp_path):
        def answer(asked):
            return (
                Answer(b"", 503)
                if asked.method == "GET"
                else Answer(json.dumps({"scores": [1], "reward": SAID}).encode())
            )

        with answering(answer) as (url, _):
            reward = {"url": f"{url}/score"}
            zo_dno.optimize(ToyGenerator(), "http", reward_options=reward, out=tmp_path / "run", queries=8)
        assert recorded(tmp_path / "run") == "clip version 2 (0123456789ab)"

    def test_a_server_that_is_away_is_held_to_what_was_recorded(self):
        reward = HTTP("http://127.0.0.1:1/score")
        reward.recall({"server": "brightness version 1 (0123456789ab)"})
        assert reward.identity["server"] == "brightness version 1 (0123456789ab)"
        with pytest.raises(CallError, match="now serves clip version 2") as error:
            reward._server.check({"scores": [1], "reward": SAID}, str)
        assert error.value.failure.pauses

    def test_a_server_that_says_nothing_any_more_is_another(self):
        server = ServerIdentity("clip version 2 (0123456789ab)")
        server.check({"reward": SAID}, str)
        with pytest.raises(CallError, match="says no longer which reward it serves; it was clip version 2"):
            server.check({"scores": [1]}, str)

    def test_its_words_are_bounded_and_hold_no_secret(self):
        server = ServerIdentity()
        server.check(
            {"reward": {"name": "a\x1b[31m\n" * 200, "version": "secret", "fingerprint": "f" * 10**6}},
            lambda text: text.replace("secret", "***"),
        )
        assert len(server.known) < 200
        assert server.known.isprintable()
        assert "secret" not in server.known

    def test_the_server_of_one_image_says_what_its_version_page_says(self, switched):
        client = TestClient(switched.app)
        about = client.get("/version").json()
        said = client.post("/score", json={"images": [picture()], "prompts": [""]}).json()["reward"]
        assert said == {name: about[name] for name in ("name", "version", "fingerprint")}
