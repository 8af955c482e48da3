"""A panel of judges without a server: what is requested again, what is averaged, and which failure is raised."""

import asyncio
import math

import pytest

from zo_dno.failures import CallError, Failure
from zo_dno.judges.chat_completions import Usage
from zo_dno.judges.modes import Judgement
from zo_dno.judges.panel import Panel, Prices, worst_of

USED = Usage(100, 10)


def judged(value):
    return Judgement(value, f"said {value}", USED)


def failing(kind, *, transient=True, billed=False, retry_after=None):
    return CallError(Failure(kind, kind, transient=transient, billed=billed, retry_after=retry_after))


def test_a_judgement_before_the_call_is_cancelled_is_not_requested_again():
    panel, asked, hangs = Panel(["a", "b"], 1, None), [], [True]

    async def ask(sample):
        asked.append(sample.name)
        if sample.judge == "b" and hangs:
            hung.set()
            await asyncio.Event().wait()
        return judged(6.0 if sample.judge == "a" else 9.0)

    async def cut_off_and_again():
        task = asyncio.create_task(panel.score("key", ask))
        await hung.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        hangs.clear()
        return await panel.score("key", ask)

    hung = asyncio.Event()
    assert asyncio.run(cut_off_and_again()).value == 7.5
    assert asked == ["a", "b", "b"]


@pytest.mark.parametrize(("key", "asked_again"), [("key", ["b"]), ("", ["a", "b"])], ids=["with a key", "without"])
def test_judgements_are_remembered_by_key_until_the_score_is_there(key, asked_again):
    panel, asked, fails = Panel(["a", "b"], 1, None), [], [True]

    async def ask(sample):
        asked.append(sample.name)
        if sample.judge == "b" and fails:
            raise failing("HTTP 503")
        return judged(4.0)

    with pytest.raises(CallError, match="HTTP 503"):
        asyncio.run(panel.score(key, ask))
    fails.clear()
    asked.clear()
    assert asyncio.run(panel.score(key, ask)).value == 4
    assert asked == asked_again
    asked.clear()
    asyncio.run(panel.score(key, ask))
    assert asked == ["a", "b"]


def test_each_judge_counts_once_however_many_samples_can_be_read():
    panel = Panel(["a", "b"], 2, Prices(1e6, 1e7, 1000, 100))
    values = {"a/1": 2.0, "a/2": math.nan, "b/1": 6.0, "b/2": 10.0}

    async def ask(sample):
        return judged(values[sample.name])

    score = asyncio.run(panel.score("", ask))
    assert score.value == (2 + 8) / 2
    assert score.components == {"a/1": 2, "b/1": 6, "b/2": 10}
    assert score.cost == 4 * (100 + 10 * 10)
    assert score.tokens == 4 * 110


def test_tokens_that_no_server_reports_count_as_the_most():
    assert Prices(1e6, 1e7, 1000, 100).of(Usage(None, 10)) == 1000 + 100
    assert Prices(1e6, 1e7, 1000, 100).most == 1000 + 1000


def test_a_permanent_failure_is_raised_before_a_transient_one_and_then_the_longest_wait():
    busy, later, gone = failing("busy"), failing("later", retry_after=9), failing("gone", transient=False)
    assert worst_of([busy, gone, later], paid=False).failure.kind == "gone"
    assert worst_of([busy, later], paid=False).failure.kind == "later"
    assert worst_of([later, failing("paid", billed=True)], paid=False).failure.billed
    assert worst_of([busy], paid=True).failure.billed
    assert not worst_of([busy], paid=False).failure.billed
    broken = ValueError("a mistake in the code")
    assert worst_of([busy, broken], paid=False) is broken
