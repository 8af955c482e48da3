"""The laws that every entry of the table keeps, whatever it does inside."""

import hashlib
import os
import random
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.support.play import NAMES, WHITE_BOX, load, make, play, shifted_sphere
from zo_dno.errors import AskTellError, InputError
from zo_dno.rng import stream
from zo_dno.strategy import Strategy
from zo_dno.types import Candidates

few = settings(max_examples=5, deadline=None, derandomize=True)
every = pytest.mark.parametrize("name", NAMES)
AROUND_THE_START = {"zo_sgd", "openai_es", "pgpe"}  # their first candidates depend on each other
ON_THE_SHELL = {
    "auto",
    "normal_es",
    "snes",
    "cmaes",
    "nevergrad",
    "cross_entropy",
    "pgpe",
}  # the others keep the prior's spread of norms

MANY = {"turbo": 1000}  # what some take for many dimensions

PROCESS = """
import sys, torch
from tests.support.play import NAMES, load
from tests.strategies.test_contract import digest
torch.set_num_threads(1)
classes = [load(name) for name in NAMES]
assert not {"cma", "nevergrad", "ray", "diffusers"} & set(sys.modules), "importing strategies must be light"
for name in NAMES:
    print(name, digest(name))
"""


def digest(name: str) -> str:
    """Fingerprint what a strategy asks for."""
    asked = torch.cat(play(make(name, seed=3), holes, 4))
    return hashlib.sha256(asked.numpy().tobytes()).hexdigest()


def holes(z: Tensor) -> Tensor:
    """Rewards with missing ones and ties."""
    scores = shifted_sphere(z).mul(4).round()
    scores[1::3] = torch.nan
    return scores


def same(a: list[Tensor], b: list[Tensor]) -> bool:
    return len(a) == len(b) and all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@every
@few
@given(d=st.integers(4, 40), n=st.integers(5, 9), seed=st.integers(0, 2**40))
def test_asks(name: str, d: int, n: int, seed: int) -> None:
    strategy = make(name, d, seed, population=n)
    assert issubclass(load(name), Strategy)
    following = 0
    for _ in range(3):
        candidates = strategy.ask()
        assert candidates.z.shape == (len(candidates), d)
        assert candidates.z.dtype == torch.float32
        assert bool(candidates.z.isfinite().all())
        assert candidates.ids == tuple(range(following, following + len(candidates)))
        assert torch.equal(candidates.z[0], strategy.start) or following > 0
        following += len(candidates)
        strategy.tell(candidates, shifted_sphere(candidates.z))


@every
@few
@given(d=st.integers(4, 40), n=st.integers(5, 9), seed=st.integers(0, 2**40))
def test_replays_bit_for_bit(name: str, d: int, n: int, seed: int) -> None:
    first, again, other = (play(make(name, d, s, population=n), holes, 4) for s in (seed, seed, seed + 1))
    assert same(first, again)
    assert not any(torch.equal(x, y) for x, y in zip(first, other, strict=True))


