"""What a judge costs."""

import pytest

import zo_dno
from tests.support.answering import Answer, answering
from tests.support.judging import FAST, ask, chat, judgement, way_of
from tests.support.tiny_judge import grey
from tests.support.toys import ToyGenerator
from zo_dno.oracle.policies import policy_for
from zo_dno.rewards.vlm import VLM

PRICES = {"input_price": 10, "output_price": 100, "max_question": 200, "max_answer": 20}
WORST = (200 * 10 + 20 * 100) / 1e6


class TestMoney:
    def test_tokens_make_the_price_and_the_most_is_reserved(self):
        with answering(lambda _: judgement(7)) as (url, _):
            reward = VLM(f"{url}/v1", "judge", **PRICES)
            found = ask(reward)
        assert found.cost == pytest.approx((100 * 10 + 10 * 100) / 1e6)
        assert policy_for(reward, {"attempts": 3}).worst_case(1) == pytest.approx(3 * WORST)
        assert VLM(f"{url}/v1", "a,b", samples=2, temperature=1, **PRICES).policy.price == 4 * WORST

    def test_unreported_tokens_count_as_the_most(self):
        with answering(lambda _: chat("7", used=None)) as (url, _):
            assert ask(VLM(f"{url}/v1", "judge", **PRICES)).cost == pytest.approx(WORST)

    def test_more_than_the_most_is_counted_and_logged(self, caplog):
        with answering(lambda _: chat("7", used=(5000, 10))) as (url, _):
            first, _ = ask(VLM(f"{url}/v1", "judge", **PRICES), grey(0.2), grey(0.3))
        assert first.cost == pytest.approx((5000 * 10 + 10 * 100) / 1e6)
        judge, charge = [one.message for one in caplog.records if one.levelname == "WARNING"]
        assert "vlm charged 0.051 for an image, where 0.004 was expected" in charge
        assert [judge] == [
            "A judge counted 5000 tokens of question and 10 of answer, more than max_question 200 or max_answer 20: "
            "max_cost is too low a bound. Raise them."
        ]

    def test_a_run_stays_below_its_cap(self):
        def moody(asked):
            return Answer(b"{}", 500) if way_of(asked, 10) < 4 else chat("7", used=(200, 20))

        with answering(moody) as (url, asked):
            reward, cap = VLM(f"{url}/v1", "judge", **PRICES), 60 * WORST
            result = zo_dno.optimize(
                ToyGenerator(), reward, queries=200, max_cost=cap, policy={**FAST, "breaker": 0}, threads=1
            )
        assert result.stopped_by == "cost"
        assert len(asked) * WORST * (1 - 1e-9) <= result.cost <= cap * (1 + 1e-9)
