"""Files that are written whole: what cannot be written is one error, and leaves nothing."""

import pytest

from zo_dno.errors import InputError, StorageError
from zo_dno.storage.atomic import write_text, write_whole


def test_a_file_whose_writing_is_interrupted_leaves_nothing(tmp_path):
    def interrupted(path):
        path.touch()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(tmp_path / "file.txt", interrupted)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("file/a.csv", "file is not a folder. Name another."),
        ("file/b/a.csv", "file/b is not a folder. Name another."),
        ("none/b/a.csv", "none/b is not a folder. Name another."),
        ("folder", "it is a folder. Name a file in it."),
        ("x" * 300, "File name too long. Make room"),
    ],
)
def test_a_file_that_cannot_be_there_is_one_error(tmp_path, monkeypatch, name, why):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError) as error:
        write_text(tmp_path.joinpath(name).relative_to(tmp_path), "text")
    assert f"file {name} could not be written: {why}" in str(error.value)
    assert {path.name for path in tmp_path.rglob("*")} == {"file", "folder"}


@pytest.mark.parametrize("name", [".", "/", ""])
def test_a_file_has_a_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="a file to write must have a name; got"):
        write_text(type(tmp_path)(name), "text")
