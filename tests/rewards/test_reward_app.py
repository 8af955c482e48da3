"""A reward that is served over HTTP."""

import asyncio
import base64
import gzip
import io
import os
import subprocess
import sys
import threading

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

import zo_dno
from tests.support.clocks import PATIENCE
from tests.support.toys import ToyGenerator
from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError, RunError
from zo_dno.reward import Reward
from zo_dno.run.make_reward import make_reward
from zo_dno.ui.cli import main as cli
from zo_dno.web import door
from zo_dno.web.reward_app import reward_app
from zo_dno.web.server import WebServer

KEY = "sk-very-secret-0123456789"


@pytest.fixture(scope="module")
def served():
    """The server of `brightness` in this process, with a token, as `zo-dno serve-reward brightness` starts it."""
    server = WebServer(reward_app(make_reward("brightness"), token=KEY))
    server.start()
    yield f"{server.url}/score"
    server.stop()


class TestServedReward:
    def test_a_run_through_a_server_equals_one_without(self, served, monkeypatch, tmp_path):
        monkeypatch.setenv("REWARD_KEY", KEY)
        options = {"queries": 24, "seed": 3, "strategy_options": {"population": 8}}
        here = zo_dno.optimize(ToyGenerator(), "brightness", **options)
        there = zo_dno.optimize(
            ToyGenerator(), "http", reward_options={"url": served, "key_env": "REWARD_KEY", "batch": 4}, **options
        )
        assert [row.value for row in there.history] == [row.value for row in here.history]
        assert there.best.z.equal(here.best.z)

    def test_without_the_token_there_is_one_clear_error(self, served, monkeypatch):
        monkeypatch.setenv("REWARD_KEY", "another-token")
        with pytest.raises(RunError, match="HTTP 401 Unauthorized: the token is missing or wrong"):
            zo_dno.optimize(ToyGenerator(), "http", reward_options={"url": served, "key_env": "REWARD_KEY"}, queries=32)

    def test_it_describes_itself(self, served):
        base = served.removesuffix("/score")
        about = httpx2.get(f"{base}/version", headers={"authorization": f"Bearer {KEY}"}, trust_env=False).json()
        assert (about["name"], about["unit"], about["version"]) == ("brightness", "of white", "1")
        described = httpx2.get(f"{base}/openapi.json", trust_env=False).json()["paths"]["/score"]["post"]
        body = described["requestBody"]["content"]["application/json"]["schema"]
        assert [*body["properties"]] == body["required"] == ["images", "prompts"]
        assert httpx2.get(f"{base}/version", trust_env=False).status_code == 401
        other_name = {"host": "evil.example", "authorization": f"Bearer {KEY}"}
        assert httpx2.get(f"{base}/version", headers=other_name, trust_env=False).status_code == 400

    @pytest.mark.slow
    def test_the_command_serves_in_a_process_of_its_own(self):
        command = [sys.executable, "-m", "zo_dno.ui.cli.main", "serve-reward", "brightness", "--port", "0"]
        environment = {**os.environ, "ZO_DNO_TOKEN": KEY}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
            url = process.stdout.readline().split()[-1]
            headers, body = {"authorization": f"Bearer {KEY}"}, {"images": [picture()], "prompts": [""]}
            scored = httpx2.post(url, headers=headers, json=body, trust_env=False, timeout=PATIENCE)
            process.kill()
        assert scored.json()["scores"][0]["value"] == 1

    def test_other_machines_need_a_token(self, monkeypatch, capsys):
        monkeypatch.delenv("ZO_DNO_TOKEN", raising=False)
        assert "a token must be set" in refusal(monkeypatch, capsys, "brightness", "--host", "0.0.0.0")


