"""A small judge behind a real server."""

import json

import pytest

import zo_dno
from tests.support.judge_server import transformers_serve
from tests.support.judging import ask
from tests.support.tiny_judge import build, grey, level_of
from tests.support.toys import ToyGenerator
from zo_dno.rewards.vlm import VLM
from zo_dno.rewards.vlm_compare import VLMCompare
from zo_dno.storage.ledger import Ledger


@pytest.fixture(scope="module")
def judge(tmp_path_factory):
    """A judge that sees how bright an image is, served by `transformers serve`: the model's name and the API's base."""
    folder = tmp_path_factory.mktemp("judge")
    model = build(folder / "model")
    with transformers_serve(model, folder / "home") as url:
        yield str(model), url


@pytest.mark.slow
class TestRealServer:
    def test_scores_of_brightnesses_that_it_was_not_shown(self, judge):
        model, url = judge
        shades = [0.1, 0.3, 0.5, 0.7, 0.9] * 3
        answers = ask(VLM(url, model), *(grey(shade, 10_000 + i, side=48) for i, shade in enumerate(shades)))
        assert [answer.score.value for answer in answers] == [level_of(shade) for shade in shades]
        assert all(set(json.loads(answer.score.raw)) == {"explanation", "score"} for answer in answers)
        assert all(20 < answer.score.tokens < 100 for answer in answers)

    def test_probabilities_by_typed_questions(self, judge):
        model, url = judge
        reward = VLM(url, model, mode="decision")
        dark, bright = (answer.score for answer in ask(reward, grey(0.1, 7), grey(0.9, 8)))
        assert 0 <= dark.value < 0.2 < 0.8 < bright.value <= 1
        assert json.loads(bright.raw) == {"type": "noul", "noul": bright.value}
        assert bright.tokens > 0
        levels = VLM(url, model, mode="decision", levels="bad,fair,good")
        assert 0 < ask(levels).score.value < 2
        assert (levels.unit, levels.range) == ("level 0-2", (0, 2))

    @pytest.mark.parametrize("mode", ["expected", "yes"])
    def test_it_gives_no_probabilities_of_tokens(self, judge, mode):
        model, url = judge
        found = ask(VLM(url, model, mode=mode))
        assert found.score.error == (
            "the server gave no log-probabilities: it cannot, or leaves them out. Use mode rubric, or mode decision "
            "with transformers serve"
        )

    def test_what_the_server_refuses(self, judge):
        model, url = judge
        assert "HTTP 400 Bad Request: Server is pinned to" in ask(VLM(url, "another")).score.error
        unknown = ask(VLM(url, model, extra={"top_k": 5})).score.error
        assert unknown.startswith(
            "HTTP 422 Unprocessable Entity: Unexpected fields in the request: {'top_k'}. It comes"
        )
        many = ask(VLM(url, model, mode="decision", levels=[f"level {i}" for i in range(30)])).score.error
        assert "this model reads at most 26 options" in many
        assert "HTTP 404" in ask(VLM(f"{url}/v2", model)).score.error

    def test_a_request_after_an_error_succeeds(self, judge):
        """A failing server of transformers drops the connection without notice."""
        model, url = judge
        reward = VLM(url, model, extra={"stop": ["x"]})
        broken = ask(reward)
        assert broken.failures in (("HTTP 500", "HTTP 500"), ("HTTP 500", "connection"))
        answers = ask(VLM(url, model), *(grey(0.5, i) for i in range(4)), in_flight=1)
        assert [answer.score.value for answer in answers] == [5] * 4

    def test_two_images_in_one_request(self, judge):
        """The judge was not trained to compare, so the test only checks requests and responses."""
        model, url = judge
        answers = ask(VLMCompare(url, model), grey(0.1), grey(0.9))
        assert answers[0].score.value == 0
        assert all(answer.failures == () and answer.score.tokens > 40 for answer in answers)

    def test_a_search_for_what_the_judge_likes(self, judge, tmp_path):
        model, url = judge
        options = {"url": url, "model": model, "input_price": 1, "output_price": 2, "max_question": 500}
        result = zo_dno.optimize(
            *(ToyGenerator(), "vlm"),
            queries=48,
            seed=1,
            reward_options=options,
            held_out=["brightness"],
            strategy_options={"population": 8},
            out=tmp_path / "run",
            threads=1,
        )
        assert (result.failed_queries, result.unit) == (0, "score 0-10")
        assert result.best.reward == 9
        assert result.held_out["brightness"][1] > 0.75
        rows = Ledger(tmp_path / "run" / "ledger.db", read_only=True).queries()
        assert all(json.loads(row.raw)["score"] == row.value for row in rows)
        assert all(row.tokens > 0 and row.spread is None for row in rows)
        assert result.cost == pytest.approx(sum(row.cost for row in rows))
        assert 0 < result.cost < 48 * 1e-4
