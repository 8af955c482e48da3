"""A Ray of the run's own that cannot start: one line, and none of its processes is left."""

import os
import sys

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


@pytest.mark.parametrize("times", [1, 2])
def test_one_that_is_late_is_started_once_more(monkeypatch, caplog, times):
    ended = put_one_in_place_that_cannot_start(monkeypatch, Exception("The current node timed out during startup."))
    fails = sys.modules["ray"].init
    begun = []

    def init(**options):
        begun.append(options["address"])
        if len(begun) <= times:
            fails(**options)

    sys.modules["ray"].init = init
    if times == 1:
        assert cluster.connect() is sys.modules["ray"]
    else:
        with pytest.raises(InputError, match=r"Ray could not be started on this machine: .* timed out during startup"):
            cluster.connect()
    assert (begun, ended) == (["local"] * 2, [True] * times)
    assert caplog.text.count("it is started once more") == 1


def test_it_asks_for_a_token_of_its_own_and_listens_on_loopback(monkeypatch):
    """As Ray reads it; that it does so is tested with a real one in test_reward_actors.py."""
    tokens = []
    for _ in range(2):
        monkeypatch.setattr(os, "environ", {})
        monkeypatch.delitem(sys.modules, "ray", raising=False)
        cluster._keep_private()
        assert (os.environ["RAY_AUTH_MODE"], os.environ[cluster._CLUSTER_FLAG]) == ("token", "0")
        tokens.append(os.environ["RAY_AUTH_TOKEN"])
    assert len(set(tokens)) == 2
    assert {len(token) for token in tokens} == {64}


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
