"""Usage of actors by a fake clock."""

from types import SimpleNamespace

from zo_dno.distributed import usage
from zo_dno.distributed.usage import Usage


def test_seconds_of_all_calls_are_summed(monkeypatch):
    now = 0.0
    monkeypatch.setattr(usage, "time", SimpleNamespace(monotonic=lambda: now))
    counted = Usage()
    for time, change in ((1.0, +1), (2.0, +1), (5.0, -1)):
        now = time
        counted.change(change)
    now = 7.0
    assert counted.seconds() == 1 + 2 * 3 + 2
    assert counted.elapsed == 7
