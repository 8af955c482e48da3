"""YAML of plain values: what is written is read again, and what is given twice is refused."""

import pytest

from zo_dno.errors import InputError
from zo_dno.storage.atomic import read_yaml
from zo_dno.storage.plain_yaml import parse_yaml, to_yaml


@pytest.mark.parametrize("end", ["\x85", "\u2028", "\u2029", "\n", "\r", "\r\n", "\ufeff", "\x00", "\x1b", "\t", " "])
def test_every_prompt_is_read_as_it_was_written(end):
    for prompt in (f"a{end}b", f"{end}b", f"a{end}", f"a {end} 'b': \"c\" #d"):
        assert parse_yaml(to_yaml({"prompt": prompt, prompt: 1})) == {"prompt": prompt, prompt: 1}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"prompt: a\nprompt: b\n", "could not be read: it has 'prompt' twice. Leave one out."),
        (b"budget: {queries: 8, queries: 9}\n", "could not be read: it has 'queries' twice. Leave one out."),
        (b"", "must hold lines of `key: value`; got none."),
        (b"a: \xff\xff", "could not be read: it is no text in UTF-8."),
        (None, "could not be read: No such file or directory."),
    ],
)
def test_a_file_with_a_mistake_is_one_line(tmp_path, content, message):
    path = tmp_path / "config.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as raised:
        read_yaml(path)
    assert str(raised.value) == f"config file {path} {message}"


def test_the_folder_of_a_run_is_no_config(tmp_path):
    with pytest.raises(InputError, match="could not be read: it is a folder; name a file in it"):
        read_yaml(tmp_path)
    (tmp_path / "config.yaml").touch()
    with pytest.raises(InputError, match=r"it is a folder; that of a run in it is .*config\.yaml\."):
        read_yaml(tmp_path)
