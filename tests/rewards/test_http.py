"""A reward that is asked over HTTP: requests, bad responses, and a key that is kept."""

import base64
import gzip
import html
import io
import itertools
import json
import logging
import socket
from email.parser import BytesParser
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import zo_dno
from tests.support.answering import Answer, answering
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError, RunError
from zo_dno.oracle.http_client import MAX_RESPONSE, Client
from zo_dno.oracle.oracle import Oracle
from zo_dno.rewards.http import HTTP, fill
from zo_dno.run.make_reward import make_reward
from zo_dno.types import Query

KEY = "sk-very-secret-0123456789"
FAST = {"attempts": 2, "first_wait": 0.01}


@pytest.fixture
def key(monkeypatch):
    monkeypatch.setenv("REWARD_KEY", KEY)
    return KEY


def ask(reward, n=1, prompt="sea at dusk", **policies):
    """Score n grey images, by the reward's call policy with some changes."""
    from zo_dno.oracle.policies import policy_for

    oracle = Oracle(reward, policy_for(reward, {**FAST, **policies}))
    images = [np.full((8, 8, 3), 100 + number, dtype=np.uint8) for number in range(n)]
    questions = [Query(number, image, f"{number:064d}", prompt) for number, image in enumerate(images)]
    answers = oracle.ask(questions)
    oracle.close()
    return answers


def value(body, status=200, **headers):
    return lambda _: Answer(json.dumps(body).encode(), status, headers)


def brightness_of(asked):
    """Respond as `serve-reward brightness` would."""
    images = [np.asarray(Image.open(io.BytesIO(base64.b64decode(one)))) for one in json.loads(asked.body)["images"]]
    return Answer(json.dumps({"scores": [image.mean() / 255 for image in images]}).encode())


