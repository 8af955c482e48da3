"""A process that dies at any single write, or whose disk is full then: the run goes on to the same end."""

from typing import ClassVar

import pytest

import zo_dno
from tests.support.dying import KilledError, going_wrong
from tests.support.resuming import content, resume, run, settled
from zo_dno.call_policy import CallPolicy
from zo_dno.errors import StorageError

SHORT = {"queries": 8, "strategy_options": {"population": 4}, "keep_images": 3}
WARM_UP_QUERIES = 16
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
    "free with requirements": {"require": ["contrast >= 0.01"]},
    "requirements": {"policy": {"price": 0.01, "attempts": 1}, "require": ["contrast >= 0.01"]},
    "held out": {
        "policy": {"price": 0.01, "attempts": 1},
        "held_out": ["tests.end_to_end.test_every_write:Dear"],
    },
}


class Dear(zo_dno.Reward):
    """A held-out reward with a price."""

    name, unit = "dear", "points"
    policy = CallPolicy(price=0.5, attempts=1)
    calls: ClassVar[list[int]] = []

    def __call__(self, images, prompts):
        self.calls.append(1)
        return settled(images, prompts)


def writes_of(tmp_path, options, *, files=False):
    """Return the kinds of a run's writes, in order."""
    with going_wrong(0, "never", files=files) as writes:
        run(tmp_path / "whole", settled, **{**SHORT, **options})
    return writes


def check(tmp_path, at, when, options, *, files=False):
    folder = tmp_path / f"{when}-{at}"
    calls = []
    Dear.calls.clear()

    def counted(images, prompts):
        calls.append(1)
        return settled(images, prompts)

    counted.__name__ = counted.__qualname__ = "settled"
    vars(counted).update(version="1")
    with going_wrong(at, when, files=files), pytest.raises((KilledError, StorageError)):
        run(folder, counted, **{**SHORT, **options})
    if (folder / "config.yaml").exists():
        result = resume(folder, counted)
    else:
        result = run(folder, counted, **{**SHORT, **options})
    assert content(folder) == content(tmp_path / "whole"), (when, at)
    if "policy" in options:  # no answer that was paid for and written is asked for again; one in flight may be
        assert result.cost >= 0.01 * len(calls) + 0.5 * len(Dear.calls) - 1e-9
        others = (result.baseline.queries if result.baseline else 0) + (WARM_UP_QUERIES if "require" in options else 0)
        assert len(calls) <= result.queries + others + 1
    before = len(calls), len(Dear.calls)
    resume(folder, counted)
    assert (len(calls), len(Dear.calls)) == before  # a finished run asks nothing


WAYS = pytest.mark.parametrize("when", ["before", "after", "fails"])


@WAYS
@pytest.mark.parametrize("kind", ["free", "priced"])
@pytest.mark.fast_cases(3)
def test_a_few_writes(tmp_path, kind, when):
    writes = len(writes_of(tmp_path, KINDS[kind], files=True))
    for at in (1, 2, writes // 2, writes):
        check(tmp_path, at, when, KINDS[kind], files=True)


@pytest.mark.slow
@WAYS
def test_every_write_of_a_short_paid_run(tmp_path, when):
    """Of its ledger and of its files."""
    writes = len(writes_of(tmp_path, KINDS["priced"], files=True))
    assert writes >= 30
    print(f"\n{when}: {writes} writes")
    for at in range(1, writes + 1):
        check(tmp_path, at, when, KINDS["priced"], files=True)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "priced"])
def test_every_kind_of_write_of_a_ledger(tmp_path, kind):
    """By turns after one write and before the next: these are the same but for files between them.

    In the middle of writes that repeat, such as the answers of a population, only a count differs, which the short paid
    run has every value of. The first writes with pre-selection are those of every paid run.
    """
    kinds = writes_of(tmp_path, KINDS[kind])
    begin = len(kinds) - 50 if kind == "screened" else 0
    ends = [done for done in range(begin, len(kinds) + 1) if not repeats(kinds, done)]
    assert len(ends) >= 4
    print(f"\n{kind}: {len(ends)} of {len(kinds)} writes")
    for done in ends:
        at, when = (done, "after") if done % 2 or done == len(kinds) else (done + 1, "before")
        check(tmp_path, at, when, KINDS[kind])


def repeats(kinds, done):
    """Return whether the two writes before a moment are those that the two after it are."""
    return done >= 2 and kinds[done - 2 : done] == kinds[done : done + 2]
