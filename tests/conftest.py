"""What all the tests share."""

import atexit
import copy
import gc
import os
import shutil
import signal
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a shell's background, and processes begun here inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:  # as under nohup
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch; two cores are shared with Ray's workers
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
if "PYTEST_XDIST_WORKER" not in os.environ and "ZO_DNO_TEST_STATE" not in os.environ:
    os.environ["ZO_DNO_TEST_STATE"] = os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="zo-dno-state-")
    atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)  # not the user's own key

from pathlib import Path

import hypothesis
import numpy as np
import pytest
import torch

from tests.support.clocks import Clock
from tests.support.pipelines import tiny_stable_diffusion
from tests.support.toys import ToyGenerator

gc.disable()  # until all test modules are imported: what they import stays
pytest_plugins = ["tests.support.cost", "tests.support.figures"]
torch.set_num_threads(1)
hypothesis.settings.register_profile(  # no test counts on how fast it is
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")
_MEMORY = "/dev/shm"  # tests that store runs wait for the disk in a fifth of their time
if os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free > 4e9:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", _MEMORY)


def pytest_make_parametrize_id(val: object) -> str | None:
    """Give a case with a long text a short name: xdist sends all names to and fro, of which some were a megabyte."""
    if isinstance(val, str | bytes) and len(val) > 100:
        return f"{val[:20]!a} and {len(val) - 20} more"
    return None


def pytest_runtest_setup() -> None:
    """Give every test the same random numbers, wherever it runs: one that fails fails again."""
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the tests that start Ray share two processes and come first; the others stay with their file's fixtures.

    They are a large part of the work, and mostly wait: where they came last, the other processes would wait for them.
    """
    _leave_most_to_the_slow_set(items)
    items.sort(key=_starts_ray, reverse=True)
    for item in items:
        item.add_marker(pytest.mark.xdist_group(_group(item)))


def pytest_collection_finish() -> None:
    """Let later collections of garbage leave out what imports made."""
    gc.freeze()
    gc.enable()


def _leave_most_to_the_slow_set(items: list[pytest.Item]) -> None:
    """Keep as many cases of a test in the fast set as its mark `fast_cases` says, spread evenly."""
    cases = defaultdict(list)
    for item in items:
        for mark in item.iter_markers("fast_cases"):
            cases[item.nodeid.partition("[")[0], mark.args[0]].append(item)
    for (_, number), own in cases.items():
        fast = {round(place * (len(own) - 1) / max(1, number - 1)) for place in range(number)}
        for place, item in enumerate(own):
            if place not in fast:
                item.add_marker(pytest.mark.slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Stop Ray after the last test that uses it and after that test's fixtures, which stop their actors.

    Also after a test that worked in another folder: workers find modules where Ray was started.
    """
    elsewhere = Path.cwd() != item.config.rootpath
    yield
    if _starts_ray(item) and (elsewhere or not (nextitem and _starts_ray(nextitem))):
        import ray

        ray.shutdown()


def _group(item: pytest.Item) -> str:
    if _starts_ray(item):
        return "ray of actors" if "distributed" in item.path.parts else "ray"
    if "found" in getattr(item, "fixturenames", ()):
        return "comparison"  # which the tests of a folder share
    if item.get_closest_marker("notebook") is not None:
        return item.nodeid
    return str(item.path.relative_to(item.config.rootpath))


def _starts_ray(item: pytest.Item) -> bool:
    return item.get_closest_marker("ray") is not None


@pytest.fixture(scope="session")
def stable_diffusion_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("tiny-stable-diffusion")
    (tokenizer := folder / "tokenizer-files").mkdir()
    tiny_stable_diffusion(tokenizer).save_pretrained(folder / "pipeline")
    return folder / "pipeline"


@pytest.fixture(scope="session")
def loaded_stable_diffusion(stable_diffusion_folder):
    from diffusers import DiffusionPipeline

    pipeline = DiffusionPipeline.from_pretrained(str(stable_diffusion_folder))
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


@pytest.fixture
def stable_diffusion(loaded_stable_diffusion):
    return copy.deepcopy(loaded_stable_diffusion)


@pytest.fixture
def toy() -> ToyGenerator:
    return ToyGenerator()


@pytest.fixture
def clock(monkeypatch) -> Clock:
    """Let the test say when the timeouts of calls have passed."""
    return Clock().put_in_place(monkeypatch)


@pytest.fixture(autouse=True)
def _forget_modules_that_the_test_wrote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Drop modules imported from temporary folders: another test's file may have the same name."""
    before = set(sys.modules)
    yield
    temporary = str(tmp_path_factory.getbasetemp())
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(temporary):
            del sys.modules[name]