class TestRequests:
    def test_the_image_arrives_whole(self):
        with answering(brightness_of) as (url, asked):
            answers = ask(HTTP(url, batch=2), n=3)
        assert [answer.score.value for answer in answers] == [pytest.approx((100 + n) / 255) for n in range(3)]
        assert len(asked) == 2
        assert sorted(json.loads(one.body)["prompts"] for one in asked) == [["sea at dusk"], ["sea at dusk"] * 2]

    def test_a_template_is_filled(self):
        request = '{"input": {"picture": "data:image/png;base64,{image}", "text": "of: {prompt}"}, "n": 1}'
        with answering(value({"data": [{"score": "7.5"}]})) as (url, asked):
            (answer,) = ask(HTTP(url, request=request, pointer="/data/0/score"), prompt='say {image} "now"')
        assert answer.score.value == 7.5
        posted = json.loads(asked[0].body)
        assert posted["input"]["text"] == 'of: say {image} "now"'
        assert posted["input"]["picture"].startswith("data:image/png;base64,iVBOR")
        assert posted["n"] == 1

    def test_multipart(self):
        with answering(value({"score": 1})) as (url, asked):
            ask(HTTP(url, body="multipart", pointer="/score", request={"caption": "{prompt}"}))
        head = f"content-type: {asked[0].headers['content-type']}\n\n".encode()
        parts = {
            part.get_param("name", header="content-disposition"): part
            for part in BytesParser().parsebytes(head + asked[0].body).get_payload()
        }
        assert parts["caption"].get_payload() == "sea at dusk"
        assert parts["image"].get_content_type() == "image/png"
        assert Image.open(io.BytesIO(parts["image"].get_payload(decode=True))).size == (8, 8)

    def test_a_url_template(self):
        with answering(value(3)) as (url, asked):
            reward = HTTP(f"{url}/score?text={{prompt}}&png={{image}}", body="none", method="GET", pointer="")
            (answer,) = ask(reward, prompt="a & b/{image}")
        assert answer.score.value == 3
        found = parse_qs(urlsplit(asked[0].path).query)
        assert found["text"] == ["a & b/{image}"]
        assert base64.b64decode(found["png"][0])[:4] == b"\x89PNG"

    def test_gzip_both_ways(self):
        packed = gzip.compress(b'{"scores": [4]}')
        with answering(lambda _: Answer(packed, headers={"Content-Encoding": "gzip"})) as (url, asked):
            (answer,) = ask(HTTP(url, compress=True))
        assert answer.score.value == 4
        assert json.loads(gzip.decompress(asked[0].body))["prompts"] == ["sea at dusk"]

    def test_a_repeated_request_has_the_same_key(self):
        codes = iter([503, 200, 200])
        with answering(lambda _: Answer(b'{"scores": [1]}', next(codes))) as (url, asked):
            ask(HTTP(url), n=2, in_flight=1)
        first, again, other = (one.headers["idempotency-key"] for one in asked)
        assert first == again != other

    def test_the_key_is_sent_as_the_options_say(self, key):
        with answering(value({"scores": [1]})) as (url, asked):
            ask(HTTP(url, key_env="REWARD_KEY"))
            ask(HTTP(url, key_env="REWARD_KEY", key_header="X-Key", key_prefix=""))
        assert asked[0].headers["authorization"] == f"Bearer {KEY}"
        assert asked[1].headers["x-key"] == KEY
        assert "authorization" not in asked[1].headers

    def test_an_object_brings_more_than_a_number(self):
        scores = [
            {"value": 2, "cost": 0.5, "tokens": 7, "raw": "two"},
            {"value": None, "error": "no face", "kind": "face"},
        ]
        with answering(value({"scores": scores})) as (url, _):
            scored, missing = ask(HTTP(url, batch=2), n=2)
        assert (scored.score.value, scored.cost, scored.score.tokens, scored.score.raw) == (2, 0.5, 7, "two")
        assert (missing.score.missing, missing.score.error, missing.score.kind) == (True, "no face", "face")

    def test_implausible_counts_are_ignored(self):
        with answering(value({"scores": [{"value": 2, "cost": -1, "tokens": 10**30}]})) as (url, _):
            (found,) = ask(HTTP(url))
        assert (found.score.value, found.cost, found.score.tokens) == (2, 0.0, 0)


BAD_ANSWERS = {
    "wrong pointer": (value({"score": 1}), "pointer '/scores' is not in the response, an object with 'score'"),
    "list instead": (value([1]), "pointer '/scores' is not in the response, a list"),
    "text": (value({"scores": ["good"]}), "expected a number; got 'good'"),
    "truth": (value({"scores": [True]}), "expected a number; got True"),
    "huge": (value({"scores": [10**400]}), "expected JSON; got 415 bytes"),
    "nothing": (value({"scores": [None]}), "the server has no score"),
    "NaN": (lambda _: Answer(b'{"scores": [NaN]}'), "the reward returned NaN"),
    "too many": (value({"scores": [1, 2]}), "2 scores for 1 images"),
    "out of range": (value({"scores": [11]}), "the reward returned 11.0, outside -inf to 10"),
    "HTML": (
        lambda _: Answer(b"<html><body>Please log in</body></html>", headers={"Content-Type": "text/html"}),
        "expected JSON; got 39 bytes of text/html: <html><body>Please log in</body></html>",
    ),
    "empty": (lambda _: Answer(b""), "expected JSON; got 0 bytes of application/json: nothing"),
    "20 MB": (lambda _: Answer(b'{"scores": [' + b" " * 20_000_000 + b"1]}"), "the response is larger than 4 MiB"),
    "a small file that unpacks to 20 MB": (
        lambda _: Answer(gzip.compress(b" " * 20_000_000), headers={"Content-Encoding": "gzip"}),
        "the response is larger than 4 MiB",
    ),
    "wrong key": (value({"error": {"message": "bad key"}}, 401), "HTTP 401 Unauthorized: bad key"),
    "wrong path": (lambda _: Answer(b"no such page", 404), "HTTP 404 Not Found: no such page"),
    "busy for ever": (value({"detail": "busy"}, 429), "HTTP 429 Too Many Requests: busy"),
}


