"""Benchmarks: their generators and figures, without their minutes of measuring."""

import importlib
import math
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from benchmarks import best_of_n, latency, ledger, memory, regularizer, scaling, tables
from benchmarks.__main__ import BY_THEMSELVES, MODULES
from zo_dno.types import Generator

FOLDER = Path(latency.__file__).parent
TOOLS = {"__main__", "figures", "gallery", "pictures"}
"""Modules that measure nothing."""


@pytest.mark.parametrize("made", [latency.SlowGenerator, scaling.Instant, lambda: ledger.Slice(192)])
def test_generators_of_benchmarks_keep_the_protocol(made):
    generator = made()
    assert isinstance(generator, Generator)
    assert generator.layout.d > 0


def test_every_benchmark_is_run_together_with_others_or_by_itself():
    started = {path.stem for path in FOLDER.glob("*.py") if re.search(r"^def main\(", path.read_text(), re.M)}
    assert started - TOOLS == {*MODULES, *BY_THEMSELVES}


def test_every_benchmark_can_be_imported():
    """No other test starts most of them, so that an import that fails would show only when figures are measured."""
    names = [path.relative_to(FOLDER.parent).with_suffix("") for path in FOLDER.rglob("*.py")]
    for name in names:
        importlib.import_module(".".join(name.parts))


@pytest.mark.parametrize("reward", [0.0, -1.5])
def test_a_reward_of_0_is_a_reward(reward):
    assert best_of_n.best_reward(SimpleNamespace(best=SimpleNamespace(reward=reward))) == reward
    assert math.isnan(best_of_n.best_reward(SimpleNamespace(best=SimpleNamespace(reward=None))))


def test_each_size_of_the_regularizer_has_a_peak_of_its_own(monkeypatch):
    did = []
    monkeypatch.setattr(memory, "reset_peak", lambda: did.append("reset"))
    monkeypatch.setattr(memory, "held", lambda: did.append("held") or 30.0)
    monkeypatch.setattr(memory, "peak", lambda: did.append("peak") or 42.0)
    monkeypatch.setattr(regularizer, "seconds", lambda function, repeats=5: 0.0)
    for _ in range(2):
        assert regularizer.cost(1024)["peak_mb"] == 12
    assert did == ["reset", "held", "peak"] * 2


def test_figures_of_the_regularizer_are_shown_and_recorded(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(regularizer, "QUICK", {1024: (4, 2)})
    monkeypatch.setattr(regularizer, "cost", lambda d: {"build_ms": 1.0})
    monkeypatch.setattr(tables, "RECORDS", tmp_path / "figures.jsonl")
    monkeypatch.setattr("torch.set_num_threads", lambda threads: None)
    monkeypatch.setattr("sys.argv", ["benchmarks/regularizer.py", "--quick"])
    monkeypatch.setenv("RECORD", "1")
    regularizer.main()
    (line,) = (tmp_path / "figures.jsonl").read_text().splitlines()
    assert '"benchmark": "regularizer"' in line
    assert '"cost": {"1024": {"build_ms": 1.0}}' in line
    assert "1024: 4 true draws" in capsys.readouterr().out
