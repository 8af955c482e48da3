"""Rewards in a real Ray Serve, which responds as `zo-dno serve-reward` does."""

import asyncio
import base64
import importlib
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx2
import numpy as np
import pytest
from PIL import Image

import zo_dno
from tests.support.clocks import PATIENCE
from tests.support.sockets import listening
from tests.support.toys import ToyGenerator
from zo_dno.call_policy import CallPolicy
from zo_dno.deployment import Application, application, reward_deployment, serve_reward
from zo_dno.errors import InputError
from zo_dno.oracle.oracle import Oracle
from zo_dno.rewards.http import HTTP
from zo_dno.run.make_reward import make_reward
from zo_dno.storage.images import image_hash, png_bytes
from zo_dno.types import Query
from zo_dno.web.door import MAX_BODY

pytestmark = [pytest.mark.ray, pytest.mark.slow]


TOKEN = "a-token-of-the-test"
AUTHORIZED = {"Authorization": f"Bearer {TOKEN}"}


class Crowd(zo_dno.Reward):
    """Waits until 24 calls are in flight; the score is the largest number of calls at once."""

    name, unit, is_async = "crowd", "calls", True
    policy = CallPolicy(in_flight=24)

    def __init__(self):
        self.here = self.most = 0

    async def __call__(self, images, prompts):
        self.here += 1
        self.most = max(self.most, self.here)
        async with asyncio.timeout(120):
            while self.most < 24:
                await asyncio.sleep(0.05)
        self.here -= 1
        return [float(self.most)] * len(images)


@pytest.fixture(scope="module")
def served():
    """Serve the reward in two replicas, with a token, from a process that has imported Ray; return its address."""
    import ray
    from ray import serve

    ray.shutdown()
    patch = pytest.MonkeyPatch()
    patch.setenv("ZO_DNO_TOKEN", TOKEN)
    patch.setattr("ray._private.ray_constants.ENABLE_RAY_CLUSTER", True)
    yield serve_reward(
        reward_deployment("jpeg_larger", {"quality": 60}, replicas=2, num_cpus=0, loopback=True), "127.0.0.1", 0
    )
    serve.shutdown()
    ray.shutdown()
    patch.undo()


def scored(url, images, in_flight=4, **options):
    reward = HTTP(url + "/score", **options)
    oracle = Oracle(reward, CallPolicy(in_flight=in_flight, timeout=PATIENCE, attempts=1, breaker=0))
    try:
        return oracle.ask([Query(i, one, image_hash(one), "p") for i, one in enumerate(images)])
    finally:
        oracle.close()


def test_scores_are_the_rewards(served):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(6)]
    responses = scored(served, images, key_env="ZO_DNO_TOKEN")
    expected = make_reward("jpeg_larger", {"quality": 60})([Image.fromarray(one) for one in images], ["p"] * 6)
    assert [response.score.value for response in responses] == pytest.approx(list(expected))


def test_a_caller_without_the_token_is_refused(served):
    (response,) = scored(served, [np.zeros((8, 8, 3), np.uint8)])
    assert response.score.kind == "HTTP 401"


def test_a_run_through_it_equals_one_without(served):
    options = {"queries": 24, "seed": 3, "strategy_options": {"population": 8}}
    reached = {"url": f"{served}/score", "key_env": "ZO_DNO_TOKEN", "batch": 4}
    there = zo_dno.optimize(ToyGenerator(), "http", reward_options=reached, **options)
    here = zo_dno.optimize(ToyGenerator(), "jpeg_larger", reward_options={"quality": 60}, **options)
    assert [row.value for row in there.history] == [row.value for row in here.history]
    assert there.best.z.equal(here.best.z)


def test_pages_of_another_name_and_large_requests_are_refused(served):
    elsewhere = {**AUTHORIZED, "Host": "elsewhere.example"}
    assert httpx2.get(f"{served}/health", headers=elsewhere, trust_env=False).status_code == 400
    large = b" " * (MAX_BODY + 1)
    headers = {**AUTHORIZED, "Content-Type": "application/json"}
    assert httpx2.post(f"{served}/score", content=large, headers=headers, trust_env=False).status_code == 413


def test_everything_listens_on_loopback_but_a_port_that_asks_for_the_token_of_ray(served):
    """Serve's replicas listen to each other on all addresses, in version 2.60, under any settings."""
    grpc = importlib.import_module("grpc")  # which has no types
    open_to_all = [one for one in listening() if not one.loopback]
    names = {one.process.partition(".")[0] for one in open_to_all}  # a title may end with the method that it is in
    assert names <= {"ray::ServeReplica:reward:reward"}
    assert int(served.rpartition(":")[2]) in {one.port for one in listening()}
    for one in open_to_all:
        with grpc.insecure_channel(f"127.0.0.1:{one.port}") as channel:
            call = channel.unary_unary("/ray.serve.ASGIService/HandleRequest", lambda text: text, lambda text: text)
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", timeout=10)
            assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED


