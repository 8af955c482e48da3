"""Real Ray clusters of several nodes on this machine: results equal those of one process after any failure."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

import zo_dno
from tests.support.clocks import PATIENCE
from tests.support.command_line import exit_code
from tests.support.toys import ToyGenerator
from tests.support.watched import Timeless, Watched, calls_in
from zo_dno.distributed import actor_pool as actors
from zo_dno.distributed.cluster import connect
from zo_dno.distributed.generator_actors import GeneratorPool
from zo_dno.distributed.reward_actors import RewardActors, Takes
from zo_dno.errors import InputError
from zo_dno.run.make_reward import make_reward

pytestmark = [pytest.mark.ray, pytest.mark.slow]
OPTIONS = {"queries": 48, "seed": 1, "strategy_options": {"population": 24}, "top": 2}
_CHECKS = {  # how soon a node that is gone is missed, in ms
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 200,
    "health_check_timeout_ms": 500,
    "health_check_failure_threshold": 3,
    "prestart_worker_first_driver": False,  # processes that no actor needs
    "enable_worker_prestart": False,
}


class Large(ToyGenerator):
    """Renders images that Ray keeps on the machine that rendered them, as it does from 100 kB on."""

    batch_size = 4

    def __call__(self, z):
        return super().__call__(z).repeat(1, 32, 32, 1)


@pytest.fixture(scope="module")
def cluster():
    os.environ.setdefault("RAY_AUTH_MODE", "token")  # Ray reads them at import
    os.environ.setdefault("RAY_AUTH_TOKEN", "0" * 64)
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    import ray
    from ray.cluster_utils import Cluster

    ray.shutdown()  # the one that other tests share
    node = {"include_dashboard": False, "object_store_memory": 80 * 2**20, "node_ip_address": "127.0.0.1"}
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:  # a short path, for the names of sockets
        head = {**node, "num_cpus": 1, "temp_dir": folder, "_system_config": _CHECKS}
        made = Cluster(initialize_head=True, head_node_args=head)
        made.named = defaultdict(list)

        def need(name, nodes):
            """Have at least as many nodes of a kind, each with room for the actors of a run."""
            while len(made.named[name]) < nodes:
                made.named[name].append(made.add_node(**node, num_cpus=4, resources={name: 3}))

        made.need = need
        yield made
        ray.shutdown()
        made.shutdown()


def comparable(result):
    return {key: value for key, value in result.to_dict().items() if key not in ("seconds", "model")}


@pytest.fixture(scope="module")
def here():
    """Return the result of one process."""
    return comparable(zo_dno.optimize(Large(), Timeless(), **OPTIONS))


def test_workers_without_the_package(cluster, tmp_path):
    """Before the tests that share a connection to the cluster, which this one ends."""
    import ray

    ray.shutdown()  # the environment of workers is fixed when a process joins
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['zo_dno'] = None\n")
    violation = {"py_modules": None, "env_vars": {"PYTHONPATH": str(tmp_path)}}
    with pytest.raises(
        InputError, match=r"workers could not be started: .*zo_dno.* Install it on every machine, or let"
    ):
        RewardActors(make_reward("brightness"), 1, address=cluster.address, runtime_env=violation)
    ray.shutdown()


class Trouble(threading.Thread):
    """Makes trouble once calls wait for it."""

    def __init__(self, folder, make):
        super().__init__(daemon=True)
        self.folder, self.make, self.at = folder, make, None

    def run(self):
        while calls_in(self.folder / "log") < 5:
            time.sleep(0.02)
        self.at = time.monotonic()
        self.make()
        (self.folder / "made").touch()


@pytest.fixture(scope="module")
def renderer(cluster):
    """Return one actor that renders for all the runs: each that is begun loads torch."""
    cluster.need("rendering", 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(actors, "PATIENCE", PATIENCE)
        pool = GeneratorPool(Large, 1, takes=Takes(resources={"rendering": 1}), address=cluster.address)
    yield pool
    pool.close()


@pytest.fixture
def run(cluster, renderer, here, tmp_path):
    """Run with one actor that renders and two that score, make trouble in its middle, and compare."""

    def with_trouble(title, make, **policy):
        cluster.need("scoring", 1)
        trouble = Trouble(tmp_path, make)
        trouble.start()
        try:
            result = zo_dno.optimize(
                *(renderer, Watched(tmp_path)),
                workers=2,
                worker_resources={"scoring": 1},
                ray=cluster.address,
                policy=policy,
                **OPTIONS,
            )
        finally:
            trouble.join()
        print(f"\n{title}: over {time.monotonic() - trouble.at:.1f} s after it began")
        assert comparable(result) == here
        scored = [row.image for row in result.history if not row.cached]
        assert len(scored) == len(set(scored))
        return result

    return with_trouble


def last_in(log):
    """Return the process of the last call, which waits."""
    return int(log.read_text().splitlines()[-1].split()[1])


def test_nothing_happens(run):
    run("nothing", lambda: None)


def test_an_actor_is_killed(run, tmp_path):
    result = run("an actor killed", lambda: os.kill(last_in(tmp_path / "log"), signal.SIGKILL))
    assert [row.failures for row in result.history if row.failures] == ["worker died"]


def test_an_actor_hangs(run, tmp_path, clock):
    """Time passes for the other calls as well: those in flight may be late, those that wait may find no actor."""

    def hang():
        (tmp_path / "stop").touch()
        while not (tmp_path / "stopped").exists():
            time.sleep(0.02)
        clock.advance(PATIENCE)

    result = run("an actor hung, given up", hang, timeout=PATIENCE)
    kinds = {kind for row in result.history for kind in row.failures.split("; ") if kind}
    assert {"timeout"} <= kinds <= {"timeout", "no workers"}
    with contextlib.suppress(ProcessLookupError, ValueError):  # Ray may have killed it already
        os.kill(int((tmp_path / "stopped").read_text()), signal.SIGCONT)


def test_a_scoring_node_is_lost(run, cluster):
    cluster.need("scoring", 2)

    def lose():
        cluster.remove_node(cluster.named["scoring"].pop(0), allow_graceful=False)

    run("a scoring node lost", lose)


def test_the_rendering_node_that_holds_the_images_is_lost(run, cluster):
    cluster.need("rendering", 2)

    def lose():
        cluster.remove_node(cluster.named["rendering"].pop(0), allow_graceful=False)

    run("the rendering node lost", lose)


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(actors, "PATIENCE", 3.0)


def test_more_gpus_than_there_are(cluster, impatient):
    with pytest.raises(InputError, match=r"workers could not be started within 15 s\. Ray has .* of .* CPU.* free"):
        RewardActors(Timeless(), 1, takes=Takes(gpus=1), address=cluster.address)


def test_no_server_and_another_server_at_the_address():
    with pytest.raises(InputError, match=r"there is no answer at 127\.0\.0\.1:1: .*Start one with `ray start --head`"):
        connect("127.0.0.1:1")
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(InputError, match="127.0.0.1:.* answers, but it is not Ray"):
            connect(f"127.0.0.1:{server.server_port}")
        server.shutdown()
    with pytest.raises(InputError, match="ray must be local, auto, HOST:PORT or ray://HOST:PORT; got 'localhost'"):
        connect("localhost")


_OTHER_DRIVER = """
import os, sys
os.environ["RAY_AUTH_TOKEN"] = {token!r}
import ray
ray.__version__ = {version!r}
from zo_dno.distributed.cluster import connect
from zo_dno.errors import InputError
try:
    connect({address!r})
