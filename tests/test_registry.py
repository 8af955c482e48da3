"""The tables of strategies, spaces and rewards."""

import pytest

from zo_dno.errors import InputError
from zo_dno.registry import checked_options, first_lines, is_import, load, options_of
from zo_dno.rewards import REWARDS
from zo_dno.spaces import SPACES
from zo_dno.strategies import STRATEGIES


@pytest.mark.parametrize(("kind", "table"), [("strategy", STRATEGIES), ("space", SPACES), ("reward", REWARDS)])
def test_first_lines_are_those_of_the_imported_classes(kind, table):
    for name, line in first_lines(table).items():
        assert line
        assert line == (load(kind, table, name).__doc__ or "").partition("\n")[0]


@pytest.mark.parametrize("name", [":x", ".a:x", "..:x", "a:", ":", "my rewards:warm", "this:warm-1"])
def test_a_name_without_a_package_or_a_name_in_it_is_refused(name):
    with pytest.raises(InputError, match=f"reward must be package.module:name; got '{name}'"):
        load("reward", REWARDS, name)


class Parent:
    def __init__(self, size: int = 1) -> None:
        self.size = size


class Passes(Parent):
    def __init__(self, *, speed: float = 2.0, **options: int) -> None:
        super().__init__(**options)
        self.speed = speed


class Decides(Passes):
    def __init__(self, depth: int = 3) -> None:
        super().__init__(speed=1.0, size=depth)


def test_options_of_a_parent_count_where_they_are_passed_on():
    assert set(options_of(Passes)) == {"size", "speed"}
    assert set(options_of(Decides)) == {"depth"}
    with pytest.raises(InputError, match="painter option 'size' is unknown"):
        checked_options("painter", Decides, {"size": 2})


def test_a_file_with_a_hyphen_in_its_name_is_found(tmp_path, monkeypatch):
    (tmp_path / "my-rewards.py").write_text("warm = 7")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert load("reward", {}, "my-rewards:warm") == 7
    assert is_import("my-rewards:warm")
