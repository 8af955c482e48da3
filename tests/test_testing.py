"""A third party's strategies and rewards: good ones pass, and each law is broken by one that the message names."""

import ast
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

import zo_dno
import zo_dno.testing
from zo_dno.errors import AskTellError
from zo_dno.noise.space import rotate
from zo_dno.rng import stream
from zo_dno.strategies.base import PopulationStrategy
from zo_dno.testing import REWARD_LAWS, STRATEGY_LAWS, LawError, check_reward, check_strategy
from zo_dno.types import Candidates


class Follow(PopulationStrategy):
    """Turns the best noise of the last population by a fixed angle."""

    STATE: ClassVar[tuple[str, ...]] = ("_best",)

    def __init__(self, problem, *, population=6, step=0.5):
        super().__init__(problem, population=population)
        self.step, self._best = step, self.start

    def _sample(self):
        z = self.randn(self.population)
        if self._first_id:
            return rotate(self._best, z, self.step)
        z[0] = self.start
        return z

    def _update(self, z, scores):
        self._best = z[scores.nan_to_num(nan=float("-inf")).argmax()].clone()


class Alone:
    """Draws one candidate at a time from the prior; shares no code with the built-in strategies."""

    def __init__(self, problem):
        self._rng, self._n, self._told = stream(problem.seed, "alone"), 0, True
        self._first = problem.init if problem.init is not None else problem.start
        self._d = problem.d

    def ask(self):
        if not self._told:
            raise AskTellError("the last candidate waits for its score")
        z = torch.randn(1, self._d, generator=self._rng)
        if self._n == 0 and self._first is not None:
            z[0] = self._first
        self._n, self._told = self._n + 1, False
        return Candidates(z, (self._n - 1,))

    def tell(self, candidates, scores):
        if len(candidates) == 0:
            return
        if scores.shape != (1,) or self._told or candidates.ids != (self._n - 1,):
            raise AskTellError("this was not asked, or was told before")
        self._told = True

    def state_dict(self):
        return {"rng": self._rng.get_state(), "n": self._n, "told": self._told}

    def load_state_dict(self, state):
        self._rng.set_state(state["rng"])
        self._n, self._told = state["n"], state["told"]


@pytest.mark.parametrize(("strategy", "options"), [(Follow, {"step": 0.3}), (Alone, {})])
def test_a_good_strategy_passes(strategy, options):
    check_strategy(strategy, **options)


class StartsElsewhere(Follow):
    def _sample(self):
        return self.randn(self.population)


class Forgetful(Follow):
    """Draws from a generator whose seed is the same for every run."""

    def __init__(self, problem, **options):
        super().__init__(problem, **options)
        self.rng = stream(0, "strategy")
        self.start = self.randn(1)[0] if problem.init is None and problem.start is None else self.start


class Poisoned(Follow):
    """Takes the mean of all scores, missing ones included."""

    def _update(self, z, scores):
        self._best = z[0] + 0 * scores.mean()


class Hasty(Follow):
    """Learns from every part of a population by itself."""

    def tell(self, candidates, scores):
        super().tell(candidates, scores)
        if len(candidates):
            self._best = candidates.z[scores.nan_to_num(nan=float("-inf")).argmax()].clone()

    def _update(self, z, scores):
        pass


class Credulous(Alone):
    """Takes every score of anything."""

    def tell(self, candidates, scores):
        self._told = True


class Worldly(Follow):
    """Draws from torch's global generator, which a run does not seed."""

    def _sample(self):
        z = super()._sample()
        return z if self._first_id == 0 else rotate(z, torch.randn(z.shape), 0.1)


class Amnesiac(Follow):
    """Stores nothing of its own."""

    STATE: ClassVar[tuple[str, ...]] = ()


class Pickled(Follow):
    """Stores an object."""

    STATE: ClassVar[tuple[str, ...]] = ("_best", "_note")

    def __init__(self, problem, **options):
        super().__init__(problem, **options)
        self._note = {1, 2}


class Diver(Follow):
    """Moves straight, off the shell."""

    def _sample(self):
        return super()._sample() * (1 if self._first_id == 0 else 0.5)


