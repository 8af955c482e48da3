"""The laws of a strategy, each a function that builds it anew and raises LawError."""

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zo_dno.errors import AskTellError
from zo_dno.rng import stream
from zo_dno.strategy import Problem, Strategy
from zo_dno.testing.law import LawError, global_state, must
from zo_dno.testing.search import holes, play, same_candidates, shifted_sphere
from zo_dno.types import Candidates

MakeStrategy = Callable[[Problem], Strategy]
"""Builds a strategy for a problem, a fresh one at every call."""

_D, _HORIZON = 12, 60
_FURTHEST = 2.5  # norm of a candidate in units of sqrt(d), above which a strategy has lost its way
_DEVIATIONS = 6.0  # of the norms of Gaussian draws; a false alarm is below 1e-6


def asks_for_noise(make: MakeStrategy, d: int = _D, seed: int = 0) -> None:
    """Candidates are finite noise, numbered from 0 on, and the first one is the problem's start."""
    first = torch.randn(d, generator=stream(seed, "test"))
    _asks_from(make(Problem(d, _HORIZON, seed, init=first.clone())), first, "init")
    _asks_from(make(Problem(d, _HORIZON, seed, start=first.clone())), first, "start")


def _asks_from(strategy: Strategy, first: Tensor, given: str) -> None:
    must(isinstance(strategy, Strategy), "it must have ask, tell, state_dict and load_state_dict.")
    following = 0
    for _ in range(3):
        candidates = strategy.ask()
        z, n = candidates.z, len(candidates)
        must(n > 0, "ask must propose at least one candidate; got none.")
        must(z.shape == (n, len(first)), f"candidates must be ({n}, {len(first)}); got {tuple(z.shape)}.")
        must(z.dtype == torch.float32, f"candidates must be float32; got {z.dtype}.")
        must(bool(z.isfinite().all()), "candidates must be finite; got NaN or infinity.")
        wanted = tuple(range(following, following + n))
        must(candidates.ids == wanted, f"ids must count up from 0; got {candidates.ids} in place of {wanted}.")
        must(following > 0 or torch.equal(z[0], first), f"candidate 0 must be the problem's {given}; got another.")
        following += n
        strategy.tell(candidates, shifted_sphere(z))


def replays(make: MakeStrategy, d: int = _D, seed: int = 0) -> None:
    """The same seed and scores bring the same candidates, bit for bit; another seed brings others."""
    first, again, other = (play(make(Problem(d, _HORIZON, s)), holes, 4) for s in (seed, seed, seed + 1))
    must(
        same_candidates(first, again),
        "the same problem must bring the same candidates, bit for bit; got others. Every random number must come from "
        "stream(problem.seed, ...).",
    )
    must(
        not any(torch.equal(x, y) for x, y in zip(first, other, strict=False)),
        "another seed must bring other candidates; got the same.",
    )


def survives_missing_scores(make: MakeStrategy) -> None:
    """Populations without any score, with equal ones, or with a single one do no harm."""
    for value in (torch.nan, 0.0, -7.5):
        survives(make, value)
    survives_a_single_score(make)


def survives_a_single_score(make: MakeStrategy) -> None:
    """Populations in which only the last candidate has a score leave candidates finite."""
    asked = play(_fresh(make), _only_the_last, 4)
    must(all(bool(z.isfinite().all()) for z in asked), "candidates must be finite after a single score; got NaN.")


def survives(make: MakeStrategy, value: float) -> None:
    """Scores that are all alike, before a search and in it, leave candidates finite and near the shell."""

    def reward(z: Tensor) -> Tensor:
        return torch.full((len(z),), value)

    strategy = _fresh(make)
    play(strategy, reward, 12)
    asked = play(strategy, shifted_sphere, 6)
    play(strategy, reward, 6)
    asked += play(strategy, holes, 3)
    z = torch.cat(asked)
    must(bool(z.isfinite().all()), f"candidates must be finite after scores of {value:g}; got NaN or infinity.")
    far = float(z.norm(dim=1).max()) / _D**0.5
    must(far < _FURTHEST, f"candidates must stay below {_FURTHEST:g} times the norm of a draw; got {far:.2f} times.")


def takes_parts_in_any_order(make: MakeStrategy) -> None:
    """A population that is told in parts teaches the same as one that is told as a whole."""
    whole, parts = _fresh(make), _fresh(make)
    for _ in range(4):
        candidates, other = whole.ask(), parts.ask()
        must(
            torch.equal(candidates.z, other.z),
            "a population told in parts, in any order, must teach the same as a whole; got other candidates after it.",
        )
        scores = holes(candidates.z)
        whole.tell(candidates, scores)
        for rows in (slice(3, None), slice(0, 1), slice(1, 3)):
            if len(candidates.ids[rows]):
                parts.tell(candidates[rows], scores[rows])


def refuses_what_it_did_not_ask(make: MakeStrategy) -> None:
    """`tell` takes each candidate once, with one score; `ask` waits for all scores."""
    strategy = _fresh(make)
    _refuses(lambda: strategy.tell(Candidates(torch.zeros(1, _D), (0,)), torch.zeros(1)), "a candidate before any ask")
    candidates = strategy.ask()
    n = len(candidates)
    _refuses(lambda: strategy.tell(candidates, torch.zeros(n + 1)), f"{n + 1} scores of {n} candidates")
    _refuses(lambda: strategy.tell(candidates, torch.zeros(n, 1)), f"scores of shape ({n}, 1)")
    _refuses(lambda: strategy.tell(Candidates(candidates.z[[0, 0]], (0, 0)), torch.zeros(2)), "a candidate twice")
    strategy.tell(candidates[:1], torch.zeros(1))
    _refuses(lambda: strategy.tell(candidates[:1], torch.zeros(1)), "a candidate that was told before")
    if n > 1:
        _refuses(strategy.ask, f"ask while {n - 1} of {n} scores are outstanding")
        strategy.tell(candidates[1:], torch.zeros(n - 1))
    strategy.ask()
    _refuses(lambda: strategy.tell(candidates, torch.zeros(n)), "an earlier population again")


