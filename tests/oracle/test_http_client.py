"""The HTTP client of rewards: what is refused when it is made, and addresses of others that are none."""

import asyncio
import pickle

import pytest

from tests.support.answering import Answer, answering
from zo_dno.errors import InputError
from zo_dno.failures import CallError
from zo_dno.oracle.http_client import Client
from zo_dno.run.make_reward import make_reward


@pytest.fixture(params=["missing", "folder", "empty", "words"])
def unreadable(request, tmp_path):
    path = tmp_path / request.param
    if request.param == "folder":
        path.mkdir()
    elif request.param != "missing":
        path.write_text({"empty": "", "words": "no certificate"}[request.param])
    return str(path)


def test_authorities_that_cannot_be_read_are_one_line_at_once(unreadable):
    with pytest.raises(InputError) as raised:
        Client(ca=unreadable)
    said = str(raised.value)
    assert said.startswith(f"ca must be a file of certificates in PEM; {unreadable}: ")
    assert "\n" not in said
    with pytest.raises(InputError, match="ca must be a file of certificates"):
        make_reward("http", {"url": "https://example.org/score", "ca": unreadable})


def test_authorities_are_read_again_in_another_process():
    client = Client(ca=pytest.importorskip("certifi").where())
    assert pickle.loads(pickle.dumps(client)) == client


def test_a_redirect_to_what_is_no_address_is_a_redirect():
    said = "HTTP 307: redirected to another page. Redirects are not followed"
    with answering(lambda _: Answer(status=307, headers={"Location": "http://["})) as (url, _):
        sent = Client().send("POST", url)
        with pytest.raises(CallError, match=said):
            asyncio.run(sent)
