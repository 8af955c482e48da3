"""Fast Direct: its moves, its Gaussian process, and what it needs of a generator."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

import zo_dno
from tests.support.play import load
from tests.support.toys import ToyGenerator
from zo_dno.distributed.generator_actors import GeneratorPool
from zo_dno.errors import AskTellError, InputError
from zo_dno.rng import stream
from zo_dno.strategies.fast_direct import PosteriorMean
from zo_dno.strategy import Problem
from zo_dno.testing.search import FlatModel, play

D = 48


class Linear(FlatModel):
    """Latents that are the mean of all draws of their size, on the scale of an autoencoder."""

    renders = 0

    def latents(self, z: Tensor) -> Tensor:
        self.renders += len(z)
        return 3 * z[:, : D * (z.shape[1] // D)].reshape(len(z), -1, 3, 4, 4).mean(1)


class WithLatents(ToyGenerator):
    """The toy, of which latents are the noise."""

    def latents(self, z: Tensor) -> Tensor:
        return z.reshape(-1, 3, 4, 4)


def height(z: Tensor) -> Tensor:
    """Reward latents along one direction."""
    found: Tensor = Linear().latents(z).flatten(1) @ torch.linspace(-1, 1, D)
    return found


def made(sizes: tuple[int, ...] = (D,), seed: int = 0, **options: Any) -> Any:
    strategy: Any = load("fast_direct")(Problem(sum(sizes), 64, seed, sizes), **options)
    strategy.use_model(Linear())
    return strategy


def learnt(sizes: tuple[int, ...] = (D,), **options: Any) -> tuple[Any, PosteriorMean]:
    """Return a strategy that knows two populations, and what it predicts."""
    strategy = made(sizes, population=8, **options)
    play(strategy, height, 2)
    return strategy, PosteriorMean(strategy._known, strategy._rewards)


def test_the_gradient_is_that_of_the_predicted_mean():
    """Central differences in double precision along the axes."""
    x, rewards = torch.randn(12, 5, generator=stream(1, "x")), torch.randn(12, generator=stream(2, "rewards"))
    mean, at = PosteriorMean(x, rewards), torch.randn(3, 5, generator=stream(3, "at")).double()
    step = 1e-4
    differences = [(mean(at + step * axis) - mean(at - step * axis)) / (2 * step) for axis in torch.eye(5).double()]
    assert torch.allclose(mean.gradient(at), torch.stack(differences, 1), rtol=1e-5, atol=1e-8)


def test_the_process_is_the_published_one():
    """Squared exponential kernel of length scale sqrt(D), noise 1e-4, standardized rewards, written out here."""
    x, rewards = torch.randn(6, 10, generator=stream(1, "x")).double(), torch.arange(6.0).double()
    y = (rewards - rewards.mean()) / rewards.std(correction=0)
    kernel = torch.exp(-torch.cdist(x, x).square() / (2 * 10))
    wanted = kernel[:2] @ torch.linalg.solve(kernel + 1e-4 * torch.eye(6).double(), y)
    assert torch.allclose(PosteriorMean(x, rewards)(x[:2]), wanted, rtol=1e-6)


def test_a_move_goes_along_the_gradient_and_keeps_the_norm():
    strategy, mean = learnt()
    z = strategy.randn(4)
    moved = strategy._moved(z, mean)
    assert torch.allclose(moved.norm(dim=1), z.norm(dim=1), rtol=1e-5)
    step = strategy.alpha * D / 65_536 * mean.gradient(strategy._seen(z)).float()
    wanted = z + step
    assert torch.allclose(torch.cosine_similarity(moved, wanted, dim=1), torch.ones(4), atol=1e-6)


def test_moves_improve_what_is_predicted():
    strategy, mean = learnt()
    z = strategy.randn(8)
    before = mean(strategy._seen(z))
    for _ in range(5):
        z = strategy._moved(z, mean)
        after = mean(strategy._seen(z))
        assert bool((after > before).all())
        before = after


def test_all_draws_of_the_latents_size_move_alike_and_no_other():
    strategy, mean = learnt((D, D, 20))
    z = strategy.randn(4)
    first, second, other = strategy._moved(z, mean).split((D, D, 20), 1)
    own = z.split((D, D, 20), 1)
    assert torch.equal(other, own[2])
    step = strategy.alpha * D / 65_536 * mean.gradient(strategy._seen(z)).float()
    for draw, before in ((first, own[0]), (second, own[1])):
        assert torch.allclose(draw.norm(dim=1), before.norm(dim=1), rtol=1e-5)
        assert torch.allclose(torch.cosine_similarity(draw, before + step, dim=1), torch.ones(4), atol=1e-6)


def test_a_population_moves_once_more_than_the_last():
    """Each candidate renders its latents before every move and at its end; nothing is known in the first round."""
    strategy = made(population=8)
    counts = []
    for _ in range(4):
        before = strategy.model.renders
        play(strategy, height, 1)
        counts.append((strategy.model.renders - before) // 8)
    assert counts == [1, 2, 3, 4]
    limited = made(population=8, moves=2)
    play(limited, height, 6)
    assert limited.model.renders == 8 * (1 + 2 + 3 * 4)


def test_beats_best_of_n_where_the_jacobian_is_the_identity():
    """In all of 6 seeds; a strategy that is only as good would do that in 1.6 % of all cases."""
    for seed in range(6):
        found = max(float(height(z).max()) for z in play(made(seed=seed, population=8), height, 8))
        assert found > float(height(torch.randn(64, D, generator=stream(seed, "prior"))).max())


def test_the_scale_of_latents_and_rewards_is_of_no_consequence():
    class Large(Linear):
        def latents(self, z):
            return 8 * super().latents(z)

    one, other = made(population=8), made(population=8)
    other.use_model(Large())
    first, second = (play(s, r, 4) for s, r in ((one, height), (other, lambda z: 100 * height(z) + 5)))
    assert torch.allclose(torch.cat(first), torch.cat(second), atol=1e-3)


def test_missing_scores_and_latents_are_not_learnt_from():
    class Holes(Linear):
        def latents(self, z):
            found = super().latents(z)
            found[1::4] = torch.nan
            return found

    strategy = made(population=8)
    strategy.use_model(Holes())

    def reward(z: Tensor) -> Tensor:
        scores = height(z)
        scores[::4] = torch.nan
        return scores

    asked = play(strategy, reward, 3)
    assert all(bool(z.isfinite().all()) for z in asked)
    assert len(strategy._rewards) == 3 * 4
    assert bool(strategy._known.isfinite().all())


@pytest.mark.parametrize(("horizon", "population"), [(4, 4), (64, 6), (256, 13), (1600, 32), (10_000, 32)])
def test_the_population_has_the_published_proportion_to_the_rounds(horizon, population):
    strategy: Any = load("fast_direct")(Problem(D, horizon, 0))
    assert strategy.population == population
    assert strategy.alpha == pytest.approx(80 * max(1, 1600 / horizon))


@pytest.mark.parametrize("options", [{"moves": 0}, {"alpha": 0.0}, {"alpha": math.nan}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(InputError, match="moves must be at least 1 and alpha above 0; got"):
        made(**options)


def test_noise_of_another_size_than_the_latents_is_refused_before_a_query():
    with pytest.raises(InputError, match=r"draws of as many entries as latents, 48; got \[47, 50\]\. Take sur"):
        made((47, 50)).ask()


class Pool(ToyGenerator, GeneratorPool):
    """A pool whose actors are this process."""

    def __init__(self) -> None:
        super().__init__()
        vars(self).update(ahead=1, _busy=SimpleNamespace(seconds=0.0))


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (ToyGenerator, r"FastDirect takes the generator's final latents, and ToyGenerator has no latents\(z\)"),
        (Pool, "generators must be 0 with FastDirect, which takes latents in the run's own process"),
    ],
)
def test_a_generator_without_latents_is_refused_before_the_run_begins(generator, message, tmp_path):
    with pytest.raises(InputError, match=message):
        zo_dno.optimize(generator(), "brightness", "fast_direct", queries=8, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_model_has_to_be_handed_over():
    with pytest.raises(AskTellError, match="FastDirect must be given a model"):
        load("fast_direct")(Problem(D, 64, 0)).ask()


def test_a_run_counts_the_latents_as_images():
    options = {"strategy_options": {"population": 8}, "seed": 1}
    found = zo_dno.optimize(WithLatents(), "brightness", "fast_direct", queries=32, **options)
    assert found.strategy_images == 8 * (1 + 2 + 3 + 4)
    assert found.nfe == WithLatents.nfe * (32 + found.strategy_images)


def test_a_run_is_resumed_to_the_same_end(tmp_path):
    toy, options = WithLatents(), {"strategy_options": {"population": 8}, "seed": 2, "horizon": 32}
    whole = zo_dno.optimize(toy, "brightness", "fast_direct", queries=32, **options)
    zo_dno.optimize(toy, "brightness", "fast_direct", queries=21, out=tmp_path / "run", **options)
    rest = zo_dno.resume(tmp_path / "run", queries=32, generator=toy)
    assert [row.value for row in rest.history] == [row.value for row in whole.history]
    assert rest.nfe == whole.nfe
