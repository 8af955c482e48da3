"""The gallery's page has what its program writes: commands, pictures, figures, and only what was looked at."""

import json
import shlex
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.gallery import ENTRIES, PICTURES, SEEN, hashed, section, shown
from zo_dno.scenes import grammar

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "gallery.md").read_text()


@pytest.fixture
def run(tmp_path):
    Image.new("RGB", (64, 64), "navy").save(tmp_path / "first.png")
    Image.new("RGB", (64, 64), "orange").save(tmp_path / "best.png")
    ends = {"first": {"reward": 1.0}, "best": {"reward": 2.5, "log_prob": -1.5}}
    result = {"reward": "warm", "unit": "score", "held_out": {"prompt_match": {"first": 0.9, "best": 0.45}}, **ends}
    (tmp_path / "result.json").write_text(json.dumps(result))
    return tmp_path


def test_a_section_has_the_figures_and_warns_of_a_hacked_reward(run):
    text = section(ENTRIES[0], run, "pair.webp")
    assert "| warm / score | 1 | 2.5 |" in text
    assert "| prompt match | 0.900 | 0.450 |" in text
    assert "lost 50% of its prompt match" in text
    assert shlex.join(ENTRIES[0].command) in text


def test_only_the_picture_that_was_looked_at_is_described(run, monkeypatch):
    monkeypatch.setitem(SEEN, shown(run), "An orange square.")
    assert "An orange square." in section(ENTRIES[0], run, "pair.webp")
    Image.new("RGB", (64, 64), "green").save(run / "best.png")
    assert "An orange square." not in section(ENTRIES[0], run, "pair.webp")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.name)
def test_every_search_is_on_the_page_with_its_picture_and_what_it_shows(entry):
    grammar.parse(entry.prompt)
    assert f"## {entry.title}\n" in PAGE
    assert shlex.join(entry.command) in PAGE
    with Image.open(ROOT / PICTURES / f"{entry.name}.webp") as picture:
        assert SEEN[hashed(picture)] in PAGE
        assert picture.width > 2 * picture.height
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 16
