"""What the rating page refuses and what it takes: sessions, forms, and floods of them."""

import re
import socket
import time
from collections import Counter
from urllib.parse import urlencode

import httpx2
import pytest
from fastapi.testclient import TestClient

from tests.support.rating import FILES, NAMES, TOKEN, form_of
from zo_dno.errors import InputError
from zo_dno.web.rating_page import Page, page_app
from zo_dno.web.rating_sessions import Guard

COOKIE = Guard(TOKEN).cookie


@pytest.fixture
def client(store):
    return TestClient(page_app(store, TOKEN), follow_redirects=False, base_url="http://127.0.0.1")


def signed_in(client):
    assert client.get("/", params={"token": TOKEN}).headers["location"] == "./"
    return client


def refused(client, path, form):
    """Submit a form that is refused, and return the page that says so, which answers no form: Back works."""
    response = client.post(path, data=form)
    assert (response.status_code, response.headers["location"]) == (303, "./")
    page = client.get("/").text
    assert 'role="alert"' in page
    return page


class TestSecurity:
    @pytest.mark.parametrize("path", ["/", "/?token=wrong", "/state", f"/image/{NAMES[0]}.png"])
    def test_nothing_is_shown_without_the_token(self, client, store, path):
        store.post(FILES.items(), "a secret prompt", [("rate", NAMES[:1])])
        response = client.get(path)
        assert response.status_code == 401
        assert "secret" not in response.text
        assert "token" in response.text

    def test_a_forged_session_is_refused(self, client):
        session = Guard(TOKEN).new_session()
        for forged in ("", "x", f"x{session}", session[:-1], Guard("another").new_session()):
            assert client.get("/", headers={"cookie": f"{COOKIE}={forged}"}).status_code == 401
        assert client.get("/", headers={"cookie": f"{COOKIE}={session}"}).status_code == 200

    def test_the_token_stays_in_no_address_and_no_page(self, client, store):
        store.post(FILES.items(), "", [("rate", NAMES[:1])])
        page = signed_in(client).get("/")
        assert TOKEN not in page.text
        cookie = client.get("/", params={"token": TOKEN}).headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie

    def test_scripts_in_prompts_and_names_stay_text(self, client, store):
        evil = "<script>alert(1)</script>\"' onload=x"
        store.post(FILES.items(), evil, [("rate", NAMES[:1])])
        signed_in(client).get("/", params={"token": TOKEN, "name": evil})
        page = client.get("/")
        assert evil not in page.text
        assert "<script>alert" not in page.text
        assert page.text.count("&lt;script&gt;") == 2
        assert "script-src 'self'" in page.headers["content-security-policy"]

    @pytest.mark.parametrize(
        "name", ["../ratings.db", "..%2fratings.db", "%2e%2e/x", "/etc/passwd", "A" * 64, "0" * 63, "0" * 64, "a%00"]
    )
    def test_no_path_reaches_a_file(self, client, store, name):
        store.post(FILES.items(), "", [])
        response = signed_in(client).get(f"/image/{name}.png")
        assert response.status_code == 404
        assert response.headers["content-type"].startswith(("text/html", "application/json"))

    def test_an_image_is_what_was_posted(self, client, store):
        store.post(FILES.items(), "", [])
        response = signed_in(client).get(f"/image/{NAMES[2]}.png")
        assert response.content == FILES[NAMES[2]]
        assert response.headers["x-content-type-options"] == "nosniff"

    def test_a_replayed_form_changes_nothing(self, client, store):
        store.post(FILES.items(), "", [("compare", NAMES[:2]), ("compare", NAMES[2:4])])
        form = form_of(signed_in(client).get("/").text)
        answer = form | {"choice": NAMES[0]}
        assert client.post("/answer", data=answer).status_code == 303
        for path in ("/answer", "/answer", "/undo"):
            assert "out of date" in refused(client, path, answer)
            assert 'role="alert"' not in client.get("/").text  # it is said once
        assert len(store.ratings()) == 1

    @pytest.mark.parametrize("proof", ["", "0", "0.", "0.abc", "9" * 30 + ".x", "x.y", "0.é"])
    def test_a_forged_form_is_refused(self, client, store, proof):
        store.post(FILES.items(), "", [("compare", NAMES[:2])])
        form = form_of(signed_in(client).get("/").text)
        for path in ("/answer", "/undo", "/name"):
            response = client.post(path, data=form | {"proof": proof, "choice": NAMES[0], "name": "eve"})
            assert response.status_code == 403
            assert "not made by this page" in response.text
        assert len(store.ratings()) == 0

    def test_a_form_of_another_rater_is_refused(self, client, store):
        store.post(FILES.items(), "", [("compare", NAMES[:2])])
        form = form_of(signed_in(client).get("/").text)
        client.cookies.clear()
        assert signed_in(client).post("/answer", data=form | {"choice": NAMES[0]}).status_code == 403

    def test_behind_a_proxy_the_public_address_is_a_page_of_its_own(self, store, tmp_path):
        """The proxy has the public name, strips a path and hands the rest on; another site stays another site."""
        store.post(FILES.items(), "", [("compare", NAMES[:2])])
        page = Page(store, tmp_path, public_url="https://example.org/rate")
        try:
            assert page.link.startswith("https://example.org/rate/?token=")
            app = page_app(store, TOKEN, public_origin="https://example.org")
            client = signed_in(TestClient(app, follow_redirects=False, base_url="http://127.0.0.1"))
            shown = client.get("/").text
            assert not re.search(r'(href|src|action)="/', shown)
            form = form_of(shown) | {"choice": NAMES[0]}
            other = client.post("/answer", data=form, headers={"Origin": "https://example.com"})
            assert other.status_code == 403
            answered = client.post("/answer", data=form, headers={"Origin": "https://example.org"})
            assert (answered.status_code, answered.headers["location"]) == (303, "./")
        finally:
            page.stop()

    @pytest.mark.parametrize(
        "url",
        [
            "example.org",
            "ftp://example.org/",
            "https://example.org/?x=1",
            "https://",
            "http://[",
            "https://host:x/",
            "https://me:word@host/",
        ],
    )
    def test_a_public_address_that_is_none(self, store, tmp_path, url):
        with pytest.raises(InputError, match=r"public_url must be an address such as https://example\.org/rate/; got"):
            Page(store, tmp_path, public_url=url)

    def test_a_form_from_another_site_is_refused(self, client, store):
        store.post(FILES.items(), "", [("compare", NAMES[:2])])
        answer = form_of(signed_in(client).get("/").text) | {"choice": NAMES[0]}
        for origin in ("http://evil.example", "null", "", "http://127.0.0.1:1", "http://["):
            assert client.post("/answer", data=answer, headers={"origin": origin}).status_code == 403
        assert client.post("/answer", data=answer, headers={"origin": "http://127.0.0.1"}).status_code == 303

    @pytest.mark.parametrize(
        "rating",
        [
            {},
            {"rating": "11"},
            {"rating": "-1"},
            {"rating": "9" * 400},
            {"rating": "x"},
            {"choice": "x"},
            {"order": ""},
        ],
    )
    @pytest.mark.fast_cases(6)
    def test_a_rating_that_does_not_fit_is_refused_and_its_task_shown_again(self, client, store, rating):
        store.post(FILES.items(), "", [("rate", NAMES[:1])])
        form = form_of(signed_in(client).get("/").text)
        assert "How good is it?" in refused(client, "/answer", form | rating)
        assert "not complete" in refused(client, "/answer", form | {"task": "x" * 50, "rating": "1"})
        assert len(store.ratings()) == 0

    def test_large_forms_are_refused(self, client):
        response = signed_in(client).post("/answer", data={"name": "x" * 20_000})
        assert response.status_code == 413


