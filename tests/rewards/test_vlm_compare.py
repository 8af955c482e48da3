import asyncio
import base64
import io
import json
import sqlite3
import threading
from collections import Counter

import numpy as np
import pytest
from PIL import Image

import zo_dno
from tests.support.answering import Answer, answering
from tests.support.clocks import PATIENCE
from tests.support.judging import FAST, KEY, bodies, chat
from tests.support.pictures import png as png_file
from tests.support.tiny_judge import grey
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError, RunError
from zo_dno.failures import CallError
from zo_dno.rewards.vlm_compare import VLMCompare
from zo_dno.run.make_reward import make_reward
from zo_dno.storage.images import UnreadableImageError

SHADES = [0.5, 0.2, 0.8, 0.35, 0.65]
PICTURES = [grey(shade, i, side=8) for i, shade in enumerate(SHADES)]


def pair_of(asked):
    """Brightness of the two images of a request, in its order."""
    content = json.loads(asked.body)["messages"][0]["content"]
    files = [part["image_url"]["url"].partition(",")[2] for part in content if part["type"] == "image_url"]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(file)))).mean() for file in files]


def better(letter, **more):
    return chat(json.dumps({"explanation": "It is brighter.", "better": letter}), **more)


def brighter(asked):
    """Prefer the brighter image in either position."""
    first, second = pair_of(asked)
    return better("A" if first > second else "B")


def score(reward, *populations, prompt="a boat"):
    """Score populations one after the other; returns the scores of each."""

    async def all_of_them():
        try:
            return [await reward(images, [prompt] * len(images)) for images in populations]
        finally:
            await reward.aclose()

    return asyncio.run(all_of_them())


def values(scores):
    return [one.value for one in scores]


class TestComparisons:
    def test_scores_rank_as_the_judge_does_and_the_first_image_has_0(self):
        with answering(brighter) as (url, asked):
            (scores,) = score(VLMCompare(f"{url}/v1", "judge", rounds=20), PICTURES)
        assert scores[0].value == 0
        assert np.argsort(values(scores)).tolist() == np.argsort(SHADES).tolist()
        assert all(one.spread > 0 for one in scores[1:])
        assert len(asked) == 2 * 10  # every pair once, in both orders
        assert (
            sum(one.components["won"] for one in scores)
            == sum(one.components["lost"] for one in scores)
            == len(asked) / 2
        )
        assert sum(one.tokens for one in scores) == 110 * len(asked)

    def test_the_request_names_both_images_and_quotes_the_prompt(self):
        with answering(brighter) as (url, asked):
            score(VLMCompare(f"{url}/v1", "judge"), PICTURES[:2], prompt='a "boat"')
        body = bodies(asked)[0]
        kinds = [part.get("text", "picture").split("\n")[0] for part in body["messages"][0]["content"]]
        assert kinds[:4] == ["Image A:", "picture", "Image B:", "picture"]
        assert kinds[4] == 'Which image better shows "a \\"boat\\"", and is better made?'
        assert list(body["response_format"]["json_schema"]["schema"]["properties"]) == ["explanation", "better"]

    def test_every_pair_is_compared_in_both_orders_and_a_bias_for_a_position_decides_nothing(self):
        with answering(lambda _: better("A")) as (url, asked):
            (scores,) = score(VLMCompare(f"{url}/v1", "judge"), PICTURES)
        orders = Counter(tuple(pair_of(one)) for one in asked)
        assert all(orders[pair] == orders[pair[::-1]] for pair in orders)
        assert scores[0].value == 0
        assert all(one.missing and one.kind == "undecided" for one in scores[1:])
        assert (scores[1].components["won"], scores[1].components["lost"]) == (0, 0)
        assert sum(one.components["undecided"] for one in scores) == len(asked)

    def test_unclear_responses_do_not_count(self):
        def sometimes(asked):
            dark = min(pair_of(asked))
            return chat("Both are fine.") if dark < 0.3 * 255 else brighter(asked)

        with answering(sometimes) as (url, _):
            (scores,) = score(VLMCompare(f"{url}/v1", "judge"), PICTURES)
        assert scores[1].missing
        assert min(scores[2].value, scores[4].value) > 0 > scores[3].value

    def test_several_judges_each_have_a_vote(self):
        def contrary(asked):
            first, second = pair_of(asked)
            return better("A" if (first > second) == (json.loads(asked.body)["model"] == "a") else "B")

        with answering(contrary) as (url, _):
            (scores,) = score(VLMCompare(f"{url}/v1", "a,b"), PICTURES)
        assert values(scores) == pytest.approx([0] * 5, abs=0.2)
        assert all(one.components["won"] == one.components["lost"] for one in scores)

    def test_anchors_put_populations_on_one_scale(self):
        dark = [grey(0.05 + 0.02 * i, 20 + i, side=8) for i in range(4)]
        bright = [grey(0.85 + 0.02 * i, 30 + i, side=8) for i in range(4)]
        with answering(brighter) as (url, _):
            _, low, high = map(values, score(VLMCompare(f"{url}/v1", "judge"), PICTURES, dark, bright))
            apart = values(score(VLMCompare(f"{url}/v1", "judge", anchors=0), PICTURES, bright)[1])
        assert max(low) < 0 < min(high)
        assert min(apart) < 0  # nothing says that they are better than what came before

    def test_a_single_image(self):
        with answering(brighter) as (url, asked):
            (scores,) = score(VLMCompare(f"{url}/v1", "judge"), PICTURES[:1])
        assert (values(scores), asked) == ([0], [])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"rounds": 0}, "rounds must be at least 1; got 0"),
            ({"anchors": -1}, "anchors must be at least 0; got -1"),
            ({"at_once": 0}, "at_once must be at least 1; got 0"),
            ({"timeout": 0}, "timeout must be above 0; got 0"),
            ({"url": "http://localhost"}, "url must be the base of an API"),
        ],
    )
    def test_options_that_do_not_fit_are_refused(self, options, message):
        with pytest.raises(InputError, match=message):
            make_reward("vlm_compare", {"url": "http://127.0.0.1:1/v1", "model": "m", **options})


