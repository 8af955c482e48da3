"""Settings of a pipeline's speed and memory that do not work here: one line."""

import pytest

from zo_dno.errors import InputError
from zo_dno.generators.speed import Speed


class Pipeline:
    """Cannot be moved."""

    def __init__(self, error):
        self._error = error

    def to(self, device):
        raise self._error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("no such device\nsee the manual"), "no such device"),
        (NotImplementedError(), "NotImplementedError"),
    ],
)
def test_a_device_that_does_not_work_is_one_line(error, reason):
    with pytest.raises(InputError) as raised:
        Speed(device="cpu").apply(Pipeline(error))
    assert str(raised.value) == f"device 'cpu' does not work here: {reason}"
