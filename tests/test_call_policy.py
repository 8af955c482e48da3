import math

import pytest

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"in_flight": 0}, "in_flight must be at least 1; got 0"),
        ({"attempts": 0}, "attempts must be at least 1; got 0"),
        ({"timeout": 0}, "timeout must be above 0; got 0"),
        ({"deadline": -1}, "deadline must be above 0; got -1"),
        ({"price": -0.1}, "price must be at least 0; got -0.1"),
        ({"price": math.nan}, "price must be a finite number; got nan"),
        ({"token_price": 1.0}, "max_tokens must be given with token_price"),
        ({"tokens_per_minute": 10.0}, "max_tokens must be given with token_price or tokens_per_minute"),
    ],
)
def test_a_number_out_of_range_is_refused(changes, message):
    with pytest.raises(InputError, match=message):
        CallPolicy(**changes)
