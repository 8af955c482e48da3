"""A limit on what a test costs: above it a test has to be marked slow, and so leaves the fast set."""

import os
import resource
import sys
import time
from collections.abc import Generator
from typing import Any

import pytest

LIMIT = 10.0
"""Seconds of CPU time of a test, its children included. Wall time would also measure how busy the machine is.

Twice what the mark `slow` stands for, since processors differ by as much: a test must not pass on one of them alone."""

_LIBRARY = 100
"""New modules above which a test is not judged: it is the first to need a library, and pays for loading it."""

_spent = pytest.StashKey[float]()
_shared = 0.0  # of fixtures that serve several tests, since the test at hand began


def cpu_seconds() -> float:
    """Return the CPU time of this process and of its children that ended."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
    """Leave out what other tests share."""
    global _shared
    before, other = cpu_seconds(), _shared
    try:
        return (yield)
    finally:
        if fixturedef.scope != "function":
            _shared = other + cpu_seconds() - before


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, Any, Any]:
    global _shared
    _shared, before, modules = 0.0, cpu_seconds(), len(sys.modules)
    try:
        return (yield)
    finally:
        loads = len(sys.modules) - modules > _LIBRARY
        item.stash[_spent] = 0.0 if loads else cpu_seconds() - before - _shared


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, Any, Any]:
    before, modules = cpu_seconds(), len(sys.modules)
    result = yield
    spent = item.stash[_spent] + cpu_seconds() - before
    if os.environ.get("CI") and spent > LIMIT and len(sys.modules) - modules <= _LIBRARY and not _may_be_slow(item):
        pytest.fail(
            f"a test of the fast set must take at most {LIMIT:g} s of CPU time; took {spent:.1f}. Mark it slow."
        )
    return result


def _may_be_slow(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("slow", "notebook"))
