"""Folders of others: nothing but plain files of their own."""

import os

import pytest
import yaml

from zo_dno.errors import InputError
from zo_dno.storage import plain_yaml
from zo_dno.storage.atomic import read_yaml, write_yaml
from zo_dno.storage.checked_folder import check_folder
from zo_dno.storage.csv_cells import plain_cell
from zo_dno.storage.plain_json import parse_json
from zo_dno.storage.plain_yaml import LARGEST, MOST, parse_yaml


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "run"
    (made / "images").mkdir(parents=True)
    (made / "config.yaml").write_text("prompt: x\n")
    (made / "images" / "one.png").write_bytes(b"1")
    check_folder(made)
    return made


def test_the_folder_itself_may_be_a_link(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    check_folder(tmp_path / "link")


@pytest.mark.parametrize("name", ["strip.png", "images/two.png", "top"])
def test_links_are_refused(folder, name):
    (folder / name).symlink_to("/etc/passwd")
    with pytest.raises(InputError, match=rf"run must hold files of its own; {name} in .* is a link"):
        check_folder(folder)


def test_special_files_are_refused_and_not_waited_for(folder):
    os.mkfifo(folder / "result.json")
    with pytest.raises(InputError, match=r"run must hold plain files; result\.json in .* is none"):
        check_folder(folder)


def test_texts_that_would_fill_the_memory_are_refused(folder):
    with (folder / "result.json").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(InputError, match=r"text files of at most 64 MiB; result\.json in .* is larger"):
        check_folder(folder)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: &a [1]\nb: *a\n", "alias"),
        ("a: " + "[" * 20_000, "nested too deeply"),
        ("- " * 200 + "a\n", "nested too deeply"),
        ("a: [" + "1, " * 2**14 + "]\n", "more than 16384 values"),
        ("a: 2024-99-99\n", "could not be read"),
        ("a: !!bool x\n", "a value does not fit its type"),
        ("a: !!timestamp x\n", "a value does not fit its type"),
        ("a: !!int ''\n", "a value does not fit its type"),
        ("a: " + "1:" * 300 + "1.5\n", "a value does not fit its type"),
        ("a: 0x" + "f" * 5000 + "\n", "a number of 5002 digits"),
        ("a: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("# " + "x" * 2**20 + "\n", "more than 1048576"),
        ("- a\n", "must hold lines of `key: value`; got list"),
        ("a: [\n", "could not be read"),
    ],
    ids=[
        *("alias", "deep", "deep lines", "many", "date", "bool", "timestamp", "int", "sixties", "long"),
        *("object", "large", "list", "cut"),
    ],
)
def test_config_files_of_others(tmp_path, text, said):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        read_yaml(tmp_path / "config.yaml")
    assert "\n" not in str(caught.value)


@pytest.fixture
def small(monkeypatch):
    """Let config files be an eighth as large, since PyYAML takes seconds for the largest."""
    for name, bound in (("LARGEST", LARGEST), ("MOST", MOST)):
        monkeypatch.setattr(plain_yaml, name, bound // 8)


@pytest.mark.parametrize("text", ["1, " * 300_000, "[" * 300_000, ("[" * 90 + "]" * 90 + ", ") * 5_000])
@pytest.mark.usefixtures("small")
def test_a_large_config_file_is_read_no_further_than_it_may_be(monkeypatch, text):
    """Which bounds the time: PyYAML needs minutes for such texts."""
    compose, seen = yaml.SafeLoader.compose_node, []

    def counted(self, parent, index):
        seen.append(index)
        return compose(self, parent, index)

    monkeypatch.setattr(yaml.SafeLoader, "compose_node", counted)
    with pytest.raises(ValueError):
        parse_yaml(f"a: [{text}]"[: plain_yaml.LARGEST])
    assert len(seen) <= plain_yaml.MOST


def test_brackets_in_a_text_are_no_depth(tmp_path):
    (tmp_path / "config.yaml").write_text(f"a: '{'[' * 200}'\n")
    assert read_yaml(tmp_path / "config.yaml") == {"a": "[" * 200}


@pytest.mark.usefixtures("small")
def test_what_is_written_can_be_read(tmp_path):
    path, shared = tmp_path / "config.yaml", [1.5, {"b": None}]
    values = {"first": shared, "second": shared, "prompts": [f"a cat with {n} hats" for n in range(750)]}
    write_yaml(path, values)
    assert read_yaml(path) == values
    for many in ({"a": [0] * plain_yaml.MOST}, {"a": "x" * plain_yaml.LARGEST}, {"a": 10**400}):
        with pytest.raises(InputError, match="options must be few enough for a config file that can be read again"):
            write_yaml(path, many)
    assert read_yaml(path) == values


@pytest.mark.parametrize(
    "text",
    ["[" * 100_000, "[" * 101 + "]" * 101, '{"a":' * 101 + "1" + "}" * 101, "{", "nonsense", "[1" + "0" * 300 + "]"],
    ids=["deep", "lists", "objects", "cut", "words", "long"],
)
def test_json_of_others(text):
    with pytest.raises(ValueError):
        parse_json(text)
    with pytest.raises(ValueError, match="more than 2"):
        parse_json("[1]", largest=2)
    assert len(parse_json('["' + "[" * 200 + '", ' + "[" * 99 + "]" * 99 + "]")) == 2


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_cells_that_a_spreadsheet_would_execute_are_texts(cell):
    assert plain_cell(cell) == f"'{cell}"
    for plain in ("sea", "", 3, -3.0, None):
        assert plain_cell(plain) == plain
