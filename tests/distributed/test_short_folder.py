"""A folder for Ray's sockets, whose paths the operating system limits to 107 bytes."""

import os
import tempfile
from pathlib import Path

import pytest

from zo_dno.distributed import cluster
from zo_dno.errors import InputError


def temporary(monkeypatch, folder):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: folder)
    return cluster._short_folder()


def test_a_short_one_is_left_to_ray(monkeypatch):
    assert temporary(monkeypatch, "/tmp") is None


def test_a_scheduler_s_long_one_is_replaced_by_one_of_the_users_own(monkeypatch):
    folder = Path(temporary(monkeypatch, "/scratch/" + 91 * "x"))
    assert len(os.fsencode(folder)) <= cluster._LONGEST_FOLDER
    private = folder.parent.stat()
    assert (private.st_uid, private.st_mode & 0o777) == (os.getuid(), 0o700)


def test_a_folder_set_for_ray_is_kept(monkeypatch):
    monkeypatch.setenv("RAY_TMPDIR", "/elsewhere")
    monkeypatch.setattr(tempfile, "gettempdir", lambda: "/scratch/" + 91 * "x")
    assert cluster._short_folder() is None


def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(InputError, match=r"TMPDIR must have at most 40 bytes .* Permission denied\. Set RAY_TMPDIR"):
        temporary(monkeypatch, "/scratch/" + 91 * "x")
