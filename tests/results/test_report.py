"""Reports of runs: one file that needs no other, with the run's numbers."""

import json
import re

import pytest

import zo_dno
from tests.support.browser import chromium
from tests.support.html_cells import Cells
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.results.hacking_figure import hacking_figure
from zo_dno.results.report import run_report, write_run_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report") / "run"
    generator = ToyGenerator()
    generator.prompt = "a <script>alert(1)</script> & more {{ 7 * 6 }} {% raw %}"
    zo_dno.optimize(generator, "brightness", queries=48, seed=1, held_out=["contrast"], out=folder)
    return folder


def test_numbers_are_those_of_the_result(folder):
    page, result = Cells(), json.loads((folder / "result.json").read_text())
    page.feed(run_report(folder))
    rows = {row[0]: row[1:] for row in page.rows}
    assert rows["brightness (of white)"] == [f"{result[w]['reward']:.4g}" for w in ("first", "best")]
    held_out = result["held_out"]["contrast"]
    assert rows["contrast (held out)"] == [f"{held_out[w]:.4g}" for w in ("first", "best")]
    assert rows["log P(z)"][1] == f"{result['best']['log_prob']:.4g}"
    assert rows["queries"] == ["48"]
    assert rows["denoiser calls"] == [str(result["nfe"])]


@pytest.mark.real_figure
def test_it_needs_no_other_file_and_is_small(folder):
    page = Cells()
    text = run_report(folder)
    page.feed(text)
    assert len(page.addresses) >= 5
    assert text.count("data:image/svg+xml;base64,") == 4  # two figures, each for a wide page and for a phone
    assert all(address.startswith("data:") for address in page.addresses)
    assert len(text) < 5e6
    assert "http" not in re.sub(r"data:[^\"]*", "", text)


def test_a_figure_shows_dollars_as_they_are():
    generator = ToyGenerator()
    generator.prompt = "price $5{ to $6"
    result = zo_dno.optimize(generator, "brightness", queries=16)
    assert "price $5{ to $6" in result._repr_html_()


def test_names_are_escaped(folder):
    text = run_report(folder)
    assert "<script>" not in text
    assert "a &lt;script&gt;alert(1)&lt;/script&gt; &amp; more {{ 7 * 6 }} {% raw %}" in text


@pytest.mark.slow
@pytest.mark.real_figure
@pytest.mark.parametrize("kind", ["svg", "pdf"])
def test_figures_are_files_beside_it(folder, tmp_path, kind):
    write_run_report(folder, tmp_path / "report.html", figures=kind)
    names = sorted(path.name for path in (tmp_path / "figures").iterdir())
    assert names == [f"plausibility.{kind}", f"progress.{kind}"]


def test_a_folder_without_a_result_is_refused(folder, tmp_path):
    with pytest.raises(InputError, match="run"):
        write_run_report(tmp_path)
    (tmp_path / "config.yaml").write_bytes((folder / "config.yaml").read_bytes())
    (tmp_path / "ledger.db").write_bytes((folder / "ledger.db").read_bytes())
    with pytest.raises(InputError, match=r"has no result yet.*zo-dno resume"):
        write_run_report(tmp_path)


def test_a_result_shows_itself_in_a_notebook():
    generator = ToyGenerator()
    generator.prompt = "<b>bold</b> {{ 7 * 6 }}"
    result = zo_dno.optimize(generator, "brightness", queries=32)
    shown = result._repr_html_()
    assert "&lt;b&gt;bold&lt;/b&gt; {{ 7 * 6 }}" in shown
    assert f"best: {result.best.reward:.4g} of white" in shown
    assert shown.count("data:image/png;base64,") == 3


def test_a_figure_has_a_point_for_every_candidate():
    result = zo_dno.optimize(ToyGenerator(), "brightness", queries=32)
    figure = hacking_figure(result.history)
    assert [len(axes.collections[0].get_offsets()) for axes in figure.axes[:3]] == [32, 32, 32]


@pytest.mark.browser
@pytest.mark.real_figure
@pytest.mark.slow
def test_a_browser_shows_it_without_errors_on_a_phone_too(folder):
    path = write_run_report(folder)
    with chromium() as browser:
        for width, height in ((1280, 900), (390, 844)):
            page = browser.new_page(viewport={"width": width, "height": height})
            messages = []
            page.on("console", lambda message, messages=messages: messages.append(message.text))
            page.on("pageerror", lambda error, messages=messages: messages.append(str(error)))
            page.goto(path.as_uri())
            assert messages == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert page.evaluate("[...document.images].every(image => image.naturalWidth > 0)")
            page.close()
