"""Images and noise of a run: which files are written, when their rows may be, and what is read back."""

import threading

import numpy as np
import pytest
import torch

from tests.support.clocks import PATIENCE
from zo_dno.errors import StorageError
from zo_dno.storage import artifacts as module
from zo_dno.storage.artifacts import Artifacts
from zo_dno.storage.images import image_hash, noise_hash

IMAGES = [np.full((4, 4, 3), level, dtype=np.uint8) for level in (0, 90, 200)]


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


@pytest.fixture
def kept(folder):
    folder.mkdir()
    made = Artifacts(folder)
    yield made
    made.close()


def keep(artifacts, *numbers):
    for number in numbers:
        artifacts.keep_image("search", number, IMAGES[number], image_hash(IMAGES[number]))


def test_rows_come_after_their_files_and_once(kept, folder):
    keep(kept, 0, 1)
    z = torch.randn(6)
    kept.keep_noise("search", 1, z)
    rows = kept.flush()
    assert {row.path for row in rows} == {
        f"images/{image_hash(IMAGES[0])}.png",
        f"images/{image_hash(IMAGES[1])}.png",
        "noise/search-000001.safetensors",
    }
    assert all((folder / row.path).exists() for row in rows)
    assert next(row.sha256 for row in rows if row.kind == "noise") == noise_hash(z)
    assert kept.flush() == kept.written() == []
    assert torch.equal(kept.noise("search", 1), z)


def test_a_row_waits_until_its_file_is_there(kept, monkeypatch):
    begun, finish, write = threading.Event(), threading.Event(), module.write_png

    def slow(path, image):
        begun.set()
        assert finish.wait(PATIENCE)
        write(path, image)

    monkeypatch.setattr(module, "write_png", slow)
    keep(kept, 0)
    assert begun.wait(PATIENCE)
    assert kept.written() == []
    finish.set()
    assert len(kept.flush()) == 1


def test_what_cannot_be_written_is_raised_where_its_row_would_be_written(kept, monkeypatch):
    def full(path, image):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_png", full)
    keep(kept, 0)
    with pytest.raises(StorageError, match="No space left on device"):
        kept.flush()


def test_durable_files_are_there_when_the_call_returns(folder):
    folder.mkdir()
    durable = Artifacts(folder, every=16, durable=True)
    keep(durable, 2)
    assert (folder / "images" / f"{image_hash(IMAGES[2])}.png").exists()
    assert len(durable.written()) == 1
    assert durable.every == 1
    durable.close()


def test_an_image_is_read_back_even_while_it_is_written_and_never_another(kept, folder):
    keep(kept, 0, 1)
    names = [image_hash(image) for image in IMAGES]
    assert np.array_equal(kept.image(names[0]), IMAGES[0])
    assert kept.image(names[2]) is None
    assert kept.image("../ledger") is None
    kept.flush()
    paths = [folder / "images" / f"{name}.png" for name in names]
    paths[0].write_bytes(paths[1].read_bytes())
    assert kept.image(names[0]) is None  # its content is another image's
    paths[1].write_bytes(b"damaged")
    assert kept.image(names[1]) is None
    paths[1].unlink()
    assert kept.image(names[1]) is None
    assert kept.has_image(names[1])
    assert not kept.has_image(names[2])


def test_files_of_an_earlier_session_are_known(kept, folder):
    keep(kept, 0)
    z = torch.ones(3)
    kept.keep_noise("search", 0, z)
    later = Artifacts(folder, known=kept.flush())
    assert later.has_image(image_hash(IMAGES[0]))
    assert np.array_equal(later.image(image_hash(IMAGES[0])), IMAGES[0])
    assert torch.equal(later.noise("search", 0), z)
    assert later.noise("search", 1) is None
    (folder / "noise" / "search-000000.safetensors").write_bytes(b"damaged")
    assert later.noise("search", 0) is None
    later.close()


def test_the_noise_that_is_written_is_that_of_the_call(kept):
    z = torch.zeros(3)
    kept.keep_noise("search", 0, z)
    z += 1
    kept.flush()
    assert torch.equal(kept.noise("search", 0), torch.zeros(3))


def test_without_a_folder_nothing_is_kept():
    nothing = Artifacts(None)
    keep(nothing, 0)
    nothing.keep_noise("search", 0, torch.zeros(3))
    assert nothing.flush() == []
    assert nothing.image(image_hash(IMAGES[0])) is None
    assert nothing.has_image("anything")
    nothing.close()
