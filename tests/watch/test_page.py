"""The page that watches runs: its door, its forms, and that it follows a run."""

import json
import re

import httpx2
import pytest
from fastapi.testclient import TestClient
from playwright.sync_api import expect

from tests.support import resuming
from tests.support.browser import DESKTOP, PHONE, tab
from tests.support.rating import TOKEN
from tests.support.toys import ToyGenerator
from tests.watch.conftest import HOSTILE, noisy
from zo_dno.storage.folder_lock import FolderLock
from zo_dno.storage.run_folder import RunFolder
from zo_dno.watch.page import WatchPage, watch_app
from zo_dno.watch.process import Processes


class Noted(Processes):
    """Processes that only note what they are asked to do."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def stop(self, folder):
        self.asked.append(("stop", folder.name))

    def resume(self, folder):
        self.asked.append(("resume", folder.name))


def entered(folders, processes=None):
    client = TestClient(watch_app(folders, TOKEN, processes), base_url="http://127.0.0.1")
    return client, client.get(f"/?token={TOKEN}").text


def test_nothing_is_shown_or_done_without_the_token(runs):
    client = TestClient(watch_app([runs], TOKEN), base_url="http://127.0.0.1")
    for path in ("/", "/state", "/changes", "/card/x", "/image/x/y.png", "/?token=wrong"):
        assert client.get(path).status_code == 401, path
    assert client.post("/act", data={"stop": "x"}).status_code == 401


def test_the_page_escapes_texts_and_shows_only_what_its_cards_name(runs):
    client, page = entered([runs])
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<b>no model" not in page
    assert "even (held out) fell from" in page
    response = client.get("/")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert not re.search(r"style=|<style|onclick|<script>", page)
    address = re.search(r'src="(image/\w+/)(\w+)\.png"', page)
    assert client.get(f"/{address[1]}{address[2]}.png").content.startswith(b"\x89PNG")
    others = {path.stem for path in (runs / "hacked" / "images").iterdir()} - set(re.findall(r"/(\w{64})\.png", page))
    for name in (others.pop(), "0" * 64, "..%2Fledger"):
        assert client.get(f"/{address[1]}{name}.png").status_code == 404
    keys = [key for key, _ in client.get("/state").json()["cards"]]
    assert len(keys) == 3
    assert all(f'id="card-{key}"' in client.get(f"/card/{key}").text for key in keys)


def test_forms_are_of_this_page_and_about_its_runs(runs):
    processes = Noted()
    client, page = entered([runs], processes)
    proof = re.search(r'name="proof" value="([^"]+)"', page)[1]
    key = re.search(r'name="resume" value="(\w+)"', page)[1]
    assert client.post("/act", data={"resume": key}).status_code == 403
    assert client.post("/act", data={"resume": key, "proof": f"{proof}0"}).status_code == 403
    assert client.post("/act", data={"resume": "0" * 16, "proof": proof}).status_code == 404
    foreign = {"Origin": "http://127.0.0.1:9999"}
    assert client.post("/act", data={"resume": key, "proof": proof}, headers=foreign).status_code == 403
    assert client.post("/act", data={"resume": key, "proof": "x" * 20_000}).status_code == 413
    assert not processes.asked
    assert client.post("/act", data={"resume": key, "proof": proof}).status_code == 200
    assert [what for what, _ in processes.asked] == ["resume"]


def test_a_run_of_a_group_has_no_buttons(runs):
    (runs / "prompts.json").write_text("{}")
    _, page = entered([runs])
    assert "Many prompts" in page
    assert re.findall(r'name="(stop|resume)"', page) == ["resume"]  # of the group
    with RunFolder(runs / "stopped", new=False):
        _, page = entered([runs])
        assert "It is stopped with its group." in page
        assert not re.search(r'name="(stop|resume)"', page)


def test_a_comparison_is_stopped_and_resumed_as_a_whole(runs):
    """Its card has the buttons; 4 runs are planned, of which 3 have begun and 1 is finished."""
    (runs / "comparison.yaml").write_text("strategies: [snes]\n")
    listed = [{"folder": name, "entry": "ours <b>", "reward": "r"} for name in ("hacked", "failed", "stopped", "next")]
    (runs / "runs.json").write_text(json.dumps({"runs": listed}))
    processes = Noted()
    client, page = entered([runs], processes)
    assert "2 of 4 runs ended: 1 failed, 1 finished, 1 interrupted, 1 not begun" in re.sub(r"\s+", " ", page)
    assert re.findall(r'<th scope="row">(.*?)</th>', page) == ["ours &lt;b&gt; for r (score)"]  # one line for all
    (key,) = re.findall(r'name="resume" value="(\w+)"', page)
    proof = re.search(r'name="proof" value="([^"]+)"', page)[1]
    assert client.post("/act", data={"resume": key, "proof": proof}).status_code == 200
    with FolderLock(runs):
        _, page = entered([runs], processes)
        assert '<p class="state live">in progress</p>' in page
        assert "notebook or a program" in page  # this process is no command of zo-dno
        assert not re.search(r'name="(stop|resume)"', page)
    assert processes.asked == [("resume", runs.name)]


def test_changes_are_streamed_from_loopback(runs):
    page = WatchPage([runs])
    page.start()
    try:
        with httpx2.Client(follow_redirects=True) as client:
            client.get(page.link)
            with client.stream("GET", f"{page.link.partition('?')[0]}changes") as response:
                assert response.headers["content-type"].startswith("text/event-stream")
                first = next(line for line in response.iter_lines() if line.startswith("data: "))
        assert len(json.loads(first.removeprefix("data: "))["cards"]) == 3
    finally:
        page.stop()


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_follows_a_run_without_a_reload(browser, tmp_path):
    page = WatchPage([tmp_path / "runs"])
    page.start()
    try:
        with tab(browser, page.link, PHONE) as watcher:
            expect(watcher.get_by_text("No run in")).to_be_visible()
            resuming.run(tmp_path / "runs" / "one", noisy, toy=ToyGenerator(prompt=HOSTILE), queries=16)
            expect(watcher.get_by_text("16 of 16 queries")).to_be_visible()
            expect(watcher.get_by_role("heading", name="<script>alert(1)</script> &")).to_be_visible()
            resuming.resume(tmp_path / "runs" / "one", noisy, toy=ToyGenerator(prompt=HOSTILE), queries=24)
            expect(watcher.get_by_text("24 of 24 queries")).to_be_visible()
            assert watcher.evaluate("document.documentElement.scrollWidth <= innerWidth")
            assert watcher.evaluate("[...document.images].every((image) => image.naturalWidth > 0)")
    finally:
        page.stop()


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_the_page_works_without_its_stream(browser, runs, size):
    page = WatchPage([runs])
    page.start()
    try:
        with tab(browser, page.link, size) as watcher:
            watcher.evaluate("Object.defineProperty(window, 'EventSource', {value: undefined})")
            watcher.add_init_script("delete window.EventSource")
            watcher.reload()
            expect(watcher.get_by_text("finished")).to_be_visible()
            resuming.resume(runs / "hacked", noisy, toy=ToyGenerator(prompt=HOSTILE), held_out=[], queries=40)
            expect(watcher.get_by_text("40 of 40 queries")).to_be_visible()
    finally:
        page.stop()
