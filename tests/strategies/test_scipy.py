"""SciPy's optimizers, turned inside out."""

import gc
import threading
import time

import pytest
import torch

from tests.support.clocks import PATIENCE
from tests.support.play import make, play, same_candidates, shifted_sphere
from zo_dno.errors import InputError, RunError
from zo_dno.strategies.scipy_optimizers import MOST, OPTIMIZERS, Driven
from zo_dno.testing.search import holes

every = pytest.mark.parametrize("optimizer", OPTIMIZERS)


@every
def test_gets_better_and_goes_on_where_it_was(optimizer):
    strategy = make("scipy", d=16, horizon=600, optimizer=optimizer)
    asked = play(strategy, shifted_sphere, 40)
    first, last = (max(float(shifted_sphere(z).max()) for z in some) for some in (asked[:2], asked))
    assert last > first + 0.2
    other = make("scipy", d=16, horizon=600, optimizer=optimizer)
    other.load_state_dict(strategy.state_dict())
    assert same_candidates(play(strategy, holes, 5), play(other, holes, 5))


@every
def test_the_population_works_side_by_side(optimizer):
    """The first candidates are different prior draws, the start among them."""
    d = min(500, MOST.get(optimizer, 500))
    strategy = make("scipy", d=d, population=6, optimizer=optimizer)
    z = strategy.ask().z
    assert torch.equal(z[0], strategy.start)
    similar = torch.corrcoef(z).triu(1)
    assert float(similar.abs().max()) < 6 / d**0.5


@every
def test_flat_and_missing_scores_are_no_end(optimizer):
    strategy = make("scipy", d=12, horizon=600, optimizer=optimizer)
    play(strategy, lambda z: torch.ones(len(z)), 20)
    play(strategy, lambda z: torch.full((len(z),), torch.nan), 3)
    assert len(play(strategy, shifted_sphere, 5)) == 5


def test_threads_end_with_the_strategy():
    others = set(threading.enumerate())  # some of which may end meanwhile
    strategy = make("scipy", d=12, optimizer="powell")
    strategy.ask()
    assert len(set(threading.enumerate()) - others) == 6
    del strategy
    gc.collect()
    until = time.monotonic() + PATIENCE
    while set(threading.enumerate()) - others and time.monotonic() < until:
        time.sleep(0.01)
    assert not set(threading.enumerate()) - others


def test_what_scipy_raises_is_said():
    def work(function):
        raise ValueError("no")

    with pytest.raises(RunError, match="SciPy failed: ValueError: no"):
        Driven(work).points()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"optimizer": "slsqp"}, "optimizer 'slsqp' is unknown"),
        ({"population": 4}, "population must be at least 5 with differential_evolution; got 4"),
        ({"optimizer": "powell", "d": 4096}, "powell holds at most 2048 dimensions; got 4096. Search a space"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        make("scipy", **options)
