"""What is particular to CMAES and Nevergrad: the traps of their libraries."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.play import make, play, shifted_sphere
from zo_dno.errors import InputError, RunError
from zo_dno.strategies.cmaes import CMAES
from zo_dno.strategies.numpy_global import OwnGlobalNumpy
from zo_dno.strategy import Problem
from zo_dno.testing.search import holes, same_candidates

POPULATIONS = ["OnePlusOne", "DiagonalCMA", "TwoPointsDE", "PSO", "CMA"]


def test_the_global_generator_is_swapped_back_after_an_error() -> None:
    own = OwnGlobalNumpy(0)
    np.random.standard_normal()
    before = repr(np.random.get_state())
    first: list[float] = []
    with pytest.raises(KeyError), own.swapped_in():
        first.append(np.random.rand())
        raise KeyError
    assert repr(np.random.get_state()) == before
    with own.swapped_in():
        assert np.random.rand() != first[0]  # it went on, rather than starting again
    with OwnGlobalNumpy(0).swapped_in():
        assert np.random.rand() == first[0]


@pytest.mark.parametrize("name", ["cmaes", pytest.param("nevergrad", marks=pytest.mark.slow)])
def test_flat_rewards_do_not_send_the_search_back(name: str) -> None:
    """Pycma wants to stop on flat rewards, and nevergrad then restarts it from its first point."""
    strategy = make(name, d=60, population=16, horizon=2000)
    play(strategy, shifted_sphere, 60)
    play(strategy, lambda z: torch.ones(len(z)), 30)
    (after,) = play(strategy, shifted_sphere, 1)
    asked = play(make(name, d=60, population=16, horizon=2000), shifted_sphere, 1)[0]
    assert float(shifted_sphere(after).mean()) > float(shifted_sphere(asked).max())


@pytest.mark.parametrize("name", ["cmaes", "nevergrad"])
def test_silent_and_without_files(name: str, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("error")  # pycma and nevergrad both warn of NaN
        patch.chdir(tmp_path)
        play(make(name), holes, 12)
    assert capfd.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())


def test_cmaes_refuses() -> None:
    with pytest.raises(InputError, match="population must be at least 4 with pycma; got 3"):
        make("cmaes", population=3)
    with pytest.raises(InputError, match="mean_rate must be above 0; got 0.0"):
        make("cmaes", mean_rate=0.0)


@pytest.mark.parametrize("optimizer", POPULATIONS)
def test_nevergrad_optimizers_keep_the_laws(optimizer: str) -> None:
    first, again = (make("nevergrad", d=30, optimizer=optimizer) for _ in range(2))
    asked = play(first, holes, 4)
    assert same_candidates(asked, play(again, holes, 4))
    norms = torch.cat(asked)[1:].norm(dim=1)
    torch.testing.assert_close(norms, torch.full_like(norms, 30**0.5))
    project = make("nevergrad", d=30, optimizer=optimizer)
    project.load_state_dict(first.state_dict())
    assert same_candidates(play(first, holes, 4), play(project, holes, 4))


def test_nevergrad_raises_its_population_to_the_optimizers_own() -> None:
    strategy = make("nevergrad", d=1024, population=16, horizon=96)
    assert [len(z) for z in play(strategy, shifted_sphere, 3)] == [24, 24, 24]


def test_nevergrad_never_learns_an_extreme_loss() -> None:
    strategy = make("nevergrad", optimizer="DE")
    seen: list[float] = []
    strategy._inner.register_callback("tell", lambda optimizer, candidate, loss: seen.append(loss))
    play(strategy, lambda z: torch.full((len(z),), torch.nan), 2)
    assert not seen
    play(strategy, holes, 2)
    play(strategy, lambda z: torch.full((len(z),), torch.nan), 2)
    play(strategy, holes, 1)
    assert len(seen) == 5 * strategy.population
    assert max(map(abs, seen)) < 100


def test_nevergrad_memory_is_bounded() -> None:
    strategy = make("nevergrad", optimizer="OnePlusOne", horizon=600)
    play(strategy, shifted_sphere, 100)
    assert len(strategy._inner.archive) <= 4 * strategy.population


@pytest.mark.parametrize(
    ("optimizer", "message"),
    [
        ("OnePlusOn", "optimizer 'OnePlusOn' is unknown. Did you mean 'OnePlusOne'"),
        ("NelderMead", "optimizer must take a population; got 'NelderMead'. Try 'DiagonalCMA'"),
        ("ParaPortfolio", "optimizer must take a population; got 'ParaPortfolio'"),
        ("BAR4", "optimizer must be one that nevergrad can build; got 'BAR4'"),
    ],
)
def test_nevergrad_refuses(optimizer: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        make("nevergrad", optimizer=optimizer)


def test_nevergrad_says_when_a_design_has_come_to_its_end() -> None:
    strategy = make("nevergrad", optimizer="ScrHammersleySearch", horizon=16)
    play(strategy, shifted_sphere, 3)
    with pytest.raises(RunError, match="ScrHammersleySearch failed after 18 of 16 queries"):
        strategy.ask()


def test_nevergrad_refuses_a_negative_width() -> None:
    with pytest.raises(InputError, match="sigma must be at least 0; got -1.0"):
        make("nevergrad", sigma=-1.0)


@pytest.mark.parametrize("covariance", ["vd", "vkd", "full"])
def test_other_covariances_climb_and_go_on_after_a_restore(covariance: str) -> None:
    def made() -> Any:
        return make("cmaes", d=20, seed=2, horizon=400, population=8, covariance=covariance)

    whole, first = made(), made()
    asked = play(whole, shifted_sphere, 50)
    play(first, shifted_sphere, 10)
    second = made()
    second.load_state_dict(first.state_dict())
    assert torch.equal(torch.cat(play(second, shifted_sphere, 40)), torch.cat(asked[10:]))
    assert shifted_sphere(asked[-1]).mean() > shifted_sphere(asked[0]).mean() + 0.3


def test_a_full_covariance_that_would_not_fit_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"covariance full takes 10\.7 GB at d = 16384\. Search a space of at most 7071 "
    ):
        CMAES(Problem(16_384, 100, 0), covariance="full")


def test_an_unknown_covariance_is_named() -> None:
    with pytest.raises(InputError, match="covariance 'ful' is unknown. Did you mean 'full'"):
        make("cmaes", covariance="ful")
