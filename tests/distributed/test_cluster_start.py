"""A Ray of the run's own that cannot start: one line, and none of its processes is left."""

import pytest

from tests.support.command_line import exit_code
from tests.support.fake_ray import put_one_in_place_that_cannot_start
from zo_dno.distributed import cluster
from zo_dno.errors import InputError

LONG = "\n".join(f'  File "services.py", line {n}, in start\x1b[0m' for n in range(30)) + "\nThe node timed out" * 200


@pytest.mark.parametrize("error", [RuntimeError(LONG), TimeoutError(LONG), OSError(28, LONG), ValueError(LONG)])
def test_it_is_one_line_with_the_remedy(monkeypatch, error):
    ended = put_one_in_place_that_cannot_start(monkeypatch, error)
    with pytest.raises(InputError) as caught:
        cluster.connect()
    said = str(caught.value)
    assert said.startswith("Ray could not be started on this machine: ")
    assert said.endswith("Wait until the machine is less busy, or join a cluster that runs: --ray.")
    assert said.isprintable()
    assert len(said) < 2300
    assert ended == [True]


@pytest.mark.parametrize("option", ["--workers", "--generators"])
def test_a_command_ends_with_that_line(monkeypatch, tmp_path, capsys, option):
    put_one_in_place_that_cannot_start(monkeypatch, RuntimeError(LONG))
    monkeypatch.chdir(tmp_path)
    words = ("--model", "tests.support.toys:prompted", "--prompt", "sea", "--reward", "brightness", "--queries", 8)
    code = exit_code(("run", *words, "--threads", 1, option, 2, "--out", "here"))
    _, errors = capsys.readouterr()
    assert code == 2
    assert errors.startswith("Error: Ray could not be started on this machine: ")
    assert errors.count("\n") == 1
