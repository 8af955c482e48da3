"""A Ray of a run's own ends with the run: none of its processes is left, whenever that is."""

import os
import subprocess
import sys
from contextlib import suppress

import psutil
import pytest

pytestmark = pytest.mark.ray
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


@pytest.mark.parametrize("script", [_EARLY, _NORMAL], ids=["early", "at its end"])
@pytest.mark.slow
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
