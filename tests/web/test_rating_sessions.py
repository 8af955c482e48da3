"""The token of a run's rating page, and the file that holds it."""

import errno
import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from zo_dno.errors import InputError, StorageError
from zo_dno.web.rating_sessions import page_token


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.delenv("ZO_DNO_TOKEN", raising=False)
    return tmp_path / "rating-token"


def test_servers_that_start_together_share_one_token(file):
    with ThreadPoolExecutor(8) as threads:
        (token,) = set(threads.map(lambda _: page_token(file.parent), range(32)))
    assert len(token) == 32
    assert file.read_text() == token
    assert file.stat().st_mode & 0o777 == 0o600
    assert [*file.parent.iterdir()] == [file]


@pytest.mark.parametrize("content", ["", "\n", "short"])
def test_a_file_without_a_whole_token_is_refused(file, content):
    file.write_text(content)
    with pytest.raises(InputError, match=r"rating-token must hold a token of at least 16 characters; got \d\. Remove"):
        page_token(file.parent)
    file.unlink()
    assert len(page_token(file.parent)) == 32


def test_a_file_that_is_no_text_is_refused(file):
    file.write_bytes(b"\xff" * 32)
    with pytest.raises(InputError, match="rating-token must hold the token of the rating page: .*utf-8"):
        page_token(file.parent)


def test_a_full_disk_leaves_no_file_behind(file, monkeypatch):
    def full(handle, mode):
        os.close(handle)
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fdopen", full)
        with pytest.raises(StorageError, match="rating-token could not be written: No space left on device"):
            page_token(file.parent)
    assert not [*file.parent.iterdir()]
    assert len(page_token(file.parent)) == 32


def test_a_file_system_without_links_holds_a_token(file, monkeypatch):
    def refused(source, target):
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    assert page_token(file.parent) == page_token(file.parent) == file.read_text()