class TestBadInput:
    @pytest.mark.parametrize("name", BAD_ANSWERS)
    def test_a_bad_response_is_missing_with_a_reason(self, name):
        answer, message = BAD_ANSWERS[name]
        with answering(answer) as (url, _):
            (found,) = ask(HTTP(url, highest=10))
        assert found.score.missing
        assert message in found.score.error
        assert len(found.score.error.splitlines()) == 1
        assert len(found.score.error) < 300

    def test_an_unreachable_server(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            (answer,) = ask(HTTP(f"http://127.0.0.1:{taken.getsockname()[1]}"))
        assert answer.failures == ("connection", "connection")
        assert "ConnectError" in answer.score.error
        (answer,) = ask(HTTP("http://no-such-host.invalid"))
        assert answer.score.kind == "connection"

    def test_a_redirect_is_not_followed_and_the_key_stays(self, key):
        with answering(value({"scores": [1]})) as (other, asked_other):
            to = f"{other.replace('127.0.0.1', 'localhost')}/take?x=1"
            with answering(lambda _: Answer(b"", 307, {"Location": to})) as (url, asked):
                (answer,) = ask(HTTP(url, key_env="REWARD_KEY"))
        assert (len(asked), asked_other) == (1, [])
        assert answer.score.error.startswith(
            f"HTTP 307: redirected to {urlsplit(to).netloc}. Redirects are not followed"
        )

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"url": "127.0.0.1:80"}, "url must be an address such as"),
            ({"url": "ftp://host/"}, "url must be an address such as"),
            ({"url": "http://"}, "url must be an address such as"),
            ({"url": "http://host:x/"}, "url must be an address such as"),
            ({"url": "http://me:password@host/"}, "url must not hold a name or password"),
            ({"url": "ftp://me:password@host/"}, "url must be an address such as"),
            ({"url": "https://host/score?api_key=sk-1"}, "url must not hold a key, since it is written into the run's"),
            ({"url": "https://host/score?a=1&access-token="}, "url must not hold a key"),
            ({"url": "https://host/score?X-Amz-Signature=ab"}, "url must not hold a key"),
            ({"pointer": "scores"}, "pointer must be empty or begin with /"),
            ({"request": "{"}, "request must be JSON"),
            ({"request": "[" * 90_000}, "request must be JSON; it is nested too deeply; got '[["),
            ({"request": "[1]"}, "request must be an object"),
            ({"batch": 0}, "batch must be at least 1; got 0"),
            ({"batch": 2, "request": {"a": "{image}"}}, "batch must be 1 with {image}"),
            ({"key_env": "NO_SUCH_KEY"}, "NO_SUCH_KEY is not set"),
        ],
    )
    def test_options_that_do_not_fit_are_refused(self, options, message):
        with pytest.raises(InputError) as caught:
            make_reward("http", {"url": "http://127.0.0.1:1/", **options})
        assert message in str(caught.value)
        assert len(str(caught.value)) < 400
        assert "password@" not in str(caught.value)

    @pytest.mark.parametrize("url", ["https://host/score?keyboard=1&monkey=2", "http://h/?tokens=3", "http://h/#key=1"])
    def test_other_parameters_of_a_url_are_no_keys(self, url):
        make_reward("http", {"url": url})

    @pytest.mark.parametrize("secret", ["sk-abc123+/=xyz", "k'ey\"<&>90!", "0123456789abcdef" * 4])
    @pytest.mark.parametrize("before", ["", "B", "Be", "Bearer ", "user:"])
    def test_a_key_is_removed_in_every_form_in_which_servers_repeat_it(self, monkeypatch, secret, before):
        monkeypatch.setenv("REWARD_KEY", secret)
        client = HTTP("http://127.0.0.1:1/", key_env="REWARD_KEY")._client
        forms = [
            secret,
            json.dumps(secret),
            repr(secret),
            html.escape(secret),
            quote(secret, safe=""),
            quote_plus(secret),
        ]
        forms.append("".join(f"%{ord(letter):02x}" for letter in secret))
        for after in ("", "x", "xy"):
            forms.append(base64.b64encode(f"{before}{secret}{after}".encode()).decode())
            forms.append(base64.urlsafe_b64encode(f"{before}{secret}{after}".encode()).decode())
        for form in forms:
            said = client.scrub(f"no such key: {form}, ask again")
            assert "***" in said, form
            assert secret not in said

    @pytest.mark.parametrize("bad", ["two words", "line\nbreak", "schlüssel"])
    def test_a_key_that_no_header_can_carry(self, monkeypatch, bad):
        monkeypatch.setenv("REWARD_KEY", bad)
        with pytest.raises(InputError, match="REWARD_KEY must hold a key of printable characters") as caught:
            HTTP("http://127.0.0.1:1/", key_env="REWARD_KEY")
        assert bad not in str(caught.value)

    def test_the_url_is_needed(self):
        with pytest.raises(InputError, match="http needs the option 'url'; got none"):
            make_reward("http")


