import threading
from dataclasses import fields, replace
from itertools import count

import pytest

from tests.support.clocks import PATIENCE
from tests.support.oracles import Flaky, ask, queries, value
from zo_dno.call_policy import CallPolicy
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.oracle.oracle import Oracle
from zo_dno.oracle.purse import Purse
from zo_dno.storage.ledger import QueryRow
from zo_dno.types import Score


class Priced:
    """Notes how much is reserved while a call is in flight."""

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
    responses = oracle.ask(queries(range(20)))
    completed = [response for response in responses if response is not None]
    assert reward.calls == len(completed) == 8  # 0.8 spent: the next could cost 3 x 0.1
    assert purse.spent == pytest.approx(0.8)
    assert purse.reserved == pytest.approx(0.0)
    assert reward.most <= 1.0 + 1e-9


def test_calls_that_may_have_been_charged_count():
    reset, refused = ConnectionResetError(104, "reset"), ConnectionRefusedError(111, "refused")
    for error, cost in ((reset, 0.3), (refused, 0.1)):
        (response,) = ask(Flaky({0: 2}, error), [0], price=0.1)
        assert response.cost == pytest.approx(cost)
    (response,) = ask(Flaky({0: 9}, reset), [0], price=0.1, attempts=3)
    assert response.score.missing
    assert response.cost == pytest.approx(0.3)


def test_tokens_are_priced():
    def judge(images, prompts):
        return [Score(1.0, tokens=500)]

    policy = {"token_price": 2.0, "max_tokens": 1000}
    (response,) = ask(judge, [0], **policy)
    assert response.cost == pytest.approx(500 * 2 / 1e6)
    (response,) = ask(lambda images: [1.0], [0], **policy)  # an unknown number of tokens counts as the most
    assert response.cost == pytest.approx(1000 * 2 / 1e6)
    assert CallPolicy(**policy, attempts=4).worst_case(1) == pytest.approx(4 * 1000 * 2 / 1e6)


def test_a_server_that_charges_more_than_its_price_is_named_and_reserved_for(caplog):
    """Calls in flight may exceed the cap, as their charge is not known before; no later call does."""
    calls = []

    def dear(images, prompts):
        calls.append(1)
        return [Score(1.0, cost=0.3)]

    purse = Purse(1.0)
    policy = CallPolicy(price=0.01, attempts=1, in_flight=2)
    oracle = Oracle(FunctionReward(dear), policy, purse=purse)
    responses = oracle.ask(queries(range(20)))
    assert len(calls) == 3  # two in flight, then one more for which 0.3 were left
    assert purse.spent == pytest.approx(0.9)
    assert sum(response is None for response in responses) == 17
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "charged 0.3 for an image, where 0.01 was expected" in warning


def test_calls_in_flight_are_reserved_for_once_the_charge_is_known():
    """The second call ends after the third: until then 0.3 are reserved for it, so that there is no fourth."""
    numbers, third_is_known, answered = count(), threading.Event(), []

    def dear(images, prompts):
        if next(numbers) == 1:
            assert third_is_known.wait(PATIENCE)
        return [Score(1.0, cost=0.3)]

    def on_scored(responses):
        answered.extend(responses)
        if len(answered) == 2:
            third_is_known.set()

    purse = Purse(1.0)
    policy = CallPolicy(price=0.01, attempts=1, in_flight=2)
    oracle = Oracle(FunctionReward(dear), policy, purse=purse)
    oracle.ask(queries(range(20)), on_scored=on_scored)
    assert len(answered) == 3
    assert purse.spent == pytest.approx(0.9)
    assert purse.reserved == pytest.approx(0)


def test_what_a_server_charged_in_an_earlier_session_is_reserved_for():
    row = QueryRow(**{field.name: None for field in fields(QueryRow)} | {"value": 1.0, "cost": 0.6, "attempts": 1})
    row = replace(row, image="x", prompt="p", repeat=0, rater="", tokens=0)
    purse = Purse(1.0)
    oracle = Oracle(FunctionReward(value), CallPolicy(price=0.01, attempts=2), purse=purse)
    oracle.recall([row])
    assert oracle.ask(queries([1])) == [None]  # two attempts may cost 1.2
