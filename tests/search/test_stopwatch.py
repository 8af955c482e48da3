"""The stopwatch: every second counts in one phase."""

from types import SimpleNamespace

import pytest

from zo_dno.search import stopwatch
from zo_dno.storage.ledger import PopulationRow


@pytest.fixture
def clock(monkeypatch):
    now = SimpleNamespace(time=100.0)
    monkeypatch.setattr(stopwatch, "time", SimpleNamespace(perf_counter=lambda: now.time))
    return now


def test_rendering_counts_as_generate_and_the_rest_of_scoring_as_score(clock):
    renderer = SimpleNamespace(busy=0.0)
    watch = stopwatch.Stopwatch(renderer)
    with watch.scoring():
        clock.time, renderer.busy = 110.0, 4.0
        with watch.strategy():
            clock.time += 1
        watch.lap()
        assert (watch.seconds["generate"], watch.seconds["score"], watch.seconds["strategy"]) == (4, 6, 1)
        clock.time += 2
    clock.time += 3
    watch.stop()
    assert watch.in_phases == 13
    assert (watch.seconds["score"], watch.seconds["total"], watch.seconds["other"]) == (8, 16, 3)


def test_a_resumed_search_continues_from_the_recorded_times(clock):
    renderer = SimpleNamespace(busy=0.0)
    first = stopwatch.Stopwatch(renderer)
    with first.strategy():
        clock.time += 5
    row = first.stamped(PopulationRow("search", 0, 0, 1, "hash"))
    second = stopwatch.Stopwatch(renderer)
    second.recall(row)
    clock.time += 2
    assert second.elapsed == 7
    assert second.stamped(row).strategy_seconds == 5