def echoing():
    """Repeat everything that was sent, in turn as an error, as a missing score and beside a score."""
    turns = itertools.count()

    def answer(asked):
        text, turn = json.dumps(asked.headers), next(turns) % 3
        if turn == 0:
            return Answer(json.dumps({"error": {"message": text[-190:] + KEY}}).encode(), 400)
        score = {"value": None, "kind": text} if turn == 1 else {"value": 1, "raw": text}
        return Answer(json.dumps({"scores": [{**score, "error": text}]}).encode())

    return answer


def test_the_key_is_in_no_file_no_log_and_no_message(tmp_path, key, caplog, capfd):
    """A server that returns the key in responses and in errors."""
    caplog.set_level(logging.DEBUG)
    folder = tmp_path / "run"
    with answering(echoing()) as (url, asked):
        reward = HTTP(url, key_env="REWARD_KEY")
        result = zo_dno.optimize(ToyGenerator(), reward, queries=12, out=folder, policy={"price": 0.1, "breaker": 0})
        with pytest.raises(RunError) as caught:
            broken = HTTP(url, key_env="REWARD_KEY", pointer="/nothing")
            zo_dno.optimize(ToyGenerator(), broken, queries=4, out=tmp_path / "broken", policy={"first_wait": 0.01})
    assert all(KEY in one.headers["authorization"] for one in asked)
    assert result.failed_queries == 8
    seen = "".join((str(caught.value), caplog.text, *capfd.readouterr(), repr(reward), repr(result)))
    assert "***" in "".join(row.raw or row.error for row in result.history)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"ledger.db", "config.yaml", "result.json"} <= {path.name for path in files}
    for content in (seen.encode(), *(path.read_bytes() for path in files)):
        assert KEY.encode() not in content
        assert base64.b64encode(KEY.encode()) not in content


@settings(max_examples=30, deadline=None)
@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_only_placeholders_are_replaced(template):
    filled = fill(template, {"image": "PNG", "prompts": ["a"]})
    assert json.dumps(filled, sort_keys=True) == json.dumps(template, sort_keys=True) or "{" in json.dumps(template)


def test_a_client_opens_again_after_it_was_closed(tmp_path):
    import asyncio

    async def twice(url):
        client = Client()
        found = [await client.send("GET", url)]
        await client.aclose()
        found.append(await client.send("GET", url))
        await client.aclose()
        return found

    with answering(value(5)) as (url, _):
        assert asyncio.run(twice(url)) == [5, 5]
    assert MAX_RESPONSE == 4 * 2**20
