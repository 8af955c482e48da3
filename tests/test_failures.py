import email.utils
import json
import time
import urllib.error
from email.message import Message

import httpx2
import pytest

from zo_dno.errors import InputError
from zo_dno.failures import CallError, Failure, failure_of, one_line


def http_error(status, headers=None):
    request = httpx2.Request("POST", "https://judge.example/score?key=SECRET")
    response = httpx2.Response(status, headers=headers, request=request)
    return httpx2.HTTPStatusError(f"{status} for url {request.url}", request=request, response=response)


def urllib_error(status, retry_after=None):
    headers = Message()
    if retry_after:
        headers["Retry-After"] = retry_after
    return urllib.error.HTTPError("https://judge.example/?key=SECRET", status, "reason", headers, None)


@pytest.mark.parametrize("make", [http_error, urllib_error])
@pytest.mark.parametrize(
    ("status", "transient", "billed"),
    [
        (400, False, False),
        (401, False, False),
        (403, False, False),
        (404, False, False),
        (408, True, False),
        (413, False, False),
        (422, False, False),
        (429, True, False),
        (500, True, True),
        (502, True, True),
        (503, True, False),
        (504, True, True),
        (501, False, False),
    ],
)
def test_http_statuses(make, status, transient, billed):
    failure = failure_of(make(status))
    assert (failure.kind, failure.transient, failure.billed) == (f"HTTP {status}", transient, billed)
    assert "SECRET" not in failure.message


def test_retry_after_in_seconds_or_as_a_date():
    assert failure_of(http_error(429, {"Retry-After": "7"})).retry_after == 7
    assert failure_of(urllib_error(429, "2.5")).retry_after == 2.5
    then = email.utils.formatdate(time.time() + 100, usegmt=True)
    assert 95 < failure_of(http_error(503, {"retry-after": then})).retry_after <= 100
    past = email.utils.formatdate(time.time() - 100, usegmt=True)
    assert failure_of(http_error(503, {"retry-after": past})).retry_after == 0
    assert failure_of(http_error(429, {"Retry-After": "soon"})).retry_after is None
    assert failure_of(http_error(429)).retry_after is None
    assert failure_of(http_error(429, {"Retry-After": "9", "Retry-After-Ms": "1500"})).retry_after == 1.5


@pytest.mark.parametrize("text", ["-5", "inf", "nan", "", "Thu, 99 Foo", "1e999", "Fri, 31 Dec 99999 23:59:59 GMT"])
def test_a_retry_after_without_sense_is_ignored(text):
    assert failure_of(http_error(429, {"Retry-After": text})).retry_after is None


@pytest.mark.parametrize(
    ("error", "kind", "transient", "billed"),
    [
        (httpx2.ConnectError("refused"), "connection", True, False),
        (httpx2.ReadError("reset"), "connection", True, True),
        (httpx2.RemoteProtocolError("half a body"), "connection", True, True),
        (httpx2.ReadTimeout("slow"), "timeout", True, True),
        (httpx2.ConnectTimeout("slow"), "timeout", True, False),
        (httpx2.DecodingError("gzip"), "unreadable response", True, True),
        (httpx2.UnsupportedProtocol("ftp"), "bad address", False, False),
        (httpx2.InvalidURL("http://["), "bad address", False, False),
        (urllib.error.URLError("no route"), "connection", True, True),
        (ConnectionRefusedError(111, "refused"), "connection", True, False),
        (ConnectionResetError(104, "reset"), "connection", True, True),
        (TimeoutError("slow"), "timeout", True, True),
        (json.JSONDecodeError("what", "{", 1), "unreadable response", True, True),
        (ValueError("my own"), "ValueError", False, True),
        (KeyError("score"), "KeyError", False, True),
        (InputError("too many"), "InputError", False, True),
        (CallError(Failure("no face", "saw none", False, False)), "no face", False, False),
    ],
)
def test_other_errors(error, kind, transient, billed):
    failure = failure_of(error)
    assert (failure.kind, failure.transient, failure.billed) == (kind, transient, billed)


def test_messages_are_one_line_without_secrets():
    text = "failed\n  for https://me:SECRET@host.example/v1/score?key=SECRET&x=1 and 'http://a/b?c=SECRET'"
    assert one_line(text) == "failed for https://host.example/v1/score and 'http://a/b'"
