import asyncio
import math
import os
import signal
import threading
import time
from collections import Counter

import numpy as np
import pytest

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.failures import CallError, Failure
from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.cache import Cache
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.oracle.oracle import Oracle
from zo_dno.oracle.purse import Purse
from zo_dno.reward import Reward
from zo_dno.storage.images import image_hash
from zo_dno.types import Query, Score

BUSY = Failure("busy", "come back later", transient=True, billed=False)
QUICK = {"first_wait": 0.001, "breaker": 0}


def image(value):
    return np.full((4, 4, 3), value, dtype=np.uint8)


def queries(values, **fields):
    return [
        Query(i, image(value), image_hash(image(value)), f"prompt {value}", **fields) for i, value in enumerate(values)
    ]


def value(images, prompts):
    return [float(np.asarray(one)[0, 0, 0]) for one in images]


def ask(reward, values=range(6), **policies):
    oracle = Oracle(
        reward if isinstance(reward, Reward) else FunctionReward(reward), CallPolicy(**{**QUICK, **policies})
    )
    try:
        return oracle.ask(queries(values))
    finally:
        oracle.close()


class Batched(FunctionReward):
    batch = 4


class Waiting(Reward):
    """Answers on the event loop, later images sooner."""

    name, unit, is_async = "waiting", "n", True

    def __init__(self, seconds=0.02):
        self.seconds, self.running, self.most = seconds, 0, 0

    async def __call__(self, images, prompts):
        self.running += 1
        self.most = max(self.most, self.running)
        await asyncio.sleep(self.seconds * (10 - value(images, prompts)[0]) / 10)
        self.running -= 1
        return value(images, prompts)


@pytest.mark.parametrize("in_flight", [1, 4])
@pytest.mark.parametrize("reward", [FunctionReward(value), Batched(value), Waiting()], ids=["one", "batch", "async"])
def test_every_score_is_on_its_own_image(reward, in_flight):
    answers = ask(reward, in_flight=in_flight)
    assert [answer.score.value for answer in answers] == [0, 1, 2, 3, 4, 5]
    assert [answer.attempts for answer in answers] == [1] * 6


@pytest.mark.parametrize("in_flight", [1, 3, 8])
def test_no_more_than_so_many_are_under_way(in_flight):
    reward = Waiting()
    ask(reward, range(10), in_flight=in_flight)
    assert reward.most == in_flight


def test_functions_wait_in_threads_when_several_are_under_way():
    def slow(images, prompts):
        time.sleep(0.2)
        return value(images, prompts)

    started = time.monotonic()
    assert [answer.score.value for answer in ask(slow, range(16), in_flight=16)] == list(range(16))
    assert time.monotonic() - started < 2.4  # one after the other takes 3.2


def test_coroutine_functions_are_awaited_side_by_side():
    running = [0, 0]

    async def judge(images):
        running[0] += 1
        running[1] = max(running)
        await asyncio.sleep(0.02)
        running[0] -= 1
        return value(images, ())

    class Judge:
        async def __call__(self, images, prompts):
            return value(images, prompts)

    assert [answer.score.value for answer in ask(judge, range(12), in_flight=4)] == list(range(12))
    assert running == [0, 4]
    assert [answer.score.value for answer in ask(Judge())] == list(range(6))


def test_prompts_go_with_their_images():
    seen = []

    def watched(images, prompts):
        seen.append(list(prompts))
        return value(images, prompts)

    ask(Batched(watched))
    assert seen == [[f"prompt {i}" for i in range(4)], ["prompt 4", "prompt 5"]]


def test_a_function_of_images_alone_will_do():
    assert [answer.score.value for answer in ask(lambda images: [1.0] * len(images))] == [1] * 6


def test_a_failed_call_loses_its_own_images_only():
    def picky(images, prompts):
        if any(np.asarray(one).max() == 5 for one in images):
            raise KeyError("five")
        return value(images, prompts)

    answers = ask(Batched(picky))
    assert [answer.score.missing for answer in answers] == [False] * 4 + [True] * 2
    assert answers[4].score.error == "KeyError: 'five'"
    assert [answer.score.missing for answer in ask(picky)] == [False] * 5 + [True]