def test_another_process_asks_the_same() -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    run = subprocess.run([sys.executable, "-c", PROCESS], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [word for name in NAMES for word in (name, digest(name))]


@every
@pytest.mark.parametrize("value", [torch.nan, 0.0, -7.5])
def test_survives_scores_that_say_nothing(name: str, value: float) -> None:
    strategy = make(name)
    play(strategy, lambda z: torch.full((len(z),), value), 12)
    asked = play(strategy, shifted_sphere, 6)
    play(strategy, lambda z: torch.full((len(z),), value), 6)
    asked += play(strategy, holes, 3)
    assert all(bool(z.isfinite().all()) for z in asked)
    assert float(torch.cat(asked).norm(dim=1).max()) < 2.5 * 12**0.5


@every
def test_one_score_survives(name: str) -> None:
    def lonely(z: Tensor) -> Tensor:
        scores = torch.full((len(z),), torch.nan)
        scores[-1] = 1.0
        return scores

    assert all(bool(z.isfinite().all()) for z in play(make(name), lonely, 4))


@every
def test_parts_may_be_told_in_any_order(name: str) -> None:
    whole, parts = make(name), make(name)
    for _ in range(4):
        candidates = whole.ask()
        assert torch.equal(candidates.z, parts.ask().z)
        scores = holes(candidates.z)
        whole.tell(candidates, scores)
        for rows in (slice(3, None), slice(0, 1), slice(1, 3)):
            parts.tell(candidates[rows], scores[rows])


@every
def test_refuses_what_does_not_fit(name: str) -> None:
    strategy = make(name)
    with pytest.raises(AskTellError, match="rows of one ask that waits for scores"):
        strategy.tell(Candidates(torch.zeros(1, 12), (0,)), torch.zeros(1))
    candidates = strategy.ask()
    n = len(candidates)
    with pytest.raises(AskTellError, match=rf"scores must be \({n},\), one a candidate; got \({n + 1},\)"):
        strategy.tell(candidates, torch.zeros(n + 1))
    with pytest.raises(AskTellError, match=rf"scores must be \({n},\), one a candidate; got \({n}, 1\)"):
        strategy.tell(candidates, torch.zeros(n, 1))
    with pytest.raises(AskTellError, match="scores must be finite or NaN"):
        strategy.tell(candidates, torch.full((n,), torch.inf))
    with pytest.raises(AskTellError, match="each once"):
        strategy.tell(Candidates(candidates.z[:2], (0, 0)), torch.zeros(2))
    strategy.tell(candidates[:2], torch.zeros(2))
    with pytest.raises(AskTellError, match="told once"):
        strategy.tell(candidates[1:], torch.zeros(n - 1))
    with pytest.raises(AskTellError, match=f"ask must wait until the last population is told; {n - 2} of {n}"):
        strategy.ask()
    strategy.tell(candidates[2:], torch.zeros(n - 2))
    strategy.ask()
    with pytest.raises(AskTellError, match="rows of one ask that waits for scores"):
        strategy.tell(candidates, torch.zeros(n))


@every
def test_refuses_a_space_that_does_not_fit(name: str) -> None:
    with pytest.raises(InputError, match="d must be at least 1; got 0"):
        make(name, d=0)
    with pytest.raises(InputError, match="population must be at least"):
        make(name, population=-1 if name == "auto" else 0)  # of which 0 means that it may choose
    with pytest.raises(InputError, match=r"init must be noise of 12 entries; got \(11,\)"):
        make(name, init=torch.zeros(11))
    with pytest.raises(InputError, match="init must be finite"):
        make(name, init=torch.full((12,), torch.nan))
    with pytest.raises(InputError, match=r"sizes must sum to d = 12; got \(5, 6\)"):
        make(name, sizes=(5, 6))


@every
def test_leaves_the_global_generators_alone(name: str) -> None:
    def outside() -> tuple[Any, ...]:
        return torch.get_rng_state().tolist(), repr(np.random.get_state()), random.getstate()

    np.random.standard_normal()  # leaves a cached second normal, which must survive too
    before, asked = outside(), play(make(name), holes, 3)
    assert outside() == before
    torch.randn(3)
    np.random.seed(5)
    random.seed(5)
    assert same(asked, play(make(name), holes, 3))


@every
@pytest.mark.parametrize("told", [0, 1, None])
@pytest.mark.parametrize("before", [0, 3])
def test_state_goes_on_bit_for_bit(name: str, told: int | None, before: int) -> None:
    old = make(name)
    play(old, lambda z: torch.full((len(z),), torch.nan), 1)  # a population without scores is part of the history
    play(old, holes, before)
    candidates = old.ask()
    scores = holes(candidates.z)
    old.tell(candidates[:told], scores[:told])
    state, new = old.state_dict(), make(name)
    rest = slice(len(candidates) if told is None else told, None)
    old.tell(candidates[rest], scores[rest])
    expected = play(old, holes, 3)  # the state must be a copy: this must not change it
    play(new, shifted_sphere, 2)  # whatever the new one did before is forgotten
    for _ in range(2):
        new.load_state_dict(state)
        new.tell(candidates[rest], scores[rest])
        assert same(expected, play(new, holes, 3))


@every
def test_state_before_the_first_ask(name: str) -> None:
    old, new = make(name), make(name)
    new.load_state_dict(old.state_dict())
    assert same(play(old, holes, 3), play(new, holes, 3))


@every
def test_state_is_tensors_and_plain_values(name: str) -> None:
    strategy = make(name)
    play(strategy, holes, 2)

    def check(value: Any) -> None:
        if isinstance(value, (list, tuple)):
            for part in value:
                check(part)
        else:
            assert isinstance(value, (Tensor, int, float, str, bool))

    for value in strategy.state_dict().values():
        check(value)


@every
def test_every_draw_keeps_its_norm(name: str) -> None:
    """Norms of prior draws lie within 6 standard deviations, 1 / sqrt(2 size); a false alarm is below 1e-6."""
    sizes = (200, 400, 50)
    asked = torch.cat(play(make(name, d=650, sizes=sizes, population=16, horizon=160), shifted_sphere, 10))[1:]
    for draw, size in zip(asked.split(sizes, dim=1), sizes, strict=True):
        ratio = draw.norm(dim=1) / size**0.5
        tolerance = 1e-5 if name in ON_THE_SHELL else 6 / (2 * size) ** 0.5
        assert float((ratio - 1).abs().max()) < tolerance


@every
def test_starts_from_init(name: str) -> None:
    init = torch.randn(400, generator=stream(0, "test"))
    strategy = make(name, d=400, init=init.double().requires_grad_())
    candidates = strategy.ask()
    assert torch.equal(candidates.z[0], init)
    init.zero_()
    assert bool(strategy.start.any())
    if name != "random_search":
        near = torch.nn.functional.cosine_similarity(candidates.z[1:], candidates.z[:1])
        assert float(near.min()) > 0.6


@every
def test_first_candidates_are_prior_draws(name: str) -> None:
    """Means and squares of 16 x 2,000 entries within 5 standard errors; a false alarm is below 1e-6."""
    z = make(name, d=MANY.get(name, 2000), population=16).ask().z
    around_the_start = name in AROUND_THE_START | WHITE_BOX
    n = z.shape[1] if around_the_start else z.numel()
    assert abs(float(z.mean())) < 5 / n**0.5
    assert abs(float(z.square().mean()) - 1) < 5 * (2 / n) ** 0.5
    if not around_the_start:
        pairs = (z @ z.T)[*torch.triu_indices(len(z), len(z), 1)] / z.shape[1]
        assert float(pairs.abs().max()) < 6 / z.shape[1] ** 0.5


def test_table_holds_classes() -> None:
    assert all(load(name).__doc__ for name in NAMES)
