"""What `auto` chooses, and that a run hands it what it chooses by."""

import numpy as np
import pytest

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.rewards.combinations import Min
from zo_dno.strategies.auto import auto
from zo_dno.strategies.normal_es import NormalES
from zo_dno.strategies.snes import SNES
from zo_dno.strategy import Problem


@pytest.mark.parametrize(
    ("d", "horizon", "noisy", "taken", "population"),
    [
        (47, 256, False, SNES, 8),
        (48, 256, False, NormalES, 8),
        (48, 4096, False, NormalES, 8),
        (47, 512, False, SNES, 8),
        (47, 513, False, SNES, 16),
        (4096, 24, False, NormalES, 6),
        (4096, 256, True, SNES, 16),
        (4096, 4, True, SNES, 4),
    ],
)
def test_the_choice_is_that_of_the_documented_table(d, horizon, noisy, taken, population):
    chosen = auto(Problem(d, horizon, seed=0, noisy=noisy))
    assert type(chosen) is taken
    assert len(chosen.ask()) == population
    assert f" with a population of {population}" in chosen.reason
    assert ("noisy" in chosen.reason) is noisy


def brightness(images, prompts):
    return [float(np.asarray(image).mean()) for image in images]


def run(**options):
    return zo_dno.optimize(ToyGenerator(), brightness, **{"queries": 64, "threads": 1, **options})


def test_a_run_says_what_was_chosen_in_a_space_too():
    assert run().chosen.startswith("normal_es with a population of 8")
    assert run(space="low_band", space_options={"dims": 12}).chosen.startswith("snes with a population of 8: with 12")


def test_a_reward_is_noisy_where_it_or_the_run_says_so():
    class Moody(zo_dno.Reward):
        name, unit, noisy = "moody", "points", True

        def __call__(self, images, prompts):
            return brightness(images, prompts)

    def asked(reward):
        return zo_dno.optimize(ToyGenerator(), reward, queries=64, threads=1).chosen

    for chosen in (asked(Moody()), asked(Min([Moody(), "contrast"])), run(repeats=8).chosen):
        assert "the reward is noisy" in chosen
    assert "noisy" not in asked(Min(["contrast"]))


PAID = {"policy": {"price": 0.01, "attempts": 1}, "max_cost": 10.0, "climb": False}


def test_where_money_is_limited_and_nothing_else_images_are_screened():
    result = run(**PAID)
    assert result.images > result.queries == 64
    assert result.chosen.endswith("the most promising of 4 images is scored, since max_cost makes queries expensive")


@pytest.mark.parametrize(
    "also",
    [{"screen": 0}, {"nfe": 10_000}, {"seconds": 1e4}, {"repeats": 8}, {"lag": 1}, {"strategy": "snes"}],
    ids=str,
)
def test_where_anything_speaks_against_it_nothing_is_screened(also):
    result = run(**PAID, **also)
    assert result.images == len(result.history)
    assert "images is scored" not in (result.chosen or "")
