import math

import pytest

from tests.support.oracles import Batched, Flaky, ask, queries, value
from zo_dno.call_policy import CallPolicy
from zo_dno.failures import CallError, Failure
from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.oracle.oracle import Oracle


@pytest.mark.parametrize("in_flight", [1, 4])
def test_it_opens_when_every_call_fails(in_flight):
    calls = []

    def dead(images, prompts):
        calls.append(1)
        raise PermissionError("bad key")

    oracle = Oracle(FunctionReward(dead), CallPolicy(breaker=5, in_flight=in_flight))
    with pytest.raises(
        PauseError, match=r"the last \d+ queries all failed, at last with: PermissionError: bad key"
    ) as caught:
        oracle.ask(queries(range(50)))
    oracle.close()
    assert 5 <= len(calls) < 5 + in_flight
    # threads end in any order
    assert sorted(one.id for one in caught.value.unscored) == list(range(len(calls)))


def test_it_counts_across_batches_and_starts_again_after_a_score():
    flaky = Flaky({1: 9, 2: 9, 4: 9, 5: 9, 6: 9}, ValueError("no"))
    oracle = Oracle(FunctionReward(flaky), CallPolicy(breaker=3))
    oracle.ask(queries([0, 1, 2]))
    oracle.ask(queries([3, 4, 5]))
    with pytest.raises(PauseError) as caught:
        oracle.ask(queries([6, 7]))
    assert [one.prompt for one in caught.value.unscored] == ["prompt 6"]  # the others are of earlier batches


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize(
    ("seconds", "wait"), [(86_400, r"86400 s, until \d{4}-\d\d-\d\d \d\d:\d\d"), (1e300, "longer than a year")]
)
def test_a_long_retry_after_opens_it_at_once_and_says_until_when(in_flight, seconds, wait):
    """A daily quota, for which a run must not sleep without saying so."""
    busy = CallError(Failure("HTTP 429", "HTTP 429", True, billed=False, retry_after=seconds))
    oracle = Oracle(FunctionReward(Flaky({0: 1}, busy)), CallPolicy(in_flight=in_flight, breaker=0))
    with pytest.raises(PauseError, match=rf"HTTP 429; the server asks to wait {wait}$") as caught:
        oracle.ask(queries(range(9)))
    assert [one.prompt for one in caught.value.unscored][:1] == ["prompt 0"]
    assert all(not response.score.missing for response in oracle.ask(queries(range(1, 9))))  # closed by the next batch
    oracle.close()


def test_all_calls_of_a_failed_query_count():
    oracle = Oracle(FunctionReward(Flaky({0: 9, 1: 9})), CallPolicy(breaker=6, attempts=3, first_wait=0.001))
    with pytest.raises(PauseError, match="the last 2 queries all failed"):
        oracle.ask(queries(range(5)))


def test_a_failed_call_for_many_images_counts_once():
    calls = []

    def fails_once(images, prompts):
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("once")
        return value(images, prompts)

    responses = ask(Batched(fails_once), range(8), breaker=2)
    assert [response.score.missing for response in responses] == [True] * 4 + [False] * 4


def test_missing_scores_of_successful_calls_do_not_open_it():
    responses = ask(lambda images: [math.nan], range(50), breaker=3)
    assert all(response.score.kind == "NaN" for response in responses)
