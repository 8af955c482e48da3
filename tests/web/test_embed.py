"""The rating page in a notebook's cell."""

import re
import time
from contextlib import contextmanager

import httpx2
import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from tests.support.answering import Answer, answering
from tests.support.browser import tab
from tests.support.clocks import PATIENCE
from tests.support.kernel import kernel
from tests.support.rating import FILES, NAMES, TOKEN, form_of
from zo_dno.ipython import in_notebook
from zo_dno.judges.rating_store import RatingStore
from zo_dno.web.embed import page_cell
from zo_dno.web.rating_page import Page, page_app
from zo_dno.web.rating_sessions import Guard

RUN = """
import zo_dno
from tests.support.toys import ToyGenerator
options = {"strategy_options": {"population": 4}, "reward_options": {"repeats": 0, "duel": 0}}
result = zo_dno.optimize(ToyGenerator(), "human", queries=8, **options, **%r)
print(result.status, result.queries)
"""


@pytest.fixture
def store():
    return RatingStore(None)


@contextmanager
def notebook(html):
    """Serve what a cell shows from another port of this machine, as a notebook does; yields the address."""
    page = f"<!doctype html><link rel=icon href='data:,'><body style='margin: 1rem; max-width: 52rem'>{html}".encode()
    with answering(lambda _: Answer(page, headers={"Content-Type": "text/html"})) as (url, _):
        yield url


def cell(page):
    return page_cell(page.link, page.mark)


@pytest.mark.browser
class TestInTheBrowser:
    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
    def test_it_opens_under_the_name_that_the_notebook_has(self, browser, store, page, name):
        """The browser would reject cookies from another name of the same machine."""
        number = store.post(FILES.items(), "a quiet sea", [("compare", NAMES[:2]), ("compare", NAMES[2:4])])
        with notebook(cell(page)) as url, tab(browser, url.replace("127.0.0.1", name)) as notebook_tab:
            rater = notebook_tab.frame_locator("iframe")
            expect(rater.get_by_text("“a quiet sea”")).to_be_visible()
            rater.get_by_label("choose image 2").click()
            expect(rater.get_by_text("1 click left")).to_be_visible()
            rater.get_by_role("button", name="Undo").click()
            expect(rater.get_by_text("2 clicks left")).to_be_visible()
            for left in ("1 click left", "Thank you."):
                rater.get_by_label("choose image 1").click()
                expect(rater.get_by_text(left)).to_be_visible()
        assert [one.order.ranked for one in store.take(number)] == [(NAMES[0],), (NAMES[2],)]

    @pytest.mark.parametrize(("mode", "n"), [("rate", 1), ("compare", 2), ("best", 4), ("rank", 4), ("like", 4)])
    @pytest.mark.slow
    def test_a_task_fits_into_the_cell(self, browser, store, page, mode, n, tmp_path):
        store.post(FILES.items(), "a quiet sea", [(mode, NAMES[:n])])
        store.settle({NAMES[0]: 0.0, NAMES[5]: 1.0}, keep=NAMES)
        with notebook(cell(page)) as url, tab(browser, url) as notebook_tab:
            frame = notebook_tab.locator("iframe")
            rater = notebook_tab.frame_locator("iframe")
            expect(rater.get_by_role("button", name="Skip")).to_be_visible()
            notebook_tab.screenshot(path=tmp_path / "cell.png", full_page=True)
            bottom = frame.bounding_box()["y"] + frame.bounding_box()["height"]
            boxes = [one.bounding_box() for one in rater.locator("main img, main button:visible").all()]
            assert len(boxes) >= n + 2
            assert all(box["y"] + box["height"] <= bottom for box in boxes)

    @pytest.mark.slow
    def test_two_runs_do_not_collide(self, browser, store, page):
        """A browser sends the cookies of one port to all ports of the host."""
        other_store = RatingStore(None)
        other = Page(other_store)
        other.start()
        for each in (store, other_store):
            each.post(FILES.items(), "", [("rate", (name,)) for name in NAMES[:2]])
        with tab(browser, page.link) as first:
            expect(first.get_by_text("2 clicks left")).to_be_visible()
            second = first.context.new_page()
            second.goto(other.link)
            second.get_by_role("button", name="7", exact=True).click()
            expect(second.get_by_text("1 click left")).to_be_visible()
            first.get_by_role("button", name="7", exact=True).click()
            expect(first.get_by_text("1 click left")).to_be_visible()
        other.stop()
        assert (len(store.ratings()), len(other_store.ratings())) == (1, 1)

    def test_a_server_without_the_mark_is_not_opened(self, browser, page):
        """The browser is on another machine, where another server has the port, and must not get the token."""
        with answering(lambda _: Answer(b"hello", headers={"Access-Control-Allow-Origin": "*"})) as (url, asked):
            html = cell(page).replace(page.link.partition("/?")[0], url)
            with notebook(html) as notebook_url, tab(browser, notebook_url) as notebook_tab:
                expect(notebook_tab.get_by_text("It cannot be shown here")).to_be_visible()
                expect(notebook_tab.get_by_text(f"ssh -L {url.rpartition(':')[2]}:127.0.0.1:")).to_be_visible()
                assert notebook_tab.get_by_role("link").get_attribute("href").startswith(f"{url}/?token=")
                expect(notebook_tab.locator("iframe")).to_have_count(0)
        assert [one.path for one in asked] == ["/here"]

    def test_the_link_is_shown_where_no_server_responds(self, browser, page):
        page.stop()
        with notebook(cell(page)) as url, tab(browser, url) as notebook_tab:
            expect(notebook_tab.get_by_text("It cannot be shown here")).to_be_visible()
            expect(notebook_tab.get_by_role("link")).to_be_visible()


