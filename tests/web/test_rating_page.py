"""The rating page in a browser, and its link."""

import re
import time

import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from tests.support.browser import DESKTOP, PHONE, tab
from tests.support.rating import FILES, NAMES, TOKEN, form_of, pictures
from zo_dno.judges.rating_store import RatingStore
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

    @pytest.mark.slow
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
        for given, choice in enumerate(choices, 1):
            page = rater.post("/answer", data=form_of(page) | {"choice": NAMES[choice]}).text
            assert f"You gave {given} of" in page
    assert "raters agree on 1 of 2 pairs" in page


def test_the_link_is_the_runs_own(tmp_path):
    first, second = (Page(RatingStore(None), tmp_path) for _ in range(2))
    assert first.link.partition("token=")[2] == second.link.partition("token=")[2]
    assert (tmp_path / "rating-token").stat().st_mode & 0o777 == 0o600
    assert Page(RatingStore(None)).link.partition("token=")[2] not in first.link
