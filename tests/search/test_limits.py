"""How many queries a budget leaves, and which limit ends a search."""

import pytest

from zo_dno.errors import InputError
from zo_dno.search.limits import Limits


@pytest.mark.parametrize(
    ("limits", "spent", "left"),
    [
        (Limits(10), {"queries": 4}, 6),
        (Limits(10), {"queries": 12}, 0),
        (Limits(10, nfe=35), {"queries": 0}, 7),
        (Limits(10, nfe=35), {"queries": 3}, 4),
        (Limits(10, nfe=35), {"queries": 3, "other_nfe": 6}, 2),
        (Limits(10, nfe=35), {"queries": 7, "other_nfe": 6}, 0),
        (Limits(5, nfe=35), {"queries": 3}, 2),
        (Limits(10, nfe=35), {"queries": 0, "nfe_per_image": 0}, 10),
        (Limits(10, seconds=60), {"queries": 4, "seconds": 59.9}, 6),
        (Limits(10, seconds=60), {"queries": 4, "seconds": 60.0}, 0),
    ],
)
def test_the_tightest_limit_says_how_many_queries_are_left(limits, spent, left):
    assert limits.left(**{"seconds": 0.0, "nfe_per_image": 5, **spent}) == left


@pytest.mark.parametrize(
    ("queries", "other_nfe", "reached"),
    [(10, 0, "queries"), (7, 0, "nfe"), (6, 5, "nfe"), (6, 4, "nfe"), (6, 0, "seconds")],
)
def test_the_limit_that_was_reached_is_named(queries, other_nfe, reached):
    assert Limits(10, seconds=60, nfe=35).limit(queries, 5, other_nfe) == reached


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"queries": 0}, "queries must be at least 1; got 0"),
        ({"queries": 1, "nfe": 0}, "nfe must be at least 1; got 0"),
        ({"queries": 1, "seconds": 0.0}, "seconds must be more than 0; got 0"),
        ({"queries": 1, "seconds": float("nan")}, "seconds must be more than 0; got nan"),
    ],
)
def test_a_limit_out_of_range_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        Limits(**given)
