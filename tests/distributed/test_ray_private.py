"""Private attributes of Ray: each one that the package uses is there and has its effect."""

import importlib.util
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from zo_dno.distributed import ray_private

_LISTEN = """
import os
os.environ.pop("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", None)
from ray._private import ray_constants, services
from zo_dno.distributed.ray_private import listen_on_loopback
assert ray_constants.ENABLE_RAY_CLUSTER is True, "on Linux"
listen_on_loopback()
print(services.get_node_ip_address())
"""


def test_ray_private_ray_constants_enable_ray_cluster():
    found = subprocess.run([sys.executable, "-c", _LISTEN], capture_output=True, text=True, check=False)
    assert found.stdout.strip() == "127.0.0.1", found.stderr


def test_ray_private_node_says_that_it_is_late():
    found = importlib.util.find_spec("ray._private.node")
    assert ray_private.LATE in Path(found.origin).read_text(encoding="utf-8")


_SIGTERM = """
import contextlib, os, signal
from zo_dno.oracle.ctrl_c import take_as_ctrl_c
take_as_ctrl_c()
from zo_dno.distributed import cluster
import ray
start = ray._private.node.Node.start_ray_processes
def started_while_the_scheduler_ends_it(*arguments):
    with contextlib.suppress(KeyboardInterrupt):  # as code in Ray's start does now and then
        os.kill(os.getpid(), signal.SIGTERM)
    return start(*arguments)
ray._private.node.Node.start_ray_processes = started_while_the_scheduler_ends_it
try:
    cluster.connect()
except KeyboardInterrupt:
    print("as Ctrl-C", ray.is_initialized())
"""


def test_ray_private_utils_set_sigterm_handler():
    from ray._private import utils

    taking, handler = utils.set_sigterm_handler, signal.getsignal(signal.SIGTERM)
    with ray_private.without_sigterm_handler():
        utils.set_sigterm_handler(lambda *_: None)
    assert signal.getsignal(signal.SIGTERM) is handler
    assert utils.set_sigterm_handler is taking


@pytest.mark.slow
@pytest.mark.ray
def test_a_signal_while_ray_starts_is_taken_as_ctrl_c():
    """Ray's own handler would end the process with exit code 15, and nothing would be said or closed."""
    found = subprocess.run([sys.executable, "-c", _SIGTERM], capture_output=True, text=True, check=False)
    assert found.stdout.strip() == "as Ctrl-C False", found.stderr


@pytest.mark.parametrize("name", ["_setup_nevergrad", "_nevergrad_opt"])
def test_nevergrad_search_has(name):
    import nevergrad

    found = ray_private.nevergrad_search(nevergrad.optimizers.registry["TwoPointsDE"], seed=0)
    assert hasattr(found, name)


def test_nevergrad_search_depends_on_its_seed_alone():
    import nevergrad
    from ray import tune

    def first_suggestions(seed):
        search = ray_private.nevergrad_search(nevergrad.optimizers.registry["TwoPointsDE"], seed)
        search.set_search_properties("gain", "max", {"reach": tune.uniform(0.0, 1.0)})
        return [search.suggest(str(i))["reach"] for i in range(4)]

    assert first_suggestions(1) == first_suggestions(1) != first_suggestions(2)