@pytest.mark.parametrize("in_flight", [1, 2])
@pytest.mark.parametrize(
    ("answer", "kind", "error"),
    [
        ([], "wrong count", "0 scores for 1 images"),
        ([1, 2], "wrong count", "2 scores for 1 images"),
        ([math.nan], "NaN", "the reward returned NaN"),
        ([Score(math.nan, error="no face", kind="no face")], "no face", "no face"),
        ([math.inf], "not finite", "the reward returned inf"),
        (["seven"], "ValueError", "could not convert string to float: 'seven'"),
        (None, "TypeError", "TypeError"),
        (3.0, "TypeError", "TypeError"),
    ],
)
def test_what_is_no_score_is_missing_and_says_why(answer, kind, error, in_flight):
    (completed,) = ask(lambda images: answer, [0], in_flight=in_flight)
    assert completed.score.missing
    assert completed.score.kind == kind
    assert error in completed.score.error
    assert completed.attempts == 1


def test_out_of_range_is_missing_with_its_raw_answer():
    class Percent(FunctionReward):
        range = (0.0, 100.0)

    (answer,) = ask(Percent(lambda images: [250.0]), [0])
    assert answer.score.missing
    assert answer.score.kind == "out of range"
    assert answer.score.raw == "250.0"
    assert "outside 0.0 to 100.0" in answer.score.error


def test_a_reward_may_answer_with_scores_of_its_own():
    own = Score(2.0, cost=0.01, raw="two, I think", tokens=7)
    (answer,) = ask(lambda images: [own], [0])
    assert (answer.score.value, answer.cost, answer.score.raw, answer.score.tokens) == (2.0, 0.01, "two, I think", 7)
    assert answer.score.seconds > 0


def test_what_is_no_function_is_refused():
    with pytest.raises(InputError, match="reward must be a function of images and prompts; got 3"):
        FunctionReward(3)


class Flaky:
    """Fails so many times before it answers."""

    def __init__(self, failures, error=None):
        self.left, self.error, self.times = Counter(failures), error or CallError(BUSY), []

    def __call__(self, images, prompts):
        (number,) = value(images, prompts)
        self.times.append(time.monotonic())
        if self.left[number]:
            self.left[number] -= 1
            raise self.error
        return [number]


@pytest.mark.parametrize("in_flight", [1, 3])
def test_what_may_pass_is_tried_again(in_flight):
    answers = ask(Flaky({0: 2, 1: 4, 2: 5, 4: 9}), in_flight=in_flight, attempts=5)
    assert [answer.score.missing for answer in answers] == [False, False, True, False, True, False]
    assert [answer.attempts for answer in answers] == [3, 5, 5, 1, 5, 1]
    assert answers[1].failures == ("busy",) * 4
    assert answers[2].score.kind == "busy"


@pytest.mark.parametrize("in_flight", [1, 3])
def test_what_is_for_good_is_not_tried_again(in_flight):
    answers = ask(Flaky({1: 1}, error=ValueError("bad key")), in_flight=in_flight)
    assert [answer.attempts for answer in answers] == [1] * 6
    assert answers[1].score.error == "ValueError: bad key"


def test_waits_grow_and_a_servers_wish_is_kept():
    flaky = Flaky({0: 3})
    ask(flaky, [0], first_wait=0.04, attempts=4)
    waits = np.diff(flaky.times)
    for wait, least in zip(waits, (0.02, 0.04, 0.08), strict=True):  # at least half of 0.04, 0.08, 0.16
        assert least <= wait < 2 * least + 1
    flaky = Flaky({0: 1}, error=CallError(Failure("HTTP 429", "busy", True, False, retry_after=0.3)))
    ask(flaky, [0])
    assert 0.3 <= np.diff(flaky.times)[0] < 1.5