class TestFailures:
    def test_only_missing_pairs_are_requested_again(self, tmp_path):
        """A failed request ends the population; a later call, in this process or another, requests the other pairs."""
        failing = threading.Event()
        failing.set()

        def moody(asked):
            return Answer(b"{}", 503) if failing.is_set() and len(calls) > 9 else brighter(asked)

        with answering(moody) as (url, calls):
            reward = VLMCompare(f"{url}/v1", "judge", at_once=1)
            reward.begin(tmp_path)
            with pytest.raises(CallError) as caught:
                score(reward, PICTURES)
            assert (caught.value.failure.kind, caught.value.failure.billed) == ("HTTP 503", True)
            failing.clear()
            n_before = len(calls)
            again = VLMCompare(f"{url}/v1", "judge")
            again.begin(tmp_path)
            (scores,) = score(again, PICTURES)
            assert 0 < len(calls) - n_before < 18
            n_before = len(calls)
            once_more = VLMCompare(f"{url}/v1", "judge")
            once_more.begin(tmp_path)
            assert values(score(once_more, PICTURES)[0]) == values(scores)
            assert len(calls) == n_before
            assert values(score(VLMCompare(f"{url}/v1", "judge"), PICTURES)[0]) == values(scores)

    def test_a_pair_that_fails_permanently_is_undecided(self, caplog):
        def picky(asked):
            return Answer(b'{"error": "too dark"}', 400) if min(pair_of(asked)) < 0.3 * 255 else brighter(asked)

        with answering(picky) as (url, _):
            (scores,) = score(VLMCompare(f"{url}/v1", "judge"), PICTURES)
        assert scores[1].missing
        assert scores[2].value > 0
        assert "judge could not compare two images, which counts as undecided: HTTP 400" in caplog.text

    @pytest.mark.parametrize(
        ("png", "message"),
        [
            (b"GIF89a", "it is no PNG"),
            (png_file(9_000, 9_000, 1, 0, []), "it has 9000x9000 pixels; at most 67108864 are decoded"),
        ],
        ids=["no image", "large"],
    )
    def test_a_picture_in_the_folder_that_is_none_is_not_decoded(self, tmp_path, png, message):
        """Of an image that is compared again with those of a later population."""
        with answering(brighter) as (url, calls):
            first = VLMCompare(f"{url}/v1", "judge")
            first.begin(tmp_path)
            score(first, PICTURES[:3])
            (path,) = tmp_path.glob("comparisons-*.db")
            with sqlite3.connect(path) as file:
                file.execute("UPDATE image SET png = ?", (png,))
            again, asked = VLMCompare(f"{url}/v1", "judge"), len(calls)
            again.begin(tmp_path)
            with pytest.raises(UnreadableImageError, match=message):
                score(again, PICTURES[3:])
        assert len(calls) == asked

    def test_a_judge_that_always_fails_is_an_error(self):
        def half(asked):
            return brighter(asked) if json.loads(asked.body)["model"] == "a" else Answer(b'{"error": "no model"}', 404)

        with answering(half) as (url, _), pytest.raises(CallError, match="b: HTTP 404 Not Found: no model"):
            score(VLMCompare(f"{url}/v1", "a,b"), PICTURES)

    def test_a_request_that_hangs_times_out(self):
        released = threading.Event()

        def hanging(asked):
            released.wait()
            return brighter(asked)

        with answering(hanging) as (url, _):
            with pytest.raises(CallError, match=r"no response within 0\.1 s"):
                score(VLMCompare(f"{url}/v1", "judge", timeout=0.1), PICTURES[:2])
            released.set()

    def test_at_once_bounds_the_requests_in_flight(self):
        running, most, lock, first_three = 0, 0, threading.Lock(), threading.Barrier(3)

        def counting(asked):
            nonlocal running, most
            with lock:
                running, most = running + 1, max(most, running + 1)
                is_early = len(calls) <= 3
            if is_early:
                first_three.wait(PATIENCE)
            with lock:
                running -= 1
            return brighter(asked)

        with answering(counting) as (url, calls):
            score(VLMCompare(f"{url}/v1", "judge", at_once=3), PICTURES)
        assert most == 3


