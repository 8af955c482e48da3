"""The check of recorded images."""

from types import SimpleNamespace

import pytest

from zo_dno.search.drift import DriftCheck, DriftError

RENDERED = [SimpleNamespace(sha256=name) for name in "abc"]
ROWS = {4: SimpleNamespace(image="a"), 5: SimpleNamespace(image="x"), 6: SimpleNamespace(image="y")}


def test_a_difference_is_raised():
    with pytest.raises(DriftError, match="the model renders another image of candidate 5 than it did"):
        DriftCheck(accept=False).compare((4, 5, 6), RENDERED, ROWS)


def test_the_first_accepted_difference_is_kept():
    check = DriftCheck(accept=True)
    check.compare((4, 5, 6), RENDERED, ROWS)
    assert check.found == "the model renders another image of candidate 5 than it did"


def test_candidates_without_a_row_are_new():
    check = DriftCheck(accept=False)
    check.compare((7, 8, 9), RENDERED, ROWS)
    assert check.found is None