@pytest.mark.parametrize("in_flight", [1, 2])
def test_a_wait_that_the_deadline_cuts_off_is_not_begun(in_flight):
    flaky = Flaky({0: 1}, error=CallError(Failure("HTTP 429", "busy", True, False, retry_after=3600)))
    started = time.monotonic()
    (answer,) = ask(flaky, [0], deadline=5, in_flight=in_flight)
    assert answer.score.kind == "HTTP 429"
    assert time.monotonic() - started < 4


def test_a_call_that_hangs_is_given_up_and_made_again():
    calls = []

    def hangs_once(images, prompts):
        calls.append(1)
        if len(calls) == 1:
            time.sleep(60)
        return value(images, prompts)

    started = time.monotonic()
    (answer,) = ask(hangs_once, [3], timeout=0.2)
    assert (answer.score.value, answer.attempts, answer.failures) == (3, 2, ("timeout",))
    assert time.monotonic() - started < 5


@pytest.mark.parametrize("reward", [lambda images, prompts: time.sleep(60), Waiting(60)], ids=["thread", "async"])
def test_a_query_past_its_deadline_is_missing(reward):
    started = time.monotonic()
    (answer,) = ask(reward, [3], deadline=0.2)
    assert answer.score.missing
    assert answer.score.kind == "timeout"
    assert answer.score.error == "no response within the deadline of 0.2 s"
    assert answer.attempts == 1
    assert time.monotonic() - started < 5


def test_a_reward_that_ends_its_thread_is_a_failed_query():
    (answer,) = ask(lambda images: exit(), [0], in_flight=2)
    assert answer.score.missing
    assert "SystemExit" in answer.score.error


def test_requests_are_spread_over_the_minute():
    """240 a minute are 4 a second, in bursts of at most 4: 13 calls take at least 2 s and a little more."""
    times = []

    def timed(images, prompts):
        times.append(time.monotonic())
        return value(images, prompts)

    ask(timed, range(13), in_flight=13, requests_per_minute=240)
    times.sort()
    assert all(times[i + 5] - times[i] > 0.2 for i in range(8))
    assert 2.0 <= times[-1] - times[0] < 12


def test_tokens_are_spread_over_the_minute():
    """60,000 a minute are 1,000 a second, one call's worth: three calls take at least 2 s less a little."""
    started = time.monotonic()
    ask(value, range(3), in_flight=5, tokens_per_minute=60_000, max_tokens=1000)
    assert 1.9 <= time.monotonic() - started < 12


def test_waiting_for_a_rate_limit_is_not_on_the_clock():
    answers = ask(value, range(3), in_flight=3, requests_per_minute=120, deadline=0.3)
    assert not any(answer.score.missing for answer in answers)


def test_equal_questions_are_asked_once():
    seen = []

    def counted(images, prompts):
        seen.extend(value(images, prompts))
        return value(images, prompts)

    answers = ask(counted, [1, 2, 1, 1, 2])
    assert seen == [1, 2]
    assert [answer.score.value for answer in answers] == [1, 2, 1, 1, 2]
    assert [answer.cached for answer in answers] == [False, False, True, True, True]
    assert [answer.attempts for answer in answers] == [1, 1, 0, 0, 0]


def test_equal_questions_share_a_failure():
    answers = ask(Flaky({1: 9}, ValueError("no")), [1, 2, 1])
    assert [answer.score.missing for answer in answers] == [True, False, True]


def test_repetitions_and_other_raters_are_asked():
    seen = []
    oracle = Oracle(FunctionReward(lambda images: [float(seen.append(1) or len(seen))]))
    first, again = oracle.ask(queries([5])), oracle.ask(queries([5]))
    assert (first[0].score.value, again[0].score.value, again[0].cached) == (1, 1, True)
    assert oracle.ask(queries([5], repeat=1))[0].score.value == 2
    assert oracle.ask(queries([5], rater="bo"))[0].score.value == 3


