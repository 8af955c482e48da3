"""The rating page in a browser, and its link."""

import base64
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from tests.support.browser import DESKTOP, PHONE, tab
from tests.support.rating import FILES, NAMES, TOKEN, form_of, pictures
from zo_dno.judges.distance_ladder import ask_distance, chosen_distance, what_ladder_says
from zo_dno.judges.rating_store import RatingStore
from zo_dno.types import Order
from zo_dno.web.rating_page import Page, page_app


def waiting(store, number):
    """Wait for the ratings of a round, as the search does."""
    for _ in range(600):
        if (ratings := store.take(number)) is not None:
            return ratings
        time.sleep(0.05)
    raise AssertionError("the round was not completed")


def press(rater, key):
    rater.wait_for_load_state()  # a new page must have loaded its keys
    rater.keyboard.press(key)


@pytest.mark.browser
class TestInTheBrowser:
    def test_rate_by_click_and_by_key(self, browser, store, page):
        number = store.post(FILES.items(), "mountains at dusk", [("rate", (name,)) for name in NAMES[:3]])
        with tab(browser, page.link) as rater:
            expect(rater.get_by_text("“mountains at dusk”")).to_be_visible()
            expect(rater.get_by_text("3 clicks left")).to_be_visible()
            rater.get_by_role("button", name="7", exact=True).click()
            expect(rater.get_by_text("2 clicks left")).to_be_visible()
            press(rater, "x")
            expect(rater.get_by_text("1 click left")).to_be_visible()
            press(rater, "s")
            expect(rater.get_by_text("Thank you.")).to_be_visible()
            assert [one.value for one in waiting(store, number)] == [7, 10, None]

    @pytest.mark.slow
    def test_compare_with_undo(self, browser, store, page):
        number = store.post(FILES.items(), "", [("compare", NAMES[:2]), ("compare", NAMES[2:4])])
        with tab(browser, page.link) as rater:
            press(rater, "ArrowRight")
            expect(rater.get_by_text("1 click left")).to_be_visible()
            press(rater, "u")
            expect(rater.get_by_text("2 clicks left")).to_be_visible()
            assert NAMES[0] in rater.get_by_alt_text("image 1").get_attribute("src")
            rater.get_by_label("choose image 1").click()
            expect(rater.get_by_text("1 click left")).to_be_visible()
            rater.get_by_label("choose image 2").click()
            expect(rater.get_by_text("Thank you.")).to_be_visible()
            assert [one.order.ranked for one in waiting(store, number)] == [(NAMES[0],), (NAMES[3],)]
            expect(rater.get_by_role("button", name="Undo")).to_be_disabled()

    @pytest.mark.slow
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

    def test_any_number_is_liked_by_tap_and_by_key(self, browser, store, page):
        """Enter sends, unless another button has the focus; the fast twin without a browser is in another file."""
        number = store.post(FILES.items(), "", [("like", NAMES[:4]), ("like", NAMES[2:6])])
        with tab(browser, page.link, PHONE) as rater:
            expect(rater.get_by_role("button", name="None of them")).to_be_visible()
            rater.get_by_alt_text("image 3", exact=True).click()
            rater.get_by_role("checkbox", name="like image 1").focus()
            for key in ("Space", "2", "2", "4", "4"):  # marks one, and takes others back
                press(rater, key)
            expect(rater.get_by_role("button", name="Send 2 liked")).to_be_visible()
            expect(rater.get_by_role("checkbox", checked=True)).to_have_count(2)
            press(rater, "Enter")
            expect(rater.get_by_text("1 click left")).to_be_visible()
            expect(rater.get_by_role("checkbox", checked=True)).to_have_count(0)
            press(rater, "Enter")
            expect(rater.get_by_text("Thank you.")).to_be_visible()
        first, second = waiting(store, number)
        assert first.order == Order(tuple(NAMES[:4]), (NAMES[0], NAMES[2]), level=True)
        assert second.order.ranked == ()

    def test_a_distance_is_chosen_from_a_ladder_by_key_and_by_tap(self, browser, store, page):
        rungs = {n / 10: [*FILES.items()][n : n + 3] for n in range(1, 4)}
        with tab(browser, page.link, PHONE) as rater, ThreadPoolExecutor() as pool:
            asked = pool.submit(ask_distance, store, rungs, "sea at dusk", patience=1.0)
            expect(rater.get_by_text("How far may the search go")).to_be_visible()
            expect(rater.get_by_text("1 click left, to choose a distance")).to_be_visible()
            assert rater.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
            expect(rater.locator(".rungs img")).to_have_count(9)
            rater.locator(".rungs img").nth(4).hover()
            press(rater, "z")
            expect(rater.locator("dialog[open] p")).to_have_text("image 2 at distance 0.2")
            press(rater, "z")
            rater.get_by_text("Distance 0.3").click()
            expect(rater.get_by_text("Thank you. The search is rendering the first images")).to_be_visible()
            press(rater, "u")
            expect(rater.get_by_text("Distance 0.1")).to_be_visible()
            press(rater, "2")
            assert asked.result(10)
            assert chosen_distance(store) == 0.2
            assert "distance 0.2 was chosen instead of 0.1, 0.3" in what_ladder_says(store)[0]

    @pytest.mark.slow
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
                expect(one.get_by_alt_text("image 1", exact=True)).to_be_visible()
                expect(one.get_by_text("New best")).to_be_visible()

    @pytest.mark.slow
    def test_a_population_that_comes_while_the_page_loads_is_shown(self, browser, store, page):
        store.take(store.post(FILES.items(), "", []))
        with tab(browser, page.link) as rater:
            expect(rater.get_by_text("Thank you.")).to_be_visible()
            rater.route("**/rating_page.js", lambda route: (time.sleep(0.5), route.continue_()))
            rater.reload(wait_until="commit")
            store.post(pictures(7).items(), "", [("compare", NAMES[4:6])])
            expect(rater.get_by_alt_text("image 1", exact=True)).to_be_visible()

    @pytest.mark.slow
    def test_several_votes_show_how_far_raters_agree(self, browser, store, page):
        store.post(FILES.items(), "", [("compare", NAMES[:2])] * 1 + [("compare", NAMES[2:4])], votes=2)
        with tab(browser, page.link) as ada, tab(browser, page.link) as bob:
            for rater, keys in ((ada, "11"), (bob, "12")):
                shown = rater.locator("main form[data-n] img").first.get_attribute("src")
                press(rater, keys[0])
                expect(rater.locator(f'main form[data-n] img[src="{shown}"]')).to_have_count(0)
                press(rater, keys[1])
                expect(rater.locator("main form[data-n]")).to_have_count(0)
            expect(bob.get_by_text("raters agree on 1 of 2 pairs")).to_be_visible()

    @pytest.mark.slow
    def test_the_end_stays_when_the_server_is_gone(self, browser, store, page):
        """The server waits until the open page has all of the end; a page that was not told says that it lost it."""
        number = store.post(FILES.items(), "", [("compare", NAMES[:2])])
        with tab(browser, page.link) as rater:
            press(rater, "2")
            expect(rater.get_by_text("Thank you.")).to_be_visible()
            waiting(store, number)
            store.settle({NAMES[0]: 0.0, NAMES[1]: 1.5}, keep=[])
            other = rater.context.new_page()
            other.route("**/state", lambda route: route.abort())
            other.goto(page.link)
            expect(rater.get_by_text("New best")).to_be_visible()
            began = time.monotonic()
            page.farewell()
            page.stop()
            assert time.monotonic() - began < 30
            expect(rater.get_by_role("heading", name="The search has ended")).to_be_visible()
            expect(rater.get_by_text("preferred in 1 of 1 choice that showed it")).to_be_visible()
            for alt, name in (("the first image", NAMES[0]), ("the best image", NAMES[1])):
                assert rater.get_by_alt_text(alt).evaluate("image => image.naturalWidth") == 64
                assert base64.b64encode(FILES[name]).decode() in rater.get_by_alt_text(alt).get_attribute("src")
            with rater.expect_download() as download:
                rater.get_by_text("Download the best image").click()
            assert download.value.path().read_bytes() == FILES[NAMES[1]]
            expect(other.get_by_text("To see the result: zo-dno rate RUN")).to_be_visible()

    @pytest.mark.slow
    def test_mistakes_cost_nothing(self, browser, store, page):
        """10 is one rating, Undo has something to undo, and a click without a connection is sent later."""
        number = store.post(FILES.items(), "", [("rate", (name,)) for name in NAMES[:3]])
        with tab(browser, page.link) as rater:
            undo = rater.get_by_role("button", name="Undo")
            expect(undo).to_be_disabled()
            press(rater, "1")
            press(rater, "0")
            expect(rater.get_by_text("2 clicks left")).to_be_visible()
            expect(undo).to_be_enabled()
            rater.wait_for_load_state()
            rater.context.set_offline(True)
            rater.get_by_role("button", name="7", exact=True).click()
            expect(rater.get_by_text("Your click is kept")).to_be_visible()
            rater.get_by_role("button", name="8", exact=True).click()  # which is no second rating
            rater.context.set_offline(False)
            expect(rater.get_by_text("1 click left")).to_be_visible()
            press(rater, "1")
            press(rater, "Enter")
            expect(rater.get_by_text("Thank you.")).to_be_visible()
            assert rater.evaluate("history.length") <= 3  # Back leaves the page
            assert [one.value for one in waiting(store, number)] == [10, 7, 1]

    @pytest.mark.slow
    def test_images_are_enlarged_by_key_by_button_and_by_holding(self, browser, store, page):
        store.post(FILES.items(), "", [("best", NAMES[:4])])
        with tab(browser, page.link) as rater:
            zoom = rater.get_by_role("dialog").get_by_role("img")
            press(rater, "z")
            expect(zoom).to_have_attribute("src", re.compile(NAMES[0]))
            box = zoom.bounding_box()
            assert (box["width"] / 64).is_integer()
            assert box["width"] >= 10 * 64
            press(rater, "3")  # chooses nothing
            expect(zoom).to_have_attribute("src", re.compile(NAMES[2]))
            press(rater, "z")
            expect(zoom).to_be_hidden()
            rater.get_by_label("enlarge image 2").click()
            expect(zoom).to_have_attribute("src", re.compile(NAMES[1]))
            press(rater, "Escape")
            rater.get_by_label("choose image 4").hover()
            rater.mouse.down()
            expect(zoom).to_have_attribute("src", re.compile(NAMES[3]))
            rater.mouse.up()
            rater.get_by_role("button", name="Close").click()
            assert not store.ratings()
            press(rater, "4")
            expect(rater.get_by_text("Thank you.")).to_be_visible()

    @pytest.mark.parametrize(("mode", "n"), [("rate", 1), ("compare", 2), ("best", 4), ("rank", 4), ("like", 4)])
    @pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
    @pytest.mark.fast_cases(2)
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


