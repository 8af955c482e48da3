import re
import socket
import time
from collections import Counter
from urllib.parse import urlencode

import httpx2
import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from playwright.sync_api import expect

from tests.support.browser import DESKTOP, PHONE, tab
from zo_dno.errors import InputError
from zo_dno.judges.rating_store import RatingStore
from zo_dno.storage.images import image_hash, png_bytes
from zo_dno.web.rating_page import Page, page_app
from zo_dno.web.rating_sessions import Guard

TOKEN = "a-token"
COOKIE = Guard(TOKEN).cookie


def pictures(n):
    """Make flat pictures of n greys, by their names."""
    greys = [np.full((64, 64, 3), 40 + 20 * number, dtype=np.uint8) for number in range(n)]
    return {image_hash(grey): png_bytes(Image.fromarray(grey)) for grey in greys}


FILES = pictures(6)
NAMES = [*FILES]


@pytest.fixture
def store(tmp_path):
    return RatingStore(tmp_path / "ratings.db")


@pytest.fixture
def client(store):
    return TestClient(page_app(store, TOKEN), follow_redirects=False, base_url="http://127.0.0.1")


def signed_in(client):
    assert client.get("/", params={"token": TOKEN}).headers["location"] == "./"
    return client


def form_of(page):
    fields = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page))
    return {name: fields[name] for name in ("proof", "task") if name in fields}


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
        for _ in range(2):
            again = client.post("/answer", data=answer)
            assert again.status_code == 409
            assert "out of date" in again.text
        assert client.post("/undo", data={"proof": form["proof"]}).status_code == 409
        assert store.n_ratings() == 1

    @pytest.mark.parametrize("proof", ["", "0", "0.", "0.abc", "9" * 30 + ".x", "x.y", "0.é"])
    def test_a_forged_form_is_refused(self, client, store, proof):
        store.post(FILES.items(), "", [("compare", NAMES[:2])])
        form = form_of(signed_in(client).get("/").text)
        for path in ("/answer", "/undo", "/name"):
            response = client.post(path, data=form | {"proof": proof, "choice": NAMES[0], "name": "eve"})
            assert response.status_code == 403
            assert "not made by this page" in response.text
        assert store.n_ratings() == 0

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

    @pytest.mark.parametrize("url", ["example.org", "ftp://example.org/", "https://example.org/?x=1", "https://"])
    def test_a_public_address_that_is_none(self, store, tmp_path, url):
        with pytest.raises(InputError, match=r"public_url must be an address such as https://example\.org/rate/; got"):
            Page(store, tmp_path, public_url=url)

    def test_a_form_from_another_site_is_refused(self, client, store):
        store.post(FILES.items(), "", [("compare", NAMES[:2])])
        answer = form_of(signed_in(client).get("/").text) | {"choice": NAMES[0]}
        for origin in ("http://evil.example", "null", "http://127.0.0.1:1"):
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
    def test_a_rating_that_does_not_fit_is_refused_and_its_task_shown_again(self, client, store, rating):
        store.post(FILES.items(), "", [("rate", NAMES[:1])])
        form = form_of(signed_in(client).get("/").text)
        response = client.post("/answer", data=form | rating)
        assert response.status_code == 409
        assert 'role="alert"' in response.text
        assert "How good is it?" in response.text
        assert client.post("/answer", data=form | {"task": "x" * 50, "rating": "1"}).status_code == 409
        assert store.n_ratings() == 0

    def test_large_forms_are_refused(self, client):
        response = signed_in(client).post("/answer", data={"name": "x" * 20_000})
        assert response.status_code == 413


def test_a_ranking_without_scripts(client, store):
    store.post(FILES.items(), "", [("rank", NAMES[:3])])
    form = form_of(signed_in(client).get("/").text)
    places = {f"place-{name}": place for name, place in zip(NAMES[:3], "231", strict=True)}
    tied = client.post("/answer", data=form | places | {f"place-{NAMES[0]}": "1"})
    assert "Every image needs a place of its own" in tied.text
    assert client.post("/answer", data=form_of(tied.text) | places).status_code == 303
    (rating,) = store.ratings()
    assert rating.order.ranked == (NAMES[2], NAMES[0], NAMES[1])