def test_a_file_of_answers_is_shared(tmp_path):
    class Settled(FunctionReward):
        quality = 1

        @property
        def settings(self):
            return {"quality": self.quality}

    def oracle(quality=1):
        seen.clear()
        reward = Settled(counted)
        reward.quality = quality
        return Oracle(reward, cache=Cache(tmp_path / "answers.db"))

    seen = []

    def counted(images, prompts):
        seen.extend(value(images, prompts))
        return value(images, prompts)

    oracle().ask(queries([1, 2, 3]))
    answers = oracle().ask(queries([2, 4]))
    assert seen == [4]
    assert [answer.cached for answer in answers] == [True, False]
    oracle(5).ask(queries([2]))  # other settings are another question
    assert seen == [2]


def test_what_is_said_beside_a_value_is_remembered(tmp_path):
    said = Score(
        2.0, components={"sharp": 3, "clear": 0.5, "pretty": math.nan}, spread=0.0, reward_violation=1.5, tokens=7
    )

    def oracle():
        return Oracle(FunctionReward(lambda images: [said], "judge"), cache=Cache(tmp_path / "answers.db"))

    first = oracle()
    answers = [first.ask(queries([1]))[0], first.ask(queries([1]))[0], oracle().ask(queries([1]))[0]]
    assert [(answer.cached, answer.score.tokens) for answer in answers] == [(False, 7), (True, 0), (True, 0)]
    for score in (answer.score for answer in answers):
        assert (score.value, score.components, score.spread, score.reward_violation) == (
            2.0,
            {"sharp": 3, "clear": 0.5},
            0,
            1.5,
        )


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"components": {"sharp": "very"}}, "must be real number"),
        ({"reward_violation": -1.0}, "reward_violation must be at least 0"),
    ],
)
def test_what_is_said_beside_a_value_must_be_numbers(said, error):
    (answer,) = ask(lambda images: [Score(2.0, **said)], [0])
    assert answer.score.missing
    assert error in answer.score.error


def test_missing_scores_are_not_remembered(tmp_path):
    flaky = Flaky({1: 1}, ValueError("no"))
    oracle = Oracle(FunctionReward(flaky), cache=Cache(tmp_path / "answers.db"))
    assert oracle.ask(queries([1]))[0].score.missing
    assert oracle.ask(queries([1]))[0].score.value == 1


def test_a_cache_that_is_none(tmp_path):
    (tmp_path / "notes.txt").write_text("these are my notes, and no cache" * 100)
    with pytest.raises(InputError, match="cache must be a writable file of scores"):
        Cache(tmp_path / "notes.txt")


class Priced:
    """Says how much was reserved while a call was under way."""

    def __init__(self, purse):
        self.purse, self.most, self.calls = purse, 0.0, 0

    def __call__(self, images, prompts):
        self.calls += 1
        self.most = max(self.most, self.purse.spent + self.purse.reserved)
        return value(images, prompts)


@pytest.mark.parametrize("in_flight", [1, 4])
def test_the_cap_holds_with_the_worst_case_reserved(in_flight):
    purse = Purse(1.0)
    reward = Priced(purse)
    oracle = Oracle(FunctionReward(reward), CallPolicy(price=0.1, attempts=3, in_flight=in_flight), purse=purse)
    answers = oracle.ask(queries(range(20)))
    completed = [answer for answer in answers if answer is not None]
    assert reward.calls == len(completed) == 8  # 0.8 spent: the next could cost 3 x 0.1
    assert purse.spent == pytest.approx(0.8)
    assert purse.reserved == pytest.approx(0.0)
    assert reward.most <= 1.0 + 1e-9


def test_calls_that_may_have_been_charged_are_counted():
    reset, refused = ConnectionResetError(104, "reset"), ConnectionRefusedError(111, "refused")
    for error, cost in ((reset, 0.3), (refused, 0.1)):
        (answer,) = ask(Flaky({0: 2}, error), [0], price=0.1)
        assert answer.cost == pytest.approx(cost)
    (answer,) = ask(Flaky({0: 9}, reset), [0], price=0.1, attempts=3)
    assert answer.score.missing
    assert answer.cost == pytest.approx(0.3)


