"""A process that dies at any single write to its ledger, before or after it: the run goes on to the same end."""

from contextlib import contextmanager

import pytest

from tests.end_to_end.test_resume import content, resume, run, settled
from zo_dno.storage.ledger import Ledger

SHORT = {"queries": 12, "strategy_options": {"population": 4}, "keep_images": 3}
KINDS = {
    "free": {},
    "priced": {"policy": {"price": 0.01, "attempts": 1}},
    "screened": {
        "policy": {"price": 0.01, "attempts": 1},
        "screen": 4,
        "queries": 34,  # of which the first 24 are scored before anything is predicted
        "strategy_options": {"population": 8},
    },
    "repeated": {  # by an exact judge, so that the search goes on after the repeats
        "policy": {"price": 0.01, "attempts": 1},
        "repeats": 8,
        "queries": 28,
        "strategy_options": {"population": 8},
    },
    "lagging": {"policy": {"price": 0.01, "attempts": 1}, "lag": 1},
    "baseline": {"policy": {"price": 0.01, "attempts": 1}, "baseline": 4},
}


class KilledError(BaseException):
    """The end of the process, which nothing handles."""


@contextmanager
def dying(monkeypatch, at, when):
    """Die at a write of any ledger; yields the list of writes so far."""
    writes, writing = [], Ledger._writing

    @contextmanager
    def counted(self):
        writes.append(1)
        if len(writes) == at and when == "before":
            raise KilledError
        with writing(self):
            yield
        if len(writes) == at and when == "after":
            raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "_writing", counted)
        yield writes


def number_of_writes(tmp_path, monkeypatch, options):
    with dying(monkeypatch, 0, "never") as writes:
        run(tmp_path / "whole", settled, **{**SHORT, **options})
    return len(writes)


def check(tmp_path, monkeypatch, at, when, options):
    folder = tmp_path / f"{when}-{at}"
    calls = []

    def counted(images, prompts):
        calls.append(1)
        return settled(images, prompts)

    counted.__name__ = counted.__qualname__ = "settled"
    vars(counted).update(version="1")
    with dying(monkeypatch, at, when), pytest.raises(KilledError):
        run(folder, counted, **{**SHORT, **options})
    result = resume(folder, counted)
    assert content(folder) == content(tmp_path / "whole"), (when, at)
    if options:  # a price: no answer that was written is paid for again; the one in flight may be
        assert len(calls) <= result.queries + (result.baseline.queries if result.baseline else 0) + 1
    before = len(calls)
    resume(folder, counted)
    assert len(calls) == before  # a finished run asks nothing


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", ["free", "priced"])
def test_a_few_writes(tmp_path, monkeypatch, kind, when):
    writes = number_of_writes(tmp_path, monkeypatch, KINDS[kind])
    for at in (1, 2, writes):
        check(tmp_path, monkeypatch, at, when, KINDS[kind])


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_write(tmp_path, monkeypatch, kind, when):
    writes = number_of_writes(tmp_path, monkeypatch, KINDS[kind])
    assert writes >= 5
    print(f"\n{kind}, {when}: {writes} writes")
    for at in range(1, writes + 1):
        check(tmp_path, monkeypatch, at, when, KINDS[kind])
