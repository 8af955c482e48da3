"""What is particular to TuRBO: small spaces, and a package that may not be there."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import cycle
from typing import Any

import pytest
import torch
from botorch.optim import fit
from botorch.optim.core import OptimizationStatus

from tests.support.play import assert_beats_best_of_n, fit_briefly, make, play, same_candidates, shifted_sphere
from zo_dno.errors import InputError
from zo_dno.strategies.turbo import TuRBO
from zo_dno.strategy import Problem


@pytest.mark.slow
def test_beats_best_of_n_in_a_small_space() -> None:
    assert_beats_best_of_n("turbo", 96, population=16)  # of which each takes a fit


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


def stop_early(monkeypatch: pytest.MonkeyPatch, which: Iterator[bool]) -> None:
    """Let those of the fits that are True stop before their tolerance, so that BoTorch draws another start."""
    fit_briefly(monkeypatch)
    minimize = fit.scipy_minimize

    def stopping(*args: Any, **kwargs: Any) -> Any:
        found = minimize(*args, **kwargs)
        return replace(found, status=OptimizationStatus.FAILURE, message="ABNORMAL") if next(which) else found

    monkeypatch.setattr(fit, "scipy_minimize", stopping)


def test_a_fit_that_starts_again_draws_from_the_seed_of_the_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_early(monkeypatch, cycle([True, False]))

    def asked(seed: int, before: int) -> list[torch.Tensor]:
        torch.manual_seed(before)
        state = torch.get_rng_state()
        found = play(make("turbo", d=6, seed=seed, population=4), shifted_sphere, 4)
        assert torch.equal(torch.get_rng_state(), state)
        return found

    assert same_candidates(asked(1, 5), asked(1, 6))


def test_a_model_that_cannot_be_fitted_proposes_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    stop_early(monkeypatch, cycle([True]))
    asked = play(make("turbo", d=6, population=4), shifted_sphere, 4)
    assert all(bool(z.isfinite().all()) for z in asked)
