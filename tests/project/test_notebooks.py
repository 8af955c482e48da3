"""The notebooks run, show what their readers should see, and are written with their pictures beside their sources."""

import copy

import jupytext
import nbformat
import pytest
from nbformat import v4

from tests.support.notebooks import LARGEST, PICTURE, SOURCES, complaints, executed, png_of, settled


@pytest.mark.notebook
@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_shows_what_it_should(path, tmp_path):
    """Runs in an empty folder, as a user's would."""
    notebook = executed(path, tmp_path)
    assert not complaints(notebook)
    assert len(nbformat.writes(settled(notebook))) < LARGEST


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_written_one_is_small_and_shows_its_pictures(path):
    text = path.with_suffix(".ipynb").read_text(encoding="utf-8")
    paired, source = nbformat.reads(text, as_version=4), jupytext.read(path)
    cells = [
        [(cell.cell_type, cell.source, cell.metadata.get("tags")) for cell in one.cells] for one in (paired, source)
    ]
    assert cells[0] == cells[1], "write it again: make notebooks"
    assert sum(PICTURE in cell.metadata.get("tags", ()) for cell in source.cells) > 0
    assert not complaints(paired)
    assert len(text) < LARGEST
    assert nbformat.writes(settled(copy.deepcopy(paired))) == nbformat.writes(paired), "what changes is in it"


def cell(*outputs, tags=(PICTURE,)):
    return v4.new_notebook(cells=[v4.new_code_cell("shown", metadata={"tags": list(tags)}, outputs=list(outputs))])


def shown(**data):
    return v4.new_output("display_data", {name.replace("_", "/"): value for name, value in data.items()})


def stderr(text):
    return v4.new_output("stream", name="stderr", text=text)


COLOURS = png_of([[(255, 0, 0), (0, 0, 255)], [(0, 255, 0), (9, 9, 9)]])
BLANK = png_of([[(255, 255, 255)] * 2] * 2)
FIGURE = "<Figure size 800x540 with 2 Axes>"


@pytest.mark.parametrize(
    ("notebook", "words"),
    [
        (cell(shown(image_png=COLOURS, text_plain=FIGURE)), ""),
        (cell(shown(text_plain=FIGURE)), "shows no picture; shows only <Figure"),
        (cell(shown(image_png=BLANK)), "of one colour"),
        (cell(shown(image_png=COLOURS), shown(image_png=COLOURS)), "twice"),
        (cell(shown(image_png=COLOURS), tags=()), "lacks the tag"),
        (cell(shown(image_png=COLOURS), stderr("UserWarning: red")), "stderr: UserWarning"),
        (cell(v4.new_output("error", ename="ValueError", evalue="no", traceback=[]), tags=()), "ValueError: no"),
    ],
)
def test_what_a_reader_would_miss_is_found(notebook, words):
    found = "; ".join(complaints(notebook))
    for part in words.split("; "):
        assert part in found
    assert bool(found) == bool(words)


def test_what_changes_is_removed():
    bar = shown(text_html='<progress value="3" max="4"></progress> 12 images/s', text_plain="12 images/s")
    widget = shown(text_plain="VBox()", **{"application_vnd.jupyter.widget-view+json": {"model_id": "0"}})
    notebook = cell(bar, widget, shown(image_png=COLOURS))
    (output,) = settled(notebook).cells[0].outputs
    assert "image/png" in output.data