def test_the_token_is_in_nothing_that_serve_keeps(served):
    import ray
    from ray import serve

    logs = Path(ray._private.worker._global_node.get_logs_dir_path())
    kept = [str(serve.status())] + [path.read_text(errors="replace") for path in logs.rglob("*") if path.is_file()]
    assert len(kept) > 3
    assert not [text for text in kept if TOKEN in text]


def test_many_calls_are_in_flight_at_once(served):
    """As in `serve-reward`; Ray Serve's default is five, while the others wait."""
    from ray import serve

    serve.run(reward_deployment(Crowd(), num_cpus=0, loopback=True), name="crowd", route_prefix="/crowd")
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in range(24)]
    responses = scored(f"{served}/crowd", images, in_flight=24, key_env="ZO_DNO_TOKEN")
    serve.delete("crowd")
    assert [response.score.value for response in responses] == [24.0] * 24


def test_callers_from_other_machines_are_refused_at_every_address():
    """Serve listens on all addresses by default."""
    from zo_dno.deployment import _OnlyFromHere

    async def app(scope, receive, send):
        sent.append("let in")

    async def send(message):
        sent.append(message.get("status"))

    for client, expected in (
        (("127.0.0.1", 5), "let in"),
        (("::1", 5), "let in"),
        (("192.0.2.7", 5), 403),
        (("", 5), 403),
        (None, 403),
    ):
        sent: list = []
        asyncio.run(_OnlyFromHere(app)({"type": "http", "client": client}, None, send))
        assert sent[0] == expected
    sent = []
    asyncio.run(_OnlyFromHere(app)({"type": "lifespan"}, None, send))
    assert sent == ["let in"]


def test_others_may_not_reach_it_without_a_token(monkeypatch):
    monkeypatch.delenv("ZO_DNO_TOKEN", raising=False)
    with pytest.raises(InputError, match="host 0.0.0.0 can be reached from other machines, so a token must be set"):
        serve_reward(reward_deployment("jpeg_smaller"), "0.0.0.0", 0)


def test_a_port_that_is_taken():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(InputError, match="host and port must be free to listen on"):
            serve_reward(reward_deployment("jpeg_smaller"), "127.0.0.1", taken.getsockname()[1])


def test_without_ray_serve_there_is_one_clear_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray.serve", None)
    monkeypatch.delattr("ray.serve", raising=False)
    with pytest.raises(InputError, match=r"Ray Serve must be installed for this: pip install 'zo-dno\[serve\]'"):
        reward_deployment("jpeg_smaller")


def test_a_serve_config_has_the_same_meaning_as_the_arguments():
    given = Application(reward="jpeg_larger", options={"quality": 60}, replicas="3", actor={"num_cpus": 0})
    made, other = (
        app._bound_deployment
        for app in (
            application(given),
            reward_deployment("jpeg_larger", {"quality": 60}, replicas=3, num_cpus=0),
        )
    )
    assert made.init_args == other.init_args
    assert made.num_replicas == other.num_replicas == 3
    assert made.ray_actor_options == other.ray_actor_options
    with pytest.raises(ValueError, match="Extra inputs are not permitted"):
        Application(reward="jpeg_larger", replcas=3)


def test_from_the_command_line(tmp_path):
    """A reward of the current folder, on a port that is free."""
    (tmp_path / "mine.py").write_text("def height(images, prompts):\n    return [image.height for image in images]\n")
    command = [
        sys.executable,
        "-m",
        "zo_dno.ui.cli.main",
        "serve-reward",
        "mine:height",
        "--replicas",
        "1",
        "--port",
        "0",
    ]
    environment = {**os.environ, "ZO_DNO_TOKEN": TOKEN, "PYTHONPATH": str(Path(zo_dno.__file__).parents[1])}
    environment = {name: text for name, text in environment.items() if not name.startswith("RAY_")}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) as process:
        url = next(line.split()[-1] for line in process.stdout if "/score" in line)
        body = {"images": [base64.b64encode(png_bytes(Image.new("RGB", (8, 5)))).decode()], "prompts": [""]}
        found = httpx2.post(url, json=body, headers=AUTHORIZED, timeout=PATIENCE, trust_env=False)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=PATIENCE)
    assert found.json()["scores"][0]["value"] == 5


@pytest.mark.parametrize("number", ["replicas", "most_images", "in_flight"])
def test_bad_numbers(number):
    with pytest.raises(InputError, match=f"{number} must be at least 1; got 0"):
        reward_deployment("jpeg_smaller", **{number: 0})
