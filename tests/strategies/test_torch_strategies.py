"""What is particular to ZOSGD, HillClimb and SNES."""

from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.play import make, play, shifted_sphere
from zo_dno.errors import InputError
from zo_dno.noise.space import retract
from zo_dno.strategies.directions import DIRECTIONS
from zo_dno.strategies.zo_sgd import ZOSGD
from zo_dno.strategy import UsesRegularizer


def flat(z: Tensor) -> Tensor:
    return torch.zeros(len(z))


@pytest.mark.parametrize("estimator", ["forward", "central"])
@pytest.mark.parametrize("directions", sorted(DIRECTIONS))
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_zo_sgd_climbs_with_every_choice(estimator: str, directions: str, optimizer: str) -> None:
    options: dict[str, Any] = {"estimator": estimator, "directions": directions, "optimizer": optimizer}
    strategy = make("zo_sgd", d=20, population=20, **options, lr=0.2 if optimizer == "adam" else 1.0)
    asked = play(strategy, shifted_sphere, 30)
    assert float(shifted_sphere(asked[-1]).mean()) > float(shifted_sphere(asked[0]).mean()) + 0.5
    assert max(map(len, asked)) <= 20
    assert sum(map(len, asked)) >= 19 * 30


def test_zo_sgd_probes_are_mirrored_around_the_iterate() -> None:
    strategy = make("zo_sgd", population=7, mu=0.6)
    base, plus, minus = strategy.ask().z.split([1, 3, 3])
    torch.testing.assert_close((plus + minus) / 2, 0.8 * base.expand(3, -1))


def test_zo_sgd_takes_the_regularizers_gradient_as_it_is() -> None:
    """With flat rewards, one plain step is lr times the gradient of gamma R."""
    centre = torch.linspace(-1, 1, 12)
    strategy = make("zo_sgd", optimizer="sgd", lr=0.5, momentum=0.0, retraction=False)
    assert issubclass(ZOSGD, UsesRegularizer)
    strategy.use_regularizer(lambda z: -0.3 * (z - centre).square().sum(dim=1))
    with torch.no_grad():
        play(strategy, flat, 1)
    expected = strategy.start + 0.5 * 0.6 * (centre - strategy.start)
    plus, minus = strategy.ask().z.chunk(2)
    torch.testing.assert_close((plus + minus).mean(0) / 2, (1 - 0.3**2) ** 0.5 * expected)


def test_zo_sgd_stays_where_rewards_are_flat_and_on_the_shell() -> None:
    strategy = make("zo_sgd", d=30, sizes=(10, 20), population=7)
    play(strategy, flat, 2)
    centre = strategy.ask().z.unflatten(0, (2, 3)).sum(0).mean(0)
    torch.testing.assert_close(centre / 2 / (1 - 0.3**2) ** 0.5, retract(strategy.start, (10, 20)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"estimator": "centre"}, "estimator 'centre' is unknown. Did you mean 'central'"),
        ({"directions": "gauss"}, "directions 'gauss' is unknown. Did you mean 'gaussian'"),
        ({"optimizer": "adamw"}, "optimizer 'adamw' is unknown. Did you mean 'adam'"),
        ({"optimizer": "x"}, "Known: adam, sgd"),
        ({"mu": 0.0}, "mu must be in"),
        ({"mu": 1.0}, "mu must be in"),
        ({"lr": 0.0}, "lr must be above 0; got 0.0"),
        ({"momentum": 1.0}, "momentum must be in"),
        ({"population": 2}, "population must be at least 3 with central differences; got 2"),
        ({"population": 1, "estimator": "forward"}, "population must be at least 2 with forward differences; got 1"),
    ],
)
def test_zo_sgd_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make("zo_sgd", **options)


def test_hill_climb_keeps_the_incumbent_on_ties_and_when_scores_are_missing() -> None:
    strategy = make("hill_climb", d=200, first_step=0.01, last_step=0.01, fresh=0.0)
    first = strategy.ask()
    scores = torch.tensor([1.0, 1.0, torch.nan, 1.0, 0.0, 1.0])
    strategy.tell(first, scores)
    play(strategy, lambda z: torch.full((len(z),), torch.nan), 1)
    near = torch.nn.functional.cosine_similarity(strategy.ask().z, first.z[:1])
    assert float(near.min()) > 0.999


def test_hill_climb_anneals_from_the_prior_to_the_last_step() -> None:
    strategy = make("hill_climb", d=4000, horizon=60, last_step=0.1, fresh=0.0)
    scored = iter([torch.tensor([1.0, 0, 0, 0, 0, 0]), *[torch.zeros(6)] * 20])
    asked = play(strategy, lambda z: next(scored), 12)
    angles = [torch.nn.functional.cosine_similarity(z[1:], strategy.start[None]).mean() for z in asked]
    expected = torch.tensor([(1 - (0.1 ** min(1.0, i / 10)) ** 2) ** 0.5 for i in range(12)])
    torch.testing.assert_close(torch.stack(angles), expected, atol=0.05, rtol=0)


def test_hill_climb_draws_some_candidates_from_the_prior() -> None:
    """Of 2,000 candidates, 20 % within 5 standard errors are far from the incumbent; a false alarm is below 6e-7."""
    strategy = make("hill_climb", d=200, population=2000, first_step=0.1, fresh=0.2)
    strategy.tell(strategy.ask(), torch.arange(2000, 0, -1.0))
    near = torch.nn.functional.cosine_similarity(strategy.ask().z, strategy.start[None]) > 0.8
    assert abs(float((~near).float().mean()) - 0.2) < 5 * (0.16 / 2000) ** 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"last_step": 0.0}, "last_step must be above 0"),
        ({"last_step": 0.5, "first_step": 0.2}, "first_step must be in"),
        ({"first_step": 1.5}, "first_step must be in"),
        ({"fresh": -0.1}, r"fresh must be in \[0, 1\]; got -0.1"),
    ],
)
def test_hill_climb_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make("hill_climb", **options)


def test_snes_narrows_where_the_reward_is_curved() -> None:
    strategy = make("snes", d=40, population=40, mean_rate=0.5, sigma_rate=0.3)
    play(strategy, lambda z: -10 * z[:, :20].square().sum(1), 40)
    narrow, wide = strategy.state_dict()["_sigma"].split(20)
    assert float(narrow.mean()) < 0.7 * float(wide.mean())


@pytest.mark.parametrize("options", [{"mean_rate": 0.0}, {"sigma_rate": -1.0}])
def test_snes_refuses(options: dict[str, Any]) -> None:
    name = next(iter(options))
    with pytest.raises(InputError, match=f"{name} must be"):
        make("snes", **options)