class TestMark:
    @pytest.mark.parametrize(
        ("origin", "allowed"),
        [
            ("http://127.0.0.1:8888", True),
            ("http://localhost:8888", True),
            ("https://localhost", True),
            ("http://evil.example", False),
            ("http://localhost.evil.example", False),
            ("http://127.0.0.1.evil.example:8888", False),
            ("null", False),
        ],
    )
    def test_only_pages_of_this_machine_may_read_it(self, store, origin, allowed):
        client = TestClient(page_app(store, TOKEN, mark="a-mark"), base_url="http://127.0.0.1")
        response = client.get("/here", headers={"origin": origin})
        assert response.text == "a-mark"
        assert response.headers.get("access-control-allow-origin") == (origin if allowed else None)

    def test_marks_and_cookies_differ_between_runs(self, store):
        assert Page(store).mark != Page(store).mark
        assert Guard("a").cookie != Guard("b").cookie


def test_outside_of_a_notebook_nothing_is_shown():
    assert not in_notebook()


def link_in(shown):
    (found,) = [data["text/plain"] for data in shown if "Rate the images at" in data.get("text/plain", "")]
    return found.removeprefix("Rate the images at ")


@pytest.mark.slow
@pytest.mark.browser
def test_a_running_cell_shows_the_page_and_removes_it_at_the_end(browser, tmp_path):
    """The kernel is blocked by the search all the time; at the end neither page nor token stay in the notebook."""
    with kernel() as notebook_kernel:
        cell_id = notebook_kernel.begin(RUN % {"out": str(tmp_path / "run")})
        notebook_kernel.until(lambda message: message["msg_type"] == "display_data")
        link = link_in(notebook_kernel.shown)
        html = notebook_kernel.shown[0]["text/html"]
        with notebook(html) as url, tab(browser, url) as notebook_tab:
            rater = notebook_tab.frame_locator("iframe")
            for left in (None, 2, 1):
                if left:
                    expect(rater.get_by_text(f"{left} click")).to_be_visible()
                rater.get_by_label("choose image 1").click()
            notebook_kernel.finish(cell_id)
        assert notebook_kernel.printed == "finished 8\n"
        token = link.partition("token=")[2]
        assert (tmp_path / "run" / "rating-token").read_text() == token
        assert not re.search(re.escape(token), str(notebook_kernel.shown))
        assert notebook_kernel.shown[0]["text/plain"] == "The images were rated here."


@pytest.mark.slow
def test_a_kernel_that_is_interrupted_ends_the_search_at_once():
    with kernel() as notebook_kernel:
        cell_id = notebook_kernel.begin(RUN % {})
        notebook_kernel.until(lambda message: message["msg_type"] == "display_data")
        base, _, token = link_in(notebook_kernel.shown).partition("/?token=")
        with httpx2.Client(base_url=base, trust_env=False) as client:
            client.get("/", params={"token": token})
            for population in (1, 2):
                page, due = "", time.monotonic() + PATIENCE
                while not ("Which is the best?" in page and ("the first image" in page) == (population == 2)):
                    assert time.monotonic() < due, page
                    time.sleep(0.1)
                    page = client.get("/").text
                if population == 1:
                    choice = re.search(r'name="choice" value="(\w+)"', page)[1]
                    assert client.post("/answer", data=form_of(page) | {"choice": choice}).status_code == 303
        notebook_kernel.interrupt()
        notebook_kernel.finish(cell_id)
        assert notebook_kernel.printed == "interrupted 4\n"


@pytest.mark.slow
def test_a_run_shows_its_progress_in_the_cell() -> None:
    """The fast twin is tests/results/test_progress_cell.py."""
    code = """
import zo_dno
from tests.support.toys import ToyGenerator
result = zo_dno.optimize(ToyGenerator(), "brightness", queries=48, threads=1)
"""
    with kernel() as notebook:
        notebook.run(code)
        (shown,) = [data for data in notebook.shown if "<progress" in data.get("text/html", "")]
        assert 'value="48" max="48"' in shown["text/html"]
        assert shown["text/plain"].startswith("search: 48 of 48 queries · best ")
        notebook.run("zo_dno.optimize(ToyGenerator(), 'brightness', queries=16, threads=1, on_step=lambda step: None)")
        assert sum("<progress" in data.get("text/html", "") for data in notebook.shown) == 1