def refusal(monkeypatch, capsys, *arguments):
    """Return the one line with which the command refuses to serve a reward."""
    monkeypatch.setattr(sys, "argv", ["zo-dno", "serve-reward", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert len(error.strip().splitlines()) == 1
    return error


def picture(side=8, kind="PNG"):
    file = io.BytesIO()
    Image.new("RGB", (side, side), "white").save(file, kind)
    return base64.b64encode(file.getvalue()).decode()


class TestServer:
    @pytest.mark.parametrize("body", [b"NaN", b'{"images": [NaN], "prompts": [""]}', b"[" * 20_000, b"[]", b"\xff"])
    def test_a_body_that_is_no_request_is_refused_in_a_line(self, body):
        client = TestClient(reward_app(make_reward("brightness")), raise_server_exceptions=False)
        response = client.post("/score", content=body, headers={"content-type": "application/json"})
        assert response.status_code in (400, 422)
        assert len(response.text) < 1000

    def test_many_blank_images_do_not_fill_the_memory(self):
        client = TestClient(reward_app(make_reward("brightness")))
        images = [picture(4000)] * 5  # of 30 kB each, and 48 MB when decoded
        response = client.post("/score", json={"images": images, "prompts": [""] * 5})
        assert response.status_code == 422
        assert "the images have 80000000 pixels together; at most 67108864" in response.text

    def test_a_grey_image_of_16_bits_has_its_brightness(self):
        grey, file = Image.fromarray(np.full((8, 8), 32768, np.uint16)), io.BytesIO()
        grey.save(file, "PNG")
        body = {"images": [base64.b64encode(file.getvalue()).decode()], "prompts": [""]}
        scored = TestClient(reward_app(make_reward("brightness"))).post("/score", json=body).json()["scores"]
        assert scored[0]["value"] == pytest.approx(0.5, abs=0.01)

    @pytest.mark.parametrize(
        ("body", "status", "message"),
        [
            ({"images": [picture()], "prompts": []}, 422, "as many prompts as images"),
            ({"images": [picture()] * 9, "prompts": [""] * 9}, 422, "at most 8"),
            ({"images": [], "prompts": []}, 422, "at least 1 and at most 8; got 0 images"),
            ({"images": ["x"], "prompts": [""]}, 422, "not a PNG, JPEG or WebP"),
            ({"images": [picture(kind="GIF")], "prompts": [""]}, 422, "not a PNG, JPEG or WebP"),
            ({"images": ["/etc/passwd"], "prompts": [""]}, 422, "not a PNG, JPEG or WebP"),
            ({"images": [picture(5000)], "prompts": [""]}, 422, "5000x5000 pixels"),
            ({"images": [picture()], "prompts": [""], "more": 1}, 422, "1 more fields, which are unknown"),
            ({"images": [1], "prompts": [""]}, 422, "images is no list of strings"),
            ({"images": [picture()]}, 422, "prompts is missing"),
            ([], 422, "another kind of JSON"),
        ],
    )
    def test_what_does_not_fit_is_refused(self, body, status, message):
        response = TestClient(reward_app(make_reward("brightness"), most_images=8)).post("/score", json=body)
        assert response.status_code == status
        assert message in response.text
        assert len(response.text) < 600

    def test_requests_have_a_size(self, monkeypatch):
        monkeypatch.setattr(door, "MAX_BODY", 1000)
        client = TestClient(reward_app(make_reward("brightness")), headers={"content-type": "application/json"})
        assert client.post("/score", content=b" " * 1001).status_code == 413
        bomb = gzip.compress(b" " * 10_000_000)
        assert client.post("/score", content=bomb, headers={"content-encoding": "gzip"}).status_code == 413
        assert client.post("/score", content=b"x", headers={"content-encoding": "gzip"}).status_code == 400
        assert client.post("/score", content=b"x", headers={"content-encoding": "br"}).status_code == 415
        assert client.post("/score", content=b"x", headers={"content-type": "text/plain"}).status_code == 415

    def test_a_reward_that_hangs_times_out(self):
        released = threading.Event()

        def hanging(images, prompts):
            released.wait()

        hanging.policy = CallPolicy(timeout=0.05)
        client = TestClient(reward_app(make_reward(hanging)))
        response = client.post("/score", json={"images": [picture()], "prompts": [""]})
        released.set()
        assert (response.status_code, response.json()["detail"]) == (503, "timeout: no response within 0.05 s")

    def test_failures_stay_what_they_are(self):
        def moody(images, prompts):
            if prompts[0] == "later":
                raise ConnectionError("the database is away")
            if prompts[0] == "never":
                raise ValueError("no face")
            return [float("nan")]

        client = TestClient(reward_app(make_reward(moody)))
        later, never, nan = (
            client.post("/score", json={"images": [picture()], "prompts": [word]}) for word in ("later", "never", "nan")
        )
        assert (later.status_code, later.json()["detail"]) == (503, "connection: ConnectionError: the database is away")
        assert never.json()["scores"][0]["error"] == "ValueError: no face"
        assert nan.json()["scores"][0]["value"] is None
        assert nan.json()["scores"][0]["kind"] == "NaN"

    @pytest.mark.parametrize("numbers", [{"in_flight": -1}, {"in_flight": 0}, {"most_images": 0}])
    def test_numbers_below_1_are_refused(self, numbers):
        (name,) = numbers
        with pytest.raises(InputError, match=f"{name} must be at least 1"):
            reward_app(make_reward("brightness"), **numbers)


class TestRewardsThatNeedARun:
    @pytest.mark.parametrize(
        ("reward", "options", "message"),
        [
            ("human", {}, "reward must work without a run's folder to be served; got 'human'"),
            ("min", {"parts": ["brightness", "human"]}, "reward must work without a run's folder.*got 'human'"),
            ("weighted_sum", {"parts": {"brightness": 1}}, "scales must be given to serve 'weighted_sum'"),
        ],
    )
    def test_are_not_served(self, reward, options, message):
        with pytest.raises(InputError, match=message):
            reward_app(make_reward(reward, options))

    @pytest.mark.parametrize("replicas", ["0", "2"])
    def test_the_command_says_so_in_one_line(self, replicas, monkeypatch, capsys):
        error = refusal(monkeypatch, capsys, "human", "--port", "0", "--replicas", replicas)
        assert "reward must work without a run's folder to be served; got 'human'" in error


class Connected(Reward):
    """Notes the event loops of its calls and of its end."""

    name, unit = "connected", "score"

    def __init__(self, *, is_async=True):
        self.is_async, self.seen = is_async, []

    async def __call__(self, images, prompts):
        self.seen.append(asyncio.get_running_loop())
        return [1.0] * len(images)

    async def aclose(self):
        self.seen.append(asyncio.get_running_loop())


class TestTheEndOfAServer:
    @pytest.mark.parametrize(("is_async", "closed"), [(True, 1), (False, 0)])
    def test_an_asynchronous_reward_is_closed_on_the_loop_of_its_calls(self, is_async, closed):
        reward = Connected(is_async=is_async)
        with TestClient(reward_app(reward)) as client:
            if is_async:
                assert client.post("/score", json={"images": [picture()], "prompts": [""]}).status_code == 200
            before = len(reward.seen)
        assert len(reward.seen) - before == closed
        assert len(set(map(id, reward.seen))) == closed

    def test_a_server_in_a_thread_closes_its_reward_when_it_stops(self):
        reward = Connected()
        server = WebServer(reward_app(reward))
        server.start()
        assert httpx2.get(f"{server.url}/health", trust_env=False, timeout=PATIENCE).status_code == 200
        server.stop()
        server._thread.join()
        assert len(reward.seen) == 1
