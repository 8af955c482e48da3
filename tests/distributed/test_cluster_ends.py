"""A Ray of a run's own ends with the run: none of its processes is left, whenever that is."""

import os
import subprocess
import sys
from contextlib import suppress
from types import ModuleType, SimpleNamespace

import psutil
import pytest

from zo_dno.distributed import cluster

_MARK = "ZO_DNO_TEST_OF_ENDS"
_NORMAL = """
from zo_dno.distributed.cluster import connect
connect()
"""
_EARLY = """
import os, signal, threading, time
from zo_dno.oracle.ctrl_c import take_as_ctrl_c
take_as_ctrl_c()
import psutil
from zo_dno.distributed.cluster import connect

def press():
    while len(psutil.Process().children(recursive=True)) < 4:  # Ray's servers and the first of its agents
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)

threading.Thread(target=press, daemon=True).start()
try:
    connect()
    time.sleep(600)
except KeyboardInterrupt:
    pass
"""


class Process:
    """A process that others belong to; `gone` at its end, be it by itself."""

    def __init__(self, name, *children):
        self.name = lambda: name
        self._children, self.gone = [*children], False

    def children(self, *, recursive=False):
        own = [child for child in self._children if not child.gone]
        return own + [one for child in own for one in child.children(recursive=True)] if recursive else own

    def suspend(self):
        if self.gone:
            raise psutil.NoSuchProcess(1)
        self._children += self.late if hasattr(self, "late") else []

    def kill(self):
        if self.gone:
            raise psutil.NoSuchProcess(1)
        self.gone = True


@pytest.mark.parametrize("early", [True, False], ids=["while it starts", "at the end"])
def test_the_processes_of_a_ray_of_its_own_are_ended_and_no_others(monkeypatch, early):
    """Some end with Ray by themselves; one starts another until it is held; one is the caller's own."""
    agent, worker, late, own = (Process(name) for name in ("agent", "worker", "worker", "raylet viewer"))
    server, raylet = Process("gcs_server"), Process("raylet", Process("shell", agent), worker)
    raylet.late = [late]
    this = Process("python", server, raylet, own)
    ends = []

    def started(**_):
        if early:
            raise KeyboardInterrupt

    ray = ModuleType("ray")
    vars(ray).update(is_initialized=lambda: False, init=started, shutdown=server.kill, exceptions=ModuleType("e"))
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", ray.exceptions)
    monkeypatch.setattr(cluster, "psutil", SimpleNamespace(Process=lambda: this, NoSuchProcess=psutil.NoSuchProcess))
    monkeypatch.setattr(cluster, "atexit", SimpleNamespace(register=lambda end, *given: ends.append((end, given))))
    monkeypatch.setenv(cluster._CLUSTER_FLAG, "1")
    if early:
        with pytest.raises(KeyboardInterrupt):
            cluster._connected(cluster.LOCAL, None)
    else:
        cluster._connected(cluster.LOCAL, None)
        for end, given in ends:
            end(*given)
    assert all(one.gone for one in (server, raylet, agent, worker, late))
    assert not own.gone


@pytest.mark.parametrize("script", [_EARLY, _NORMAL], ids=["early", "at its end"])
@pytest.mark.slow
@pytest.mark.ray
def test_no_process_is_left(script, tmp_path):
    environment = {**os.environ, _MARK: str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    _, left = psutil.wait_procs(marked(str(tmp_path)), timeout=5)  # until the kernel has taken them down
    assert not left


def marked(mark):
    """Return the processes that have a mark in their environment."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it has ended, or is another user's
            if process.environ().get(_MARK) == mark:
                found.append(process)
    return found
