"""The notebooks: executed, checked for what a reader must see, and written with small outputs that do not change.

`python -m tests.support.notebooks [NAME...]` executes those named, or all, and writes them beside their sources.
"""

import base64
import io
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jupytext
import nbformat
import numpy as np
from nbclient import NotebookClient
from PIL import Image

SOURCES = sorted((Path(__file__).parents[2] / "notebooks").glob("*.py"))
PICTURE = "picture"
"""Tag of the cells that show a picture."""
LARGEST = 400_000
"""Bytes of a written notebook, at most."""
_WIDEST = 640  # pixels
_PATIENCE = 1200  # seconds a cell may take


def executed(source: Path, folder: Path) -> Any:
    """Execute a notebook in a folder, as a user would in an empty one.

    Returns:
        The notebook with its outputs.
    """
    notebook = jupytext.read(source)
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=_PATIENCE, resources=resources, record_timing=False)
    client.store_widget_state = False
    return client.execute()


def complaints(notebook: Any) -> list[str]:
    """Return what a reader would miss or be alarmed by: pictures that do not show, errors, warnings in red."""
    found = []
    for number, cell in enumerate(notebook.cells):
        if cell.cell_type != "code":
            continue
        outputs = cell.get("outputs", [])
        expected = PICTURE in cell.metadata.get("tags", ())
        pictures = [_data(out)["image/png"] for out in outputs if "image/png" in _data(out)]
        shown = bool(pictures)
        found += [f"cell {number} shows a picture of one colour" for picture in pictures if _is_blank(picture)]
        found += [f"cell {number} shows a picture twice"] if len(set(pictures)) < len(pictures) else []
        if expected and not shown:
            found.append(f"cell {number} shows no picture")
        if shown and not expected:
            found.append(f"cell {number} shows a picture and lacks the tag {PICTURE!r}")
        for output in outputs:
            if output.output_type == "error":
                found.append(f"cell {number} ends with {output.ename}: {output.evalue}")
            if output.output_type == "stream" and output.name == "stderr":
                found.append(f"cell {number} writes to stderr: {output.text[:200]}")
            if _data(output).keys() == {"text/plain"} and output.data["text/plain"].startswith("<"):
                found.append(f"cell {number} shows only {output.data['text/plain'][:80]}")
    return found


def settled(notebook: Any) -> Any:
    """Remove what changes from one execution to the next, and reduce the pictures."""
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number}"  # else a random one
        if cell.cell_type == "code":
            cell.outputs = [out for out in cell.outputs if not _changes(out)]
            for output in cell.outputs:
                if "image/png" in _data(output):
                    output.data["image/png"] = _reduced(output.data["image/png"])
                    output.data.pop("image/jpeg", None)  # the same once more, of Pillow's images
    notebook.metadata.pop("widgets", None)
    notebook.metadata.get("language_info", {}).pop("version", None)
    return notebook


def _changes(output: Any) -> bool:
    """Whether an output tells the speed of the machine, or cannot be shown without a kernel."""
    data = _data(output)
    html = data.get("text/html")
    return html == "" or "<progress" in (html or "") or "application/vnd.jupyter.widget-view+json" in data


def _data(output: Any) -> dict[str, Any]:
    return output.get("data", {})


def _is_blank(png: str) -> bool:
    return _opened(png).getcolors(1) is not None


def _opened(png: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")


def png_of(rows: Sequence[Sequence[tuple[int, int, int]]]) -> str:
    """Return a picture of some pixels, (height, width, 3), as a notebook holds it."""
    return _encoded(Image.fromarray(np.array(rows, np.uint8)))


def _reduced(png: str) -> str:
    """Return a picture at most as wide as a page; one that is so already stays as it is."""
    picture = _opened(png)
    if picture.width <= _WIDEST:
        return png
    height = round(picture.height * _WIDEST / picture.width)
    return _encoded(picture.resize((_WIDEST, height), Image.Resampling.LANCZOS))


def _encoded(picture: Image.Image) -> str:
    to = io.BytesIO()
    picture.save(to, format="png", optimize=True)
    return base64.b64encode(to.getvalue()).decode()


def write(source: Path) -> list[str]:
    """Execute a notebook and write it beside its source.

    Returns:
        What a reader would miss in it. Nothing is written then.
    """
    with tempfile.TemporaryDirectory() as folder:
        notebook = executed(source, Path(folder))
    if not (found := complaints(notebook)):
        nbformat.write(settled(notebook), source.with_suffix(".ipynb"))
    return found


if __name__ == "__main__":
    wrong = []
    for path in SOURCES:
        if len(sys.argv) < 2 or path.stem in sys.argv[1:]:
            wrong += [f"{path.name}: {complaint}" for complaint in write(path)]
    sys.exit("\n".join(wrong) or None)
