import math
import subprocess
import sys
from collections import Counter
from pathlib import Path

import httpx2
import pytest

import zo_dno
from tests.support import flaky_server
from tests.support.flaky_server import FOR_GOOD, KINDS, WAYS, name_of, score_of
from tests.support.toys import ToyGenerator
from zo_dno.call_policy import CallPolicy
from zo_dno.results.overview import overview
from zo_dno.storage.images import read_png

ATTEMPTS = 3


class Remote(zo_dno.Reward):
    """Posts the pixels to the server."""

    name, unit, is_async = "remote", "points", True
    # within 8 s every response comes that comes at all; the test waits most of its time for those that do not
    policy = CallPolicy(in_flight=16, timeout=8, attempts=ATTEMPTS, first_wait=0.01, breaker=0, durable=True)

    def __init__(self, url):
        self._url, self._client = url, None

    async def __call__(self, images, prompts):
        self._client = self._client or httpx2.AsyncClient(timeout=None, trust_env=False)
        response = await self._client.post(self._url, content=images[0].tobytes())
        response.raise_for_status()
        return response.json()

    async def aclose(self):
        if self._client is not None:
            await self._client.aclose()


@pytest.fixture
def server(tmp_path):
    log = tmp_path / "calls.txt"
    log.touch()
    command = [sys.executable, flaky_server.__file__, str(log)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}/", log
        process.kill()


@pytest.mark.slow
def test_a_thousand_queries_to_a_server_that_fails_in_every_way(server, tmp_path):
    """The server's own log says what must have come of every query."""
    url, log = server
    folder = tmp_path / "run"
    options = {"queries": 1000, "seed": 1, "strategy_options": {"population": 500}}
    result = zo_dno.optimize(ToyGenerator(), Remote(url), "snes", out=folder, **options)
    ways: dict[str, list[str]] = {}
    for line in log.read_text().splitlines():
        name, _, way = line.partition(" ")
        ways.setdefault(name, []).append(way)
    assert result.queries == len(result.history) == len(ways) == 1000
    missing: Counter[str] = Counter()
    for row in result.history:
        name = name_of(read_png(folder / "images" / f"{row.image}.png").tobytes())
        *failed, last = ways[name]
        kinds = [KINDS[way] for way in failed]
        if last == "ok":
            assert (row.status, row.value) == ("scored", score_of(name))
        else:
            assert (row.status, row.value, row.told, row.kind) == ("missing", None, None, KINDS[last])
            missing[KINDS[last]] += 1
            assert last in FOR_GOOD or len(ways[name]) == ATTEMPTS
            kinds += [] if last in ("NaN",) else [KINDS[last]]
        assert row.failures == "; ".join(kinds)
        assert row.attempts == len(ways[name])
    seen = overview(folder)
    assert seen.missing == missing
    assert result.failed_queries == missing.total() > 20
    calls = Counter(way for name in ways for way in ways[name])
    assert set(calls) == {"ok", *WAYS}  # every way did happen
    assert 0.25 < 1 - calls["ok"] / calls.total() < 0.35
    failed_calls = Counter(KINDS[way] for way in WAYS for _ in range(calls[way]) if way != "NaN")
    assert seen.failed_calls == failed_calls
    assert not math.isnan(result.best.reward)
    assert Path(folder / "result.json").exists()
