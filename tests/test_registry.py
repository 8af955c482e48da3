"""The tables of strategies, spaces and rewards."""

import pytest

from zo_dno.registry import first_lines, load
from zo_dno.rewards import REWARDS
from zo_dno.spaces import SPACES
from zo_dno.strategies import STRATEGIES


@pytest.mark.parametrize(("kind", "table"), [("strategy", STRATEGIES), ("space", SPACES), ("reward", REWARDS)])
def test_first_lines_are_those_of_the_imported_classes(kind, table):
    for name, line in first_lines(table).items():
        assert line
        assert line == (load(kind, table, name).__doc__ or "").partition("\n")[0]