@pytest.fixture
def page(store):
    found = Page(store)
    found.start()
    yield found
    found.stop()


def waiting(store, number):
    """Wait for the ratings of a round, as the search does."""
    for _ in range(600):
        if (ratings := store.take(number)) is not None:
            return ratings
        time.sleep(0.05)
    raise AssertionError("the round was not completed")


def test_ten_thousand_rapid_posts(store, page):
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
            for _ in range(100):
                line.sendall(post * 100)
                codes.update(read_codes(line, 100))
        allowed = 60 + 10 * (time.monotonic() - started)
        assert set(codes) == {303, 409, 429}
        assert codes[303] == store.n_ratings() == 1
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


def press(rater, key):
    rater.wait_for_load_state()  # a new page must have loaded its keys
    rater.keyboard.press(key)


@pytest.mark.browser
class TestInTheBrowser:
    def test_rate_by_click_and_by_key(self, browser, store, page):
        number = store.post(FILES.items(), "mountains at dusk", [("rate", (name,)) for name in NAMES[:3]])
        with tab(browser, page.link) as rater:
            expect(rater.get_by_text("“mountains at dusk”")).to_be_visible()
            expect(rater.get_by_text("3 left")).to_be_visible()
            rater.get_by_role("button", name="7", exact=True).click()
            expect(rater.get_by_text("2 left")).to_be_visible()
            press(rater, "x")
            expect(rater.get_by_text("1 left")).to_be_visible()
            press(rater, "s")
            expect(rater.get_by_text("Thank you.")).to_be_visible()
            assert [one.value for one in waiting(store, number)] == [7, 10, None]

    def test_compare_with_undo(self, browser, store, page):
        number = store.post(FILES.items(), "", [("compare", NAMES[:2]), ("compare", NAMES[2:4])])
        with tab(browser, page.link) as rater:
            press(rater, "ArrowRight")
            expect(rater.get_by_text("1 left")).to_be_visible()
            press(rater, "u")
            expect(rater.get_by_text("2 left")).to_be_visible()
            assert NAMES[0] in rater.get_by_alt_text("image 1").get_attribute("src")
            rater.get_by_label("choose image 1").click()
            expect(rater.get_by_text("1 left")).to_be_visible()
            rater.get_by_label("choose image 2").click()
            expect(rater.get_by_text("Thank you.")).to_be_visible()
            assert [one.order.ranked for one in waiting(store, number)] == [(NAMES[0],), (NAMES[3],)]
            rater.get_by_role("button", name="Undo").click()
            expect(rater.get_by_role("alert")).to_contain_text("the search has used your last rating")

    def test_rank_by_taps_and_best_by_key(self, browser, store, page):
        number = store.post(FILES.items(), "", [("rank", NAMES[:4]), ("best", NAMES[2:6])])
        with tab(browser, page.link, PHONE) as rater:
            expect(rater.get_by_role("button", name="Send this order")).to_be_disabled()
            for image in ("image 3", "image 1", "image 1", "image 2", "image 1"):  # the second tap takes one back
                rater.get_by_alt_text(image, exact=True).click()
            expect(rater.locator(".place")).to_have_text(["3", "2", "1", "4"])
            rater.get_by_role("button", name="Send this order").click()
            expect(rater.get_by_text("Which is the best?")).to_be_visible()
            press(rater, "4")
            expect(rater.get_by_text("Thank you.")).to_be_visible()
        ranked, best = waiting(store, number)
        assert ranked.order.ranked == (NAMES[2], NAMES[1], NAMES[0], NAMES[3])
        assert best.order.ranked == (NAMES[5],)

    def test_two_raters_at_once_and_the_page_shows_the_next_population(self, browser, store, page):
        number = store.post(FILES.items(), "", [("compare", NAMES[:2]), ("compare", NAMES[2:4])])
        with tab(browser, f"{page.link}&name=Ada") as ada, tab(browser, f"{page.link}&name=Bob") as bob:
            expect(ada.get_by_label("You are")).to_have_value("Ada")
            shown = [one.get_by_alt_text("image 1").get_attribute("src") for one in (ada, bob)]
            assert NAMES[0] in shown[0]
            assert NAMES[2] in shown[1]
            press(ada, "1")
            expect(ada.get_by_alt_text("image 1")).to_have_attribute("src", re.compile(NAMES[2]))
            press(bob, "2")
            expect(bob.get_by_text("Thank you.")).to_be_visible()
            press(ada, "2")  # the same task, a moment too late or a second vote
            ratings = waiting(store, number)
            assert {one.rater for one in ratings} <= set(store.names())
            assert sorted(store.names().values()) == ["Ada", "Bob"]
            store.settle({NAMES[0]: 0.0, NAMES[3]: 1.5}, keep=[])
            store.post(pictures(7).items(), "the next", [("compare", NAMES[4:6])])
            for one in (ada, bob):
                expect(one.get_by_text("Population 2")).to_be_visible()
                expect(one.get_by_text("best so far 1.50")).to_be_visible()

    def test_a_population_that_comes_while_the_page_loads_is_shown(self, browser, store, page):
        store.take(store.post(FILES.items(), "", []))
        with tab(browser, page.link) as rater:
            expect(rater.get_by_text("Thank you.")).to_be_visible()
            rater.route("**/rating_page.js", lambda route: (time.sleep(0.5), route.continue_()))
            rater.reload(wait_until="commit")
            store.post(pictures(7).items(), "", [("compare", NAMES[4:6])])
            expect(rater.get_by_text("Population 2")).to_be_visible()

    def test_several_votes_show_how_far_raters_agree(self, browser, store, page):
        store.post(FILES.items(), "", [("compare", NAMES[:2])] * 1 + [("compare", NAMES[2:4])], votes=2)
        with tab(browser, page.link) as ada, tab(browser, page.link) as bob:
            for rater, keys in ((ada, "11"), (bob, "12")):
                for left, key in enumerate(keys):
                    press(rater, key)
                    expect(rater.get_by_text(f"You gave {left + 1} of")).to_be_visible()
            expect(bob.get_by_text("raters agree on 1 of 2 pairs")).to_be_visible()

    @pytest.mark.parametrize(("mode", "n"), [("rate", 1), ("compare", 2), ("best", 4), ("rank", 4)])
    @pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
    def test_everything_fits(self, browser, store, page, mode, n, size, tmp_path):
        """All images and buttons can be seen at once, nothing is wider than the screen, and nothing overlaps."""
        store.post(FILES.items(), "mountains at dusk, with a house", [(mode, NAMES[:n])])
        store.settle({NAMES[0]: 0.0, NAMES[5]: 1.0}, keep=NAMES)
        with tab(browser, page.link, size) as rater:
            rater.screenshot(path=tmp_path / "page.png", full_page=True)
            assert rater.evaluate("document.documentElement.scrollWidth") == size["width"]
            boxes = [one.bounding_box() for one in rater.locator("main img, main button:visible").all()]
            assert len(boxes) >= n + 2
            assert all(box["y"] + box["height"] <= size["height"] for box in boxes)
            images = [one.bounding_box() for one in rater.locator("main img").all()]
            assert all(box["width"] >= 120 and abs(box["width"] - box["height"]) < 120 for box in images)
            tappable = rater.locator("main button:visible:not(.picture)").all()
            assert all(one.bounding_box()["height"] >= 38 for one in tappable)


def test_the_link_is_the_runs_own(tmp_path):
    first, second = (Page(RatingStore(None), tmp_path) for _ in range(2))
    assert first.link.partition("token=")[2] == second.link.partition("token=")[2]
    assert (tmp_path / "rating-token").stat().st_mode & 0o777 == 0o600
    assert Page(RatingStore(None)).link.partition("token=")[2] not in first.link
