from types import SimpleNamespace

import pytest

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.results import progress_cell
from zo_dno.results.progress_cell import ProgressCell


@pytest.fixture
def shown(monkeypatch):
    """The bars and texts that a cell shows, one after the other."""
    found = []

    def show_html(markup, text):
        found.append((markup, text))
        return lambda markup, text: found.append((markup, text))

    monkeypatch.setattr(progress_cell, "show_html", show_html)
    return found


@pytest.fixture
def clock(monkeypatch):
    found = SimpleNamespace(now=100.0)
    monkeypatch.setattr(progress_cell, "time", SimpleNamespace(monotonic=lambda: found.now))
    return found


def test_a_bar_is_updated_a_few_times_a_second_and_at_the_end(shown, clock):
    cell = ProgressCell()
    for done in range(1, 11):
        clock.now += 0.125
        cell.trials(done, 10)
    assert [text for _, text in shown] == [f"{done} of 10 runs" for done in (1, 3, 5, 7, 9, 10)]


def test_text_is_escaped(shown):
    ProgressCell().show(1, 1, "<b>")
    assert shown == [('<progress value="1" max="1" style="width:16em"></progress> &lt;b&gt;', "<b>")]


def test_the_last_bar_shows_the_whole_run(shown):
    zo_dno.optimize(ToyGenerator(), "brightness", queries=48, threads=1, on_step=ProgressCell().step)
    markup, text = shown[-1]
    assert 'value="48" max="48"' in markup
    assert text.startswith("search: 48 of 48 queries · best ")