except InputError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("token", "version", "message"),
    [
        ("1" * 64, None, "It must be a Ray cluster whose token, if it has one, is in RAY_AUTH_TOKEN"),
        (None, "2.59.0", "ray must run the same versions at .* as here: Version mismatch"),
    ],
    ids=["token", "version"],
)
def test_a_driver_that_does_not_fit_the_cluster(cluster, token, version, message):
    import ray

    values = {"token": token or os.environ["RAY_AUTH_TOKEN"], "version": version or ray.__version__}
    code = _OTHER_DRIVER.format(address=cluster.address, **values)
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert re.search(message, found.stdout)
    assert len(found.stdout.splitlines()) == 1


def test_rays_metrics_show_the_actors(cluster):
    import httpx2
    import ray

    pool = RewardActors(Timeless(), 2, takes=Takes(cpus=0), address=cluster.address)
    try:
        found = ""
        for _ in range(200):
            asyncio.run(pool.call([np.zeros((8, 8, 3), np.uint8)], [""], []))
            pages = [f"http://127.0.0.1:{node['MetricsExportPort']}/metrics" for node in ray.nodes() if node["Alive"]]
            found = "".join(httpx2.get(page).text for page in pages)
            if re.search(r"^ray_zo_dno_alive\{.* 2\.0$", found, re.MULTILINE):  # each actor reports on its own time
                break
            time.sleep(0.3)
    finally:
        pool.close()
    (line,) = [line for line in found.splitlines() if line.startswith("ray_zo_dno_alive{")]
    assert 'pool="workers"' in line
    assert line.endswith(" 2.0")


def test_a_run_whose_driver_is_killed_resumes(cluster, tmp_path):
    """The search's process dies while its actors stand still, and they with it; this process resumes the run."""
    options = ["--model", "tests.support.toys:prompted", "--threads", "1", "--strategy-option", "population=8"]
    actors = ["--ray", cluster.address, "--workers", "2", "--worker-cpus", "0", "--generators", "1"]
    hold = tmp_path / "hold"
    hold.touch()
    held = ["--reward", "tests.support.held:Held", "--reward-option", f"hold={hold}", "--reward-option", "after=8"]
    run = ["run", "--prompt", "sea at day", "--queries", "48", *options, *held]
    there = [*run, *actors, "--generator-cpus", "0", "--out", str(tmp_path / "run")]
    with subprocess.Popen([sys.executable, "-m", "zo_dno", *there], stdout=subprocess.DEVNULL) as process:
        ledger = tmp_path / "run" / "ledger.db"
        while process.poll() is None and _answered(ledger) < 8:
            time.sleep(0.1)
        assert process.poll() is None
        process.kill()
    hold.unlink()
    killed_at = time.monotonic()
    assert exit_code(["resume", tmp_path / "run"]) == 0
    print(f"\nthe driver killed: over {time.monotonic() - killed_at:.1f} s after it")
    assert exit_code([*run, "--out", tmp_path / "here"]) == 0
    there, here = (json.loads((tmp_path / name / "result.json").read_text()) for name in ("run", "here"))
    assert {**there, "seconds": None} == {**here, "seconds": None}


def _answered(ledger):
    try:
        with sqlite3.connect(f"file:{ledger}?mode=ro", uri=True) as file:
            return file.execute("SELECT COUNT(*) FROM query WHERE status = 'scored'").fetchone()[0]
    except sqlite3.Error:
        return 0