def test_several_votes_say_how_far_raters_agree(store):
    store.post(FILES.items(), "", [("compare", NAMES[:2]), ("compare", NAMES[2:4])], votes=2)
    for choices in ((0, 2), (0, 3)):
        rater = TestClient(page_app(store, TOKEN), base_url="http://127.0.0.1")
        page = rater.get("/", params={"token": TOKEN}).text
        assert "raters agree on 2" not in page
        for choice in choices:
            page = rater.post("/answer", data=form_of(page) | {"choice": NAMES[choice]}).text
        assert ("You gave 2 of 4 ratings in this round; 2 raters" in page) == (choices == (0, 3))
    assert "raters agree on 1 of 2 pairs" in page


def test_one_rater_in_all_windows_and_on_the_phone(store):
    app = page_app(store, TOKEN)
    desk, phone, other = (TestClient(app, base_url="http://127.0.0.1") for _ in range(3))
    for _ in range(2):
        assert desk.get("/", params={"token": TOKEN}).status_code == 200
    (session,) = desk.cookies.values()
    assert phone.get("/", params={"session": session}).status_code == 200
    assert len(store.names()) == 1
    assert other.get("/", params={"session": f"{session}x"}).status_code == 401


def test_the_code_for_a_phone(store, tmp_path):
    """A page that only this machine reaches has none."""
    pytest.importorskip("segno")
    here, public = Page(store), Page(store, tmp_path, public_url="https://example.org/rate")
    for page, codes in ((here, 0), (public, 1)):
        client = TestClient(page.app, base_url="http://127.0.0.1")
        assert client.get("/phone.svg").status_code == 401
        shown = client.get("/", params={"token": page.link.partition("token=")[2]}).text
        assert shown.count("phone.svg") == codes
        code = client.get("/phone.svg")
        assert (code.status_code, b"<svg" in code.content) == ((200, True) if codes else (404, False))
        page.stop()


def test_the_link_is_the_runs_own(tmp_path):
    first, second = (Page(RatingStore(None), tmp_path) for _ in range(2))
    assert first.link.partition("token=")[2] == second.link.partition("token=")[2]
    assert (tmp_path / "rating-token").stat().st_mode & 0o777 == 0o600
    assert Page(RatingStore(None)).link.partition("token=")[2] not in first.link
