"""Benchmarks: their generators and figures, without their minutes of measuring."""

import pytest

from benchmarks import latency, ledger, scaling
from zo_dno.types import Generator


@pytest.mark.parametrize("made", [latency.SlowGenerator, scaling.Instant, lambda: ledger.Slice(192)])
def test_generators_of_benchmarks_keep_the_protocol(made):
    generator = made()
    assert isinstance(generator, Generator)
    assert generator.layout.d > 0
