"""A reward in a real Ray Serve answers as `zo-dno serve-reward` does."""

import socket
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zo_dno.asking import Asking
from zo_dno.deployment import reward_deployment, serve_reward
from zo_dno.errors import InputError
from zo_dno.images import image_hash
from zo_dno.oracle import Oracle
from zo_dno.parts import make_reward
from zo_dno.rewards.http import HTTP
from zo_dno.serving import MAX_BODY
from zo_dno.types import Question

pytestmark = [pytest.mark.ray, pytest.mark.slow]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


@pytest.fixture(scope="module")
def served():
    """Serve the reward in two replicas, with a token, and return its address."""
    import ray
    from ray import serve

    ray.shutdown()
    patch = pytest.MonkeyPatch()
    patch.setenv("ZO_DNO_TOKEN", "a-token-of-the-test")
    yield serve_reward(
        reward_deployment("jpeg_larger", {"quality": 60}, replicas=2, num_cpus=0, loopback=True),
        "127.0.0.1",
        free_port(),
    )
    serve.shutdown()
    ray.shutdown()
    patch.undo()


def asked(url, images, **options):
    reward = HTTP(url + "/score", **options)
    oracle = Oracle(reward, Asking(in_flight=4, timeout=20, attempts=1, breaker=0))
    try:
        return oracle.ask([Question(i, one, image_hash(one), "p") for i, one in enumerate(images)])
    finally:
        oracle.close()


def test_it_says_what_the_reward_says(served):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 256, (32, 32, 3), dtype=np.uint8) for _ in range(6)]
    answers = asked(served, images, key_env="ZO_DNO_TOKEN")
    expected = make_reward("jpeg_larger", {"quality": 60})([Image.fromarray(one) for one in images], ["p"] * 6)
    assert [answer.score.value for answer in answers] == pytest.approx(list(expected))


def test_who_has_no_token_learns_nothing(served):
    (answer,) = asked(served, [np.zeros((8, 8, 3), np.uint8)])
    assert answer.score.kind == "HTTP 401"


def test_pages_of_another_name_and_large_requests_are_refused(served):
    import httpx2

    authorized = {"Authorization": "Bearer a-token-of-the-test"}
    assert httpx2.get(f"{served}/health", headers={"Host": "elsewhere.example"}).status_code == 400
    assert httpx2.post(f"{served}/score", content=b" " * (MAX_BODY + 1), headers=authorized).status_code == 413


def test_it_listens_on_loopback_alone(served):
    port = f"{int(served.rpartition(':')[2]):04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    listening = [local for _, local, _, state, *_ in lines if state == "0A" and local.endswith(f":{port}")]
    assert listening == [f"0100007F:{port}"]


def test_others_may_not_reach_it_without_a_token(monkeypatch):
    monkeypatch.delenv("ZO_DNO_TOKEN", raising=False)
    with pytest.raises(InputError, match="host 0.0.0.0 can be reached from other machines, so a token must be set"):
        serve_reward(reward_deployment("jpeg_smaller"), "0.0.0.0", free_port())


def test_bad_number_of_replicas():
    with pytest.raises(InputError, match="replicas must be at least 1; got 0"):
        reward_deployment("jpeg_smaller", replicas=0)
