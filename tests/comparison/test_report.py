"""Reports of comparisons: their numbers are those of the table."""

import html
import re
from base64 import b64decode
from io import BytesIO
from xml.etree import ElementTree

import pytest
from PIL import Image

import zo_dno
from tests.support.browser import chromium
from tests.support.html_cells import Cells
from tests.support.toys import ToyGenerator
from zo_dno.comparison.analysis import Analysis
from zo_dno.comparison.report import card as found_card
from zo_dno.comparison.report import comparison_report, hacked, summary_table, warnings
from zo_dno.comparison.table import COLUMNS, table_of
from zo_dno.ui import display


@pytest.fixture(scope="module")
def text(found):
    return comparison_report(found)


def test_the_report_has_the_numbers_of_the_table(found, text):
    page = Cells()
    page.feed(text)
    assert all(address.startswith("data:") for address in page.addresses)
    assert len(text) < 5e6
    rows = {row[0]: row[1:] for row in page.rows if len(row) == 8}
    sixes = [row for row in page.rows if len(row) == 6]
    costs = {row[0]: row[1:] for row in sixes if ": " not in row[1]}
    for one in found.summary().to_dict("records"):
        cells = rows[one["entry"]]
        assert cells[0] == str(one["runs"])
        assert cells[1:3] == [
            f"{one[name]:.3f} [{one[low]:.3f}, {one[high]:.3f}]"
            for name, low, high in (
                ("iqm", "iqm_low", "iqm_high"),
                ("better_than_reference", "better_low", "better_high"),
            )
        ]
        assert cells[3:6] == [f"{one['rank']:.4g}", f"{one['feasible']:.0%}", f"{one['log_prob']:.4g}"]
        assert cells[6] == f"{one['held_out_first saturation']:.4g} → {one['held_out saturation']:.4g}"
        paid = ("seconds", "strategy_seconds", "nfe", "failed", "cost")
        assert costs[one["entry"]] == [f"{one[name]:.4g}" for name in paid]
    for one, row in zip(
        found.at_equal_seconds().to_dict("records"), [row for row in sixes if ": " in row[1]], strict=True
    ):
        assert row[:4] == [
            one["entry"],
            f"{one['reward']}: {one['prompt']}",
            f"{one['seconds']:.4g}",
            str(one["draws"]),
        ]
        assert row[4] == f"{one['best']:.4g}"
        assert row[5] in (f"{one['best_of_n']:.4g}", "more draws than there are")
    at = found.table[found.table["budget"] == 48]
    means = {row[0]: row[1:] for row in page.rows if len(row) == 5}
    for entry, own in at.groupby("entry"):
        expected = own.groupby(["reward", "prompt"])["best"].mean()
        assert means[entry] == [f"{value:.4g}" for value in expected]
    for claim in found.claims():
        assert str(claim) in html.unescape(text)


def test_nothing_of_the_report_is_loaded_run_or_wider_than_a_phone(text):
    """Images are inside and whole, tables scroll, figures have a drawing for phones, and no script is there to fail."""
    assert "<script" not in text
    assert "width=device-width" in text
    assert len(re.findall("<table", text)) == len(re.findall('<div class="wide"[^>]*><table', text)) > 2
    assert len(re.findall('<img class="plot"', text)) == len(re.findall(r'<source media="\(max-width', text)) == 4
    assert ".wide { overflow-x: auto }" in text
    page = Cells()
    page.feed(text)
    images = [address for address in page.addresses if address.startswith("data:image")]
    for address in images:
        kind, _, content = address.removeprefix("data:image/").partition(";base64,")
        if kind == "svg+xml":
            assert ElementTree.fromstring(b64decode(content)).tag.endswith("svg")
        else:
            Image.open(BytesIO(b64decode(content))).load()
    assert len(images) == text.count("<img")


@pytest.mark.browser
@pytest.mark.slow
def test_the_report_opens_without_errors_and_fits_a_phone(found):
    path = found.report()
    with chromium() as browser:
        for width in (1200, 390):
            page, messages = browser.new_page(viewport={"width": width, "height": 800}), []
            page.on("console", lambda message, messages=messages: messages.append(message.text))
            page.on("pageerror", lambda error, messages=messages: messages.append(str(error)))
            page.goto(f"file://{path}")
            assert messages == []
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            broken = "[...document.images].filter(image => !image.complete || !image.naturalWidth).length"
            assert page.evaluate(broken) == 0


def test_a_notebook_shows_a_comparison(found):
    assert "climb" in found._repr_html_()


@pytest.mark.slow
def test_too_few_seeds_are_reported(tmp_path):
    for name in ("random_search", "snes"):
        zo_dno.optimize(ToyGenerator(), "brightness", name, queries=16, threads=1, out=tmp_path / name)
    found = zo_dno.Comparison.of_runs([tmp_path / "random_search", tmp_path / "snes"])
    text = comparison_report(found)
    assert "Some entries have 1 seeds for a reward and prompt; intervals take 3." in text
    assert "1 pairs are too few to say whether that is chance" in text


def test_winners_that_fool_the_reward_are_named(capsys):
    """A comparison of a search that raises its reward and loses what was not optimised, and of one that does not."""
    both = {"held_out_first prompt_match": 0.97, "held_out prompt_match": 0.9}
    rows = [
        {**dict.fromkeys(COLUMNS, 0), "entry": entry, "reward": "r", "prompt": "p", "unit": "kB", "seed": seed}
        | {"budget": 64, "queries": 64, "best": best + seed / 10, "feasible": True, "over": True, "folder": "f"}
        | (both | {"held_out prompt_match": 0.62, "feasible": seed > 0} if entry == "snes" else both)
        for entry, best in (("random_search", 1.0), ("snes", 2.0))
        for seed in range(3)
    ]
    found = Analysis(table_of(rows))
    odd, sentence = hacked(found)
    assert odd == (
        "33% of the winners of snes are not plausible as draws of a Gaussian: their rewards may be bought "
        "with odd noise."
    )
    assert sentence.startswith("snes lost 36% of prompt_match (held out) on average, from 0.97 to 0.62")
    lost = [row["lost prompt_match"] for row in found.summary().to_dict("records")]
    assert lost == pytest.approx([0.361, 0.072], abs=1e-3)
    assert {odd, sentence} <= {*warnings(found)}
    assert odd in html.unescape(found_card(found))
    table = summary_table(found, 64)
    assert table.head[-1] == "prompt_match, held out"
    assert [row[-1] for row in table.rows] == ["0.97 → 0.62", "0.97 → 0.9"]
    display.comparison(found)
    assert "prompt_match" in capsys.readouterr().out
