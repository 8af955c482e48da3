"""Rating in a notebook: buttons without a server, and the page in a frame of another one."""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import ipywidgets
import nbclient
import nbformat
import pytest
from playwright.sync_api import expect

import zo_dno
from tests.browser import DESKTOP, chromium
from tests.test_rating_page import FILES, NAMES
from zo_dno.notebook import in_notebook, page_cell
from zo_dno.ratings import Ratings
from zo_dno.web.page import Page


def inside(widget):
    yield widget
    for child in getattr(widget, "children", ()):
        yield from inside(child)


def buttons(cell):
    return {one.description: one for one in inside(cell.widget) if isinstance(one, ipywidgets.Button)}


def texts(cell):
    return " ".join(one.value for one in inside(cell.widget) if isinstance(one, ipywidgets.HTML))


def until(true, seconds=20):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.02)


def started(toy, mode, queries=8, **options):
    patient = {"patience": 0.0, **options.pop("reward_options", {})}
    return zo_dno.RatingCell(
        toy, mode=mode, queries=queries, reward_options=patient, strategy_options={"population": 4}, **options
    )


@pytest.mark.parametrize("mode", ["best", "compare", "rate", "rank"])
def test_every_mode_from_the_first_click_to_the_result(toy, mode):
    cell = started(toy, mode)
    while cell.running:
        until(lambda: not cell.running or {"Skip"} <= set(buttons(cell)))
        wanted = {"rate": "7", "rank": "1"}.get(mode, "1")
        found = buttons(cell)
        if mode == "rank":
            found = {name: one for name, one in found.items() if name.isdigit()}
            wanted = min(found, default="")
        if wanted in found:
            found[wanted].click()
    assert cell.result.queries == 8
    assert cell.result.failed_queries == 0
    until(lambda: "finished after 8 images" in texts(cell))


def test_the_best_is_what_was_picked(toy):
    cell = started(toy, "best", queries=4, reward_options={"together": 4})
    until(lambda: "4" in buttons(cell))
    shown = cell._task.shown[3]
    buttons(cell)["4"].click()
    until(lambda: not cell.running)
    assert cell.result.best.sha256 == shown


def test_undo_and_skip(toy):
    cell = started(toy, "rate", queries=4)
    until(lambda: "7" in buttons(cell))
    first = cell._task
    buttons(cell)["Undo"].click()
    assert "nothing to undo" in texts(cell)
    buttons(cell)["7"].click()
    assert cell._task != first
    buttons(cell)["Undo"].click()
    assert cell._task == first
    buttons(cell)["Skip"].click()
    for _ in range(3):
        buttons(cell)["3"].click()
    until(lambda: not cell.running)
    assert [row.value for row in cell.result.history] == [None, 3, 3, 3]


def test_the_result_is_not_there_before_the_end_and_stop_ends_it(toy):
    cell = started(toy, "rate", queries=8)
    until(lambda: "5" in buttons(cell))
    with pytest.raises(zo_dno.RunError, match="still asking"):
        _ = cell.result
    for _ in range(4):
        buttons(cell)["5"].click()
    until(lambda: "Population 2" in texts(cell) and "5" in buttons(cell))
    cell.stop()
    assert cell.result.status == "interrupted"
    assert cell.result.queries == 4


def test_what_went_wrong_is_raised_where_the_result_is_asked_for(toy):
    cell = zo_dno.RatingCell(toy, queries=0)
    until(lambda: not cell.running)
    with pytest.raises(zo_dno.InputError, match="queries must be at least 1; got 0"):
        _ = cell.result
    until(lambda: "queries must be at least 1" in texts(cell))


def test_prompts_stay_text(toy):
    toy.prompt = "<script>alert(1)</script>"
    cell = started(toy, "best")
    until(lambda: "Which is the best?" in texts(cell))
    assert "<script>" not in texts(cell)
    assert "&lt;script&gt;" in texts(cell)
    cell.stop()


_NOTEBOOK = (
    """
import zo_dno
from tests.toys import ToyGenerator
cell = zo_dno.RatingCell(ToyGenerator(), mode="rate", queries=4, reward_options={"patience": 0.0},
                         strategy_options={"population": 4})
cell
""",
    """
import time
from tests.test_rating_cell import buttons, until
for _ in range(4):
    until(lambda: "6" in buttons(cell) and cell._task is not None)
    buttons(cell)["6"].click()
until(lambda: not cell.running)
print(cell.result.best.reward)
""",
)


@pytest.mark.slow
def test_in_a_real_kernel():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in _NOTEBOOK])
    nbclient.NotebookClient(notebook, timeout=120).execute()
    shown, printed = (cell["outputs"] for cell in notebook["cells"])
    assert any("application/vnd.jupyter.widget-view+json" in one.get("data", {}) for one in shown)
    assert printed[-1]["text"].strip() == "6.0"


@pytest.mark.slow
def test_the_page_opens_in_a_cell_of_a_kernel_that_waits():
    code = (
        "import zo_dno, threading\n"
        "from tests.toys import ToyGenerator\n"
        "from zo_dno.parts import make_reward\n"
        "stop = zo_dno.Stop()\n"
        "threading.Timer(3, lambda: (stop(), stop())).start()\n"
        "try:\n    zo_dno.optimize(ToyGenerator(), 'human', queries=4, stop=stop)\n"
        "except zo_dno.RunError as error:\n    print(error)"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    nbclient.NotebookClient(notebook, timeout=120).execute()
    outputs = notebook["cells"][0]["outputs"]
    pages = [one["data"]["text/html"] for one in outputs if "text/html" in one.get("data", {})]
    assert len(pages) == 1
    assert "<iframe" in pages[0]
    assert "?token=" in pages[0]


def test_this_is_no_notebook():
    assert not in_notebook()


def embedding(cell):
    """Serve a page that embeds a cell, as a notebook's front end on another port does."""

    class Embeds(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.end_headers()
            self.wfile.write(f"<!doctype html><link rel=icon href=data:,><body>{cell}</body>".encode())

        def log_message(self, format, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Embeds)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


@pytest.mark.browser
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_the_page_works_in_a_frame_of_a_notebook_on_another_port(tmp_path, host):
    ratings = Ratings(tmp_path / "ratings.db")
    ratings.post(FILES.items(), "a quiet sea", [("best", NAMES[:4]), ("compare", NAMES[4:])])
    page = Page(ratings)
    page.start()
    server = embedding(page_cell(page.link))
    with chromium() as browser:
        view = browser.new_page(viewport=DESKTOP)
        view.goto(f"http://{host}:{server.server_port}/")
        frame = view.frame_locator("iframe")
        expect(frame.get_by_text("Which is the best?")).to_be_visible()
        view.screenshot(path=tmp_path / "frame.png")
        frame.get_by_role("button", name="choose image 2").click()
        expect(frame.get_by_text("Which is better?")).to_be_visible()
        frame.get_by_role("button", name="choose image 1").click()
        expect(frame.get_by_text("Thank you.")).to_be_visible()
    server.shutdown()
    page.stop()
    assert ratings.clicks() == 2


def test_a_notebook_that_is_open_elsewhere_says_how_to_get_at_the_page():
    cell = page_cell("http://127.0.0.1:8012/?token=abc")
    assert "ssh -L 8012:127.0.0.1:8012 HOST" in cell
    assert cell.count("</script>") == 1  # what stands in the script cannot end it