PRICES = {"input_price": 10, "output_price": 100, "max_question": 100, "max_answer": 10}
RUN = {"seed": 1, "strategy_options": {"population": 8}, "threads": 1, "policy": FAST}


class TestMoney:
    @pytest.mark.parametrize("n", [2, 3, 5, 16])
    @pytest.mark.parametrize("anchors", [0, 1, 2, 5])
    @pytest.mark.fast_cases(3)
    def test_the_price_bounds_every_population(self, n, anchors):
        images = [grey(0.1 + 0.8 * i / n, i, side=8) for i in range(n)]
        with answering(brighter) as (url, asked):
            reward = VLMCompare(f"{url}/v1", "judge", anchors=anchors, **PRICES)
            first, later = score(reward, PICTURES, images)
            n_calls = len(asked) - round(sum(one.tokens for one in first) / 110)
        assert sum(one.cost for one in later) == pytest.approx(n_calls * 0.002)
        assert n_calls * 0.002 <= reward.policy.price * n * (1 + 1e-9)


class TestRuns:
    @pytest.mark.slow
    def test_a_search_is_resumed_and_no_pair_is_compared_twice(self, tmp_path):
        with answering(brighter) as (url, asked):
            options = {"url": f"{url}/v1", "model": "judge"}
            run = {**RUN, "reward_options": options, "horizon": 32}
            whole = zo_dno.optimize(ToyGenerator(), "vlm_compare", queries=32, out=tmp_path / "whole", **run)
            n_calls = len(asked)
            zo_dno.optimize(ToyGenerator(), "vlm_compare", queries=16, out=tmp_path / "parts", **run)
            result = zo_dno.resume(tmp_path / "parts", queries=32, generator=ToyGenerator())
        assert len(asked) == 2 * n_calls
        assert [row.value for row in result.history] == [row.value for row in whole.history]
        assert result.best.z.equal(whole.best.z)
        assert whole.history[0].value == 0
        assert all(
            row.spread is not None and set(row.components) == {"won", "lost", "undecided"} for row in whole.history
        )
        assert whole.best.reward > 1
        assert whole.best.image.mean() > whole.first.image.mean() + 20

    def test_an_unreachable_server_pauses_the_run(self, tmp_path):
        away = threading.Event()
        with answering(lambda asked: Answer(b"{}", 503) if away.is_set() else brighter(asked)) as (url, _):
            run = {**RUN, "reward_options": {"url": f"{url}/v1", "model": "judge"}}
            away.set()
            with pytest.raises(RunError, match="HTTP 503 Service Unavailable"):
                zo_dno.optimize(ToyGenerator(), "vlm_compare", queries=16, out=tmp_path / "run", **run)
            away.clear()
            result = zo_dno.resume(tmp_path / "run", generator=ToyGenerator())
        assert (result.status, result.failed_queries) == ("finished", 0)

    def test_the_key_is_in_no_file(self, tmp_path, monkeypatch):
        monkeypatch.setenv("JUDGE_KEY", KEY)
        with answering(brighter) as (url, asked):
            reward = VLMCompare(f"{url}/v1", "judge", key_env="JUDGE_KEY")
            zo_dno.optimize(ToyGenerator(), reward, queries=8, out=tmp_path / "run", **RUN)
        assert asked[0].headers["authorization"] == f"Bearer {KEY}"
        files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
        assert any(path.name.startswith("comparisons-") for path in files)
        assert not any(KEY.encode() in path.read_bytes() for path in files)

    def test_as_a_held_out_reward_it_needs_no_folder(self):
        with answering(brighter) as (url, _):
            reward = VLMCompare(f"{url}/v1", "judge")
            result = zo_dno.optimize(ToyGenerator(), "brightness", queries=16, seed=1, held_out=[reward], threads=1)
        first, best = result.held_out["vlm_compare"]
        assert first == 0 < best


@pytest.mark.slow
def test_the_comparisons_reach_a_strategy_that_learns_from_choices_and_a_resumed_run_repeats_them(tmp_path):
    options = {"seed": 1, "horizon": 32, "threads": 1, "strategy_options": {"renders": 2}}
    with answering(brighter) as (url, asked):
        reward = VLMCompare(f"{url}/v1", "judge", key_env="")
        whole = zo_dno.optimize(ToyGenerator(), reward, "surrogate", queries=32, out=tmp_path / "one", **options)
        number = len(asked)
        zo_dno.optimize(ToyGenerator(), reward, "surrogate", queries=24, out=tmp_path / "two", **options)
        parts = zo_dno.resume(tmp_path / "two", queries=32, generator=ToyGenerator(), reward=reward)
        assert len(asked) == 2 * number
    assert whole.choices == number / 2  # a comparison is made in both orders
    assert whole.evidence is not None
    assert [row.value for row in parts.history] == [row.value for row in whole.history]
    assert (parts.evidence, parts.choices, parts.best.id) == (whole.evidence, whole.choices, whole.best.id)
