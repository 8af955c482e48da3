"""Figures as files, as drawings that follow the theme of a page, and in notebooks."""

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from zo_dno.results.plot import BLUE, MANY_POINTS, Plot, heading, plain, scatter


def made(n=8, title="a title"):
    figure = Plot(4, 3)
    axes = figure.subplots()
    scatter(axes, np.arange(n), np.arange(n), s=4, color=BLUE, label="candidate")
    axes.set_title(title, parse_math=False)
    axes.legend()
    plain(axes)
    return figure


def test_a_notebook_shows_it():
    with Image.open(io.BytesIO(made()._repr_png_())) as picture:
        assert picture.size == (360, 270)


def test_a_title_of_any_characters_is_plain_and_warns_of_nothing(tmp_path, recwarn):
    figure = Plot(4, 3)
    heading(figure.subplots(), "\u65e5\u672c \x1b]52;c;aGk=\x07 \x85 cat", size=9)
    assert figure.axes[0].get_title(loc="left").split() == ["\u65e5\u672c", "]52;c;aGk=", "cat"]
    figure.savefig(tmp_path / "a.png", dpi=50)
    figure.write(tmp_path / "b.pdf")
    assert not recwarn.list


def test_a_drawing_keeps_texts_and_is_dark_on_a_dark_page():
    text = made(title="prompt <b> & \x07 bell").drawing()
    root = ET.fromstring(text)
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "prompt <b> &  bell" in texts
    (style,) = [one.text for one in root.iter() if one.text and "prefers-color-scheme: dark" in one.text]
    assert f'[style*="fill: {BLUE}"]' in style
    assert f"fill: {BLUE}" in text  # as matplotlib writes it
    assert "fill: #ffffff" in text  # of the legend


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize(("kind", "head"), [("svg", b"<?xml"), ("pdf", b"%PDF"), ("png", b"\x89PNG")])
def test_equal_figures_give_equal_files(tmp_path, kind, head):
    first, second = tmp_path / f"first.{kind}", tmp_path / f"second.{kind}"
    made().write(first)
    made().write(second)
    assert first.read_bytes().startswith(head)
    assert first.read_bytes() == second.read_bytes()


def test_equal_figures_give_equal_drawings():
    assert made().drawing() == made().drawing()


@pytest.mark.parametrize("n", [MANY_POINTS, 40 * MANY_POINTS])
def test_many_points_are_one_picture(n):
    text = made(n).drawing()
    assert text.count("<use") > MANY_POINTS if n == MANY_POINTS else "<image" in text
    assert len(text) < 400_000