BAD_STRATEGIES = {
    "asks_for_noise": StartsElsewhere,
    "replays": Forgetful,
    "survives_missing_scores": Poisoned,
    "takes_parts_in_any_order": Hasty,
    "refuses_what_it_did_not_ask": Credulous,
    "leaves_global_generators_alone": Worldly,
    "resumes": Amnesiac,
    "stores_plain_values": Pickled,
    "keeps_norms": Diver,
}


@pytest.mark.parametrize("law", STRATEGY_LAWS)
def test_a_strategy_that_breaks_a_law_is_told_which(monkeypatch, law):
    monkeypatch.setattr(zo_dno.testing, "STRATEGY_LAWS", {law: STRATEGY_LAWS[law]})
    name = BAD_STRATEGIES[law].__name__
    with pytest.raises(LawError, match=f"^{name} breaks the law '{law}': .* must "):
        check_strategy(BAD_STRATEGIES[law])


def test_the_first_broken_law_is_named_among_all():
    with pytest.raises(LawError, match="Pickled breaks the law 'stores_plain_values': .*_note holds a set"):
        check_strategy(Pickled)


def test_what_a_strategy_raises_is_named():
    class Fails(Follow):
        def _update(self, z, scores):
            raise ZeroDivisionError("no spread")

    with pytest.raises(LawError, match="Fails breaks the law 'asks_for_noise': it raises ZeroDivisionError: no spread"):
        check_strategy(Fails)


def grey(images):
    return [float(np.asarray(image).mean()) for image in images]


@dataclass(frozen=True)
class Grey(zo_dno.Reward):
    """Mean grey level."""

    name, unit, batch = "grey", "levels", 3

    def __call__(self, images, prompts):
        return grey(images)


class Awaited(Grey):
    is_async = True

    async def __call__(self, images, prompts):  # pyright: ignore[reportIncompatibleMethodOverride]
        return [zo_dno.Score(value) for value in grey(images)]


class Keyed(Grey):
    takes_keys = True

    def __call__(self, images, prompts, keys):  # pyright: ignore[reportIncompatibleMethodOverride]
        assert len(set(keys)) == len(images)
        return grey(images)


class Moody(Grey):
    noisy = True

    def __call__(self, images, prompts):
        return [value + random.Random().random() for value in grey(images)]


@pytest.mark.parametrize(
    "reward", [Grey(), Awaited(), Keyed(), Moody(), grey], ids=lambda reward: type(reward).__name__
)
def test_a_good_reward_passes(reward):
    check_reward(reward)


class Unnamed(Grey):
    unit = ""


class OutOfRange(Grey):
    range = (0.0, 1.0)


class Drifting(Grey):
    _calls: ClassVar[list[int]] = []

    def __call__(self, images, prompts):
        self._calls.append(1)
        return [value + len(self._calls) for value in grey(images)]


class Relative(Grey):
    def __call__(self, images, prompts):
        return [value - max(grey(images)) for value in grey(images)]


class Painting(Grey):
    def __call__(self, images, prompts):
        found = grey(images)
        images[0].putpixel((0, 0), (1, 2, 3))
        return found


BAD_REWARDS = {
    "describes_itself": Unnamed,
    "answers": OutOfRange,
    "repeats": Drifting,
    "batches": Relative,
    "leaves_everything_alone": Painting,
}


@pytest.mark.parametrize("law", REWARD_LAWS)
def test_a_reward_that_breaks_a_law_is_told_which(monkeypatch, law):
    monkeypatch.setattr(zo_dno.testing, "REWARD_LAWS", {law: REWARD_LAWS[law]})
    with pytest.raises(LawError, match=f"^grey breaks the law '{law}': .* must "):
        check_reward(BAD_REWARDS[law]())


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda images: [1.0], "3 images must get as many scores; got 1"),
        (lambda images: [float("nan")] * len(images), "at least one image must get a score; all are missing"),
        (lambda images: [float("inf")] * len(images), "scores must be finite .* got inf"),
    ],
)
def test_wrong_answers_are_named(answer: Callable[[Any], list[float]], message: str):
    class Wrong(Grey):
        def __call__(self, images, prompts):
            return answer(images)

    with pytest.raises(LawError, match=f"grey breaks the law 'answers': {message}"):
        check_reward(Wrong())


def test_the_kit_needs_no_test_runner():
    for path in Path(zo_dno.testing.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & {"pytest", "hypothesis", "unittest"}