def _refuses(call: Callable[[], Any], what: str) -> None:
    try:
        call()
    except AskTellError:
        return
    raise LawError(f"{what} must be refused with AskTellError; it was taken.")


def leaves_global_generators_alone(make: MakeStrategy) -> None:
    """The global generators of torch, NumPy and Python are neither read nor written."""
    before = global_state()
    asked = play(_fresh(make), holes, 3)
    must(global_state() == before, "global random generators must not be written; one was.")
    torch.randn(3)
    np.random.standard_normal()  # noqa: NPY002, the global one is meant
    random.random()
    again = play(_fresh(make), holes, 3)
    must(same_candidates(asked, again), "global random generators must not be read; candidates depend on them.")


def resumes(make: MakeStrategy) -> None:
    """A fresh strategy with the state of another continues as that one, from any place in a population."""
    resumes_before_the_first_ask(make)
    for before in (0, 3):
        for told in (0, 1, None):
            resumes_from(make, before, told)


def resumes_before_the_first_ask(make: MakeStrategy) -> None:
    """As `resumes`, from a state without a population."""
    old, new = _fresh(make), _fresh(make)
    new.load_state_dict(old.state_dict())
    must(
        same_candidates(play(old, holes, 3), play(new, holes, 3)),
        "load_state_dict(state_dict()) must continue bit for bit; got other candidates from a state before any ask.",
    )


def resumes_from(make: MakeStrategy, before: int, told: int | None) -> None:
    """As `resumes`, after some populations and a part of the next.

    Args:
        make: Function that makes the strategy.
        before: Number of populations that are told completely.
        told: Number of candidates of the next one that are told, None for all.
    """
    old = _fresh(make)
    play(old, lambda z: torch.full((len(z),), torch.nan), 1)  # a population without scores is part of the history
    play(old, holes, before)
    candidates = old.ask()
    scores = holes(candidates.z)
    old.tell(candidates[:told], scores[:told])
    state, new = old.state_dict(), _fresh(make)
    rest = slice(len(candidates) if told is None else told, None)
    old.tell(candidates[rest], scores[rest])
    expected = play(old, holes, 3)  # the state must be a copy: this must not change it
    play(new, shifted_sphere, 2)  # what the new one did before is forgotten
    for _ in range(2):
        new.load_state_dict(state)
        new.tell(candidates[rest], scores[rest])
        must(
            same_candidates(expected, play(new, holes, 3)),
            f"load_state_dict(state_dict()) must continue bit for bit; got other candidates after {before + 1} "
            f"populations and {len(candidates) if told is None else told} scores of the next.",
        )


def stores_plain_values(make: MakeStrategy) -> None:
    """The state is tensors, numbers, text, None, and lists and dicts of them, which a snapshot can hold."""
    strategy = _fresh(make)
    play(strategy, holes, 2)
    for name, value in strategy.state_dict().items():
        kind = _not_plain(value)
        must(kind is None, f"the state must be tensors and plain values; {name} holds a {kind}.")


def _not_plain(value: Any) -> str | None:
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if isinstance(value, (list, tuple)):
        return next(filter(None, map(_not_plain, value)), None)
    return None if value is None or isinstance(value, (Tensor, int, float, str, bool)) else type(value).__name__


def keeps_norms(make: MakeStrategy, tolerance: float | None = None) -> None:
    """Every draw of a candidate has the norm of a Gaussian one, without which no candidate is plausible.

    Args:
        make: Function that makes the strategy.
        tolerance: Largest relative error of a norm; by default six standard deviations of a Gaussian draw's.
    """
    sizes = (200, 400, 50)
    strategy = make(Problem(sum(sizes), 160, 0, sizes))
    asked = torch.cat(play(strategy, shifted_sphere, 10))[1:]
    for draw, size in zip(asked.split(sizes, dim=1), sizes, strict=True):
        furthest = float((draw.norm(dim=1) / size**0.5 - 1).abs().max())
        allowed = _DEVIATIONS / (2 * size) ** 0.5 if tolerance is None else tolerance
        must(
            furthest < allowed,
            f"a draw of {size} entries must have the norm {size**0.5:.1f} within {allowed:.2g} of it; got one that is "
            f"{furthest:.2g} off. `retract` and `rotate` keep norms.",
        )


STRATEGY_LAWS: dict[str, Callable[..., None]] = {
    "asks_for_noise": asks_for_noise,
    "replays": replays,
    "survives_missing_scores": survives_missing_scores,
    "takes_parts_in_any_order": takes_parts_in_any_order,
    "refuses_what_it_did_not_ask": refuses_what_it_did_not_ask,
    "leaves_global_generators_alone": leaves_global_generators_alone,
    "resumes": resumes,
    "stores_plain_values": stores_plain_values,
    "keeps_norms": keeps_norms,
}


def _fresh(make: MakeStrategy) -> Strategy:
    return make(Problem(_D, _HORIZON, 0))


def _only_the_last(z: Tensor) -> Tensor:
    found = torch.full((len(z),), torch.nan)
    found[-1] = 1.0
    return found
