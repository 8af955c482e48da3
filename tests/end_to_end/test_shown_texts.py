"""Text of others, shown: no terminal, spreadsheet or browser acts on it. Hypothesis throws anything at what shows it.

What is served to others refuses what does not fit.
"""

import io
import itertools
import json
import string
from html.parser import HTMLParser

import numpy as np
from fastapi.testclient import TestClient
from hypothesis import strategies as st
from PIL import Image
from rich.table import Table

import zo_dno
from tests.support.thrown import TEXTS, VALUES, sizes, throw
from tests.support.toys import ToyGenerator
from zo_dno.failures import one_line
from zo_dno.judges.rating_store import RatingStore
from zo_dno.results.report import write_run_report
from zo_dno.run.make_reward import make_reward
from zo_dno.storage.csv_cells import plain_cell
from zo_dno.storage.images import image_hash, png_bytes
from zo_dno.ui.terminal import Terminal
from zo_dno.web.rating_page import page_app
from zo_dno.web.reward_app import reward_app


@sizes(40, 500)
def test_terminal(examples):
    """Text as it is, without anything that a terminal would carry out."""

    def check(text):
        out = io.StringIO()
        terminal = Terminal(file=out, width=100, force_terminal=False)
        table = Table(title=text)
        table.add_column(text)
        table.add_row(text)
        terminal.print(text)
        terminal.print(table)
        terminal.show((text, "bold"))
        shown = out.getvalue()
        assert all(c.isprintable() or c == "\n" for c in shown)
        letters = "".join(c for c in text if c in string.ascii_letters)
        assert letters in "".join(c for c in shown if c in string.ascii_letters)

    throw(examples, TEXTS, check)


@sizes(40, 300)
def test_one_line(examples):
    """A short line that can be printed."""

    def check(text):
        said = one_line(text, 300)
        assert said.isprintable()
        assert len(said) < 340

    throw(examples, TEXTS | st.text(min_size=1000, max_size=3000), check)


@sizes(40, 1000)
def test_cells(examples):
    """A cell that no spreadsheet program takes for a formula."""

    def check(text):
        assert not plain_cell(text).startswith(("=", "+", "-", "@", "\t", "\r"))
        assert text in plain_cell(text)

    throw(examples, TEXTS, check)


class Page(HTMLParser):
    """A page, as far as a browser would act on it: its tags, and its handlers of events."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.handlers = 0, []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags += 1
        self.handlers += [name for name, _ in attrs if name.startswith("on")]


@sizes(3, 12)
def test_report(examples, tmp_path):
    """A prompt adds no tag and no handler to a report."""
    counts, numbers = set(), itertools.count()

    def check(prompt):
        generator, folder = ToyGenerator(), tmp_path / f"{next(numbers)}"
        generator.prompt = prompt
        zo_dno.optimize(generator, "brightness", "snes", queries=4, out=folder, strategy_options={"population": 4})
        page = Page(write_run_report(folder).read_text(encoding="utf-8"))
        assert not page.handlers
        counts.add(page.tags)
        assert len(counts) == 1

    throw(examples, TEXTS.filter(str.strip), check)


@sizes(10, 60)
def test_rating_page(examples, tmp_path):
    """Any form and any prompt gives a page or a refusal, and no rating that the page did not offer."""
    grey, numbers = np.full((8, 8, 3), 40, dtype=np.uint8), itertools.count()
    name = image_hash(grey)

    def check(drawn):
        prompt, fields = drawn
        store = RatingStore(tmp_path / f"{next(numbers)}.db")
        store.post([(name, png_bytes(Image.fromarray(grey)))], prompt, [("rate", [name])])
        with TestClient(page_app(store, "a-token"), base_url="http://127.0.0.1") as client:
            page = client.get("/", params={"token": "a-token"})
            assert page.status_code == 200
            assert not Page(page.text).handlers
            for path in ("/answer", "/undo", "/name"):
                assert client.post(path, data=fields).status_code < 500
        assert len(store.ratings()) == 0
        store.close()

    keys = st.sampled_from(["task", "choice", "value", "skip", "name", "proof", "order"])
    throw(examples, st.tuples(TEXTS, st.dictionaries(keys, TEXTS, max_size=5)), check)


@sizes(10, 300)
def test_served_rewards(examples):
    """A request that is no request is refused, with a reason."""
    with TestClient(reward_app(make_reward("brightness"))) as client:

        def check(content):
            answer = client.post("/score", content=content, headers={"content-type": "application/json"})
            assert 400 <= answer.status_code < 500

        throw(examples, st.binary(max_size=200) | VALUES.map(lambda value: json.dumps(value).encode()), check)
