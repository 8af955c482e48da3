"""A server that fails every request with the same 500, and images that judges refuse for their size."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from tests.support.answering import Answer, answering
from tests.support.judging import ask, judgement
from tests.support.tiny_judge import grey
from zo_dno.judges.chat_completions import encoded
from zo_dno.rewards.vlm import VLM

PANIC = Answer(b'{"error": "height:30 must be larger than factor:32 (request 0a1b2c3d4e)"}', 500)


def test_a_failure_for_good_does_not_cost_all_attempts_of_every_image():
    with answering(lambda _: PANIC) as (url, asked):
        images = [grey(shade, side=40) for shade in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)]
        found = ask(VLM(f"{url}/v1", "judge"), *images, attempts=5, first_wait=0.001, in_flight=1)
    assert len(asked) == 5 + 7
    assert all(one.score.kind == "HTTP 500" for one in found)
    assert found[-1].score.error.endswith("(for every request so far, so it is not sent again)")


def test_a_server_that_has_responded_is_asked_again():
    answers = iter([judgement(7), *[PANIC] * 9, judgement(7)])
    with answering(lambda _: next(answers)) as (url, _):
        options = {"attempts": 5, "first_wait": 0.001, "in_flight": 1, "breaker": 0}
        found = ask(VLM(f"{url}/v1", "judge"), *(grey(0.1 * shade) for shade in range(1, 4)), **options)
    assert [one.attempts for one in found] == [1, 5, 5]
    assert found[2].score.value == 7


def decoded(png):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))))


@pytest.mark.parametrize(
    ("size", "becomes"),
    [
        ((8, 8), (32, 32)),
        ((20, 300), (40, 600)),
        ((1000, 8), (1000, 32)),
        ((3000, 10), (1024, 32)),
        ((32, 40), (32, 40)),
    ],
)
def test_small_images_are_enlarged_or_padded(size, becomes):
    pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    sent = decoded(encoded(Image.fromarray(pixels), 1024, 32))
    assert sent.shape[:2] == becomes[::-1]
    if max(size) <= 1024 and becomes != (1000, 32):
        factor = becomes[0] // size[0]
        assert np.array_equal(sent[::factor, ::factor], pixels)  # no colour is changed


def test_a_judge_is_sent_no_image_that_is_too_small():
    with answering(lambda _: judgement(7)) as (url, asked):
        ask(VLM(f"{url}/v1", "judge"), grey(0.5, side=8))
        ask(VLM(f"{url}/v1", "judge", smallest_side=1), grey(0.5, side=8))
    urls = [json.loads(one.body)["messages"][0]["content"][0]["image_url"]["url"] for one in asked]
    assert [decoded(one.partition(",")[2]).shape[0] for one in urls] == [32, 8]