def test_tokens_are_priced():
    def judge(images, prompts):
        return [Score(1.0, tokens=500)]

    policies = {"token_price": 2.0, "max_tokens": 1000}
    (answer,) = ask(judge, [0], **policies)
    assert answer.cost == pytest.approx(500 * 2 / 1e6)
    (answer,) = ask(lambda images: [1.0], [0], **policies)  # it does not say: the most that it can be
    assert answer.cost == pytest.approx(1000 * 2 / 1e6)
    assert CallPolicy(**policies, attempts=4).worst_case(1) == pytest.approx(4 * 1000 * 2 / 1e6)


@pytest.mark.parametrize("in_flight", [1, 4])
def test_the_breaker_opens_when_everything_fails(in_flight):
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


def test_the_breaker_counts_across_rounds_and_forgets_after_an_answer():
    flaky = Flaky({1: 9, 2: 9, 4: 9, 5: 9, 6: 9}, ValueError("no"))
    oracle = Oracle(FunctionReward(flaky), CallPolicy(breaker=3))
    oracle.ask(queries([0, 1, 2]))
    oracle.ask(queries([3, 4, 5]))
    with pytest.raises(PauseError) as caught:
        oracle.ask(queries([6, 7]))
    assert [one.prompt for one in caught.value.unscored] == ["prompt 6"]  # the others were handed out before


def test_the_calls_of_a_query_that_was_given_up_count():
    oracle = Oracle(FunctionReward(Flaky({0: 9, 1: 9})), CallPolicy(breaker=6, attempts=3, first_wait=0.001))
    with pytest.raises(PauseError, match="the last 2 queries all failed"):
        oracle.ask(queries(range(5)))


def test_one_failed_call_for_many_images_is_one_call():
    calls = []

    def fails_once(images, prompts):
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("once")
        return value(images, prompts)

    answers = ask(Batched(fails_once), range(8), breaker=2)
    assert [answer.score.missing for answer in answers] == [True] * 4 + [False] * 4


def test_scores_that_are_missing_for_their_own_reasons_do_not_open_it():
    answers = ask(lambda images: [math.nan], range(50), breaker=3)
    assert all(answer.score.kind == "NaN" for answer in answers)


def test_ctrl_c_waits_for_what_is_under_way():
    completed = []

    def slow(images, prompts):
        time.sleep(0.3)
        return value(images, prompts)

    oracle = Oracle(FunctionReward(slow), CallPolicy(in_flight=3))
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        oracle.ask(queries(range(9)), on_scored=completed.extend)
    assert sorted(query.id for query, _ in completed) == [0, 1, 2]


def test_questions_are_announced_before_they_leave_and_answers_before_the_next():
    events = []

    def noted(images, prompts):
        events.append(("called", int(value(images, prompts)[0])))
        return value(images, prompts)

    Oracle(FunctionReward(noted)).ask(
        queries(range(3)),
        on_sent=lambda asked: events.extend(("asked", query.id) for query in asked),
        on_scored=lambda placed: events.extend(("answered", query.id) for query, _ in placed),
    )
    assert events == [(what, i) for i in range(3) for what in ("asked", "called", "answered")]


@pytest.mark.parametrize(
    ("policies", "message"),
    [
        ({"in_flight": 0}, "in_flight must be at least 1; got 0"),
        ({"attempts": 0}, "attempts must be at least 1; got 0"),
        ({"timeout": 0}, "timeout must be above 0; got 0"),
        ({"deadline": -1}, "deadline must be above 0; got -1"),
        ({"price": -0.1}, "price must be at least 0; got -0.1"),
        ({"price": math.nan}, "price must be at least 0; got nan"),
        ({"token_price": 1.0}, "max_tokens must be given with token_price"),
        ({"tokens_per_minute": 10.0}, "max_tokens must be given with token_price or tokens_per_minute"),
    ],
)
def test_terms_out_of_range(policies, message):
    with pytest.raises(InputError, match=message):
        CallPolicy(**policies)
