"""What is particular to TuRBO: small spaces, and a package that may not be there."""

import sys

import pytest

from tests.support.play import best, make, shifted_sphere
from zo_dno.errors import InputError
from zo_dno.strategies.turbo import TuRBO
from zo_dno.strategy import Problem


@pytest.mark.slow
def test_beats_best_of_n_in_a_small_space() -> None:
    """In all of 8 seeds; a strategy that is only as good would do that in 0.4 % of all cases."""
    for seed in range(8):
        found, drawn = (
            best(make(name, d=16, seed=seed, horizon=56, population=8), shifted_sphere, 56)
            for name in ("turbo", "random_search")
        )
        assert found > drawn


def test_many_dimensions_are_refused_with_the_space_to_take() -> None:
    with pytest.raises(
        InputError, match=r"turbo must search at most 1000 .* got 1024\. Take space=low_band with dims=64"
    ):
        TuRBO(Problem(1024, 100, 0))


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botorch", None)
    with pytest.raises(InputError, match=r"turbo needs BoTorch, .* pip install 'zo-dno\[bayes\]'"):
        TuRBO(Problem(16, 100, 0))


def test_options_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match=r"length must be above 0 and at most 1\.6"):
        make("turbo", length=2.0)