def test_a_ranking_without_scripts(client, store):
    store.post(FILES.items(), "", [("rank", NAMES[:3])])
    form = form_of(signed_in(client).get("/").text)
    places = {f"place-{name}": place for name, place in zip(NAMES[:3], "231", strict=True)}
    tied = refused(client, "/answer", form | places | {f"place-{NAMES[0]}": "1"})
    assert "Every image needs a place of its own" in tied
    assert client.post("/answer", data=form_of(tied) | places).status_code == 303
    (rating,) = store.ratings()
    assert rating.order.ranked == (NAMES[2], NAMES[0], NAMES[1])


def test_any_number_is_liked_without_scripts(client, store):
    store.post(FILES.items(), "", [("like", NAMES[:4])] * 3)
    signed_in(client)
    assert "Only images that are shown" in refused(
        client, "/answer", form_of(client.get("/").text) | {"likes": "1", f"like-{NAMES[5]}": "on"}
    )
    for marked in (NAMES[:4:2], [], NAMES[:4]):
        page = client.get("/").text
        assert page.count('type="checkbox"') == 4
        client.post("/answer", data=form_of(page) | {"likes": "1"} | {f"like-{name}": "on" for name in marked})
    assert [(one.order.ranked, one.order.level) for one in store.ratings()] == [
        (tuple(NAMES[:4:2]), True),
        ((), True),
        (tuple(NAMES[:4]), True),
    ]


@pytest.mark.parametrize("hundreds", [20, pytest.param(100, marks=pytest.mark.slow)])
def test_thousands_of_rapid_posts(store, page, hundreds):
    """Over one connection to the real server: nearly all are refused, no rating is lost, and others are not delayed."""
    store.post(FILES.items(), "", [("rate", NAMES[:1])])
    with httpx2.Client(base_url=page.link.partition("/?")[0], trust_env=False) as client:
        token = page.link.partition("token=")[2]
        client.get("/", params={"token": token})
        body = urlencode(form_of(client.get("/").text) | {"rating": "5"})
        cookie = f"{Guard(token).cookie}={client.cookies[Guard(token).cookie]}"
        head = f"host: 127.0.0.1\r\ncookie: {cookie}\r\ncontent-type: application/x-www-form-urlencoded\r\n"
        post = f"POST /answer HTTP/1.1\r\n{head}content-length: {len(body)}\r\n\r\n{body}".encode()
        started, codes = time.monotonic(), Counter()
        with socket.create_connection((client.base_url.host, client.base_url.port)) as line:
            for _ in range(hundreds):
                line.sendall(post * 100)
                codes.update(read_codes(line, 100))
        allowed = 60 + 10 * (time.monotonic() - started)
        assert set(codes) == {303, 429}
        assert len(store.ratings()) == 1
        assert codes.total() - codes[429] <= allowed + 1
        assert client.get("/state").status_code == 200
        client.cookies.clear()  # another rater
        client.get("/", params={"token": token})
        assert client.post("/name", data=form_of(client.get("/").text) | {"name": "ada"}).status_code == 303


def read_codes(line, n):
    """Read the status codes of n consecutive responses."""
    buffer, codes = b"", []
    while len(codes) < n:
        head, end, rest = buffer.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        if not end or len(rest) < int(length[1]):
            buffer += line.recv(65536)
            continue
        codes.append(int(head.split()[1]))
        buffer = rest[int(length[1]) :]
    return codes
