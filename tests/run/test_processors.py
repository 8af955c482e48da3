"""The number of processors, on systems that limit a process to some of them and on those that do not."""

import os
from pathlib import Path

import torch

import zo_dno
from zo_dno.run.config import validated
from zo_dno.run.from_config import with_threads
from zo_dno.run.processors import processors


def test_those_that_the_process_may_use_are_counted(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {2, 5, 7}, raising=False)
    assert processors() == 3


def test_a_system_that_limits_no_process_has_those_of_the_machine(monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)
    assert processors() == 6
    assert with_threads(validated({"prompt": "sea", "generators": 2})).threads == 3


def test_no_other_module_asks_the_system_itself():
    root = Path(zo_dno.__file__).parents[1]
    folders = [root / name for name in ("zo_dno", "rewards", "strategies", "benchmarks")]
    paths = [path for folder in folders for path in folder.rglob("*.py")]
    asking = {path.name for path in paths if "os.sched_" in path.read_text(encoding="utf-8")}
    assert asking == {"processors.py"}
