"""Gradients through a model: the estimators, and what Hybrid-1, Hybrid-2 and DNO find with them."""

import itertools
import math

import pytest
import torch
from torch import Tensor

from tests.support.play import load, make
from zo_dno.errors import AskTellError, InputError
from zo_dno.rng import stream
from zo_dno.strategies.cotangents import image_differences, noise_differences, normalised
from zo_dno.strategy import Problem

WEIGHTS = torch.linspace(-1, 1, 12)


def linear(images: Tensor) -> Tensor:
    """A reward whose gradient is the same everywhere."""
    return images.flatten(1) @ WEIGHTS


def test_image_differences_of_a_linear_reward_average_to_its_gradient():
    """Within 5 standard errors an entry: mu xi_i (g . xi_i) has variance g_i^2 + |g|^2; false alarms: 1e-5."""
    q, mu = 20_000, 0.1
    offsets = mu * torch.randn(q, 12, generator=stream(1, "offsets"))
    found = image_differences(offsets, offsets @ WEIGHTS + 3, torch.tensor(3.0), mu)
    error = ((WEIGHTS.square() + WEIGHTS.square().sum()) / q).sqrt()
    assert bool(((found - WEIGHTS).abs() < 5 * error).all())


def test_noise_differences_of_a_linear_reward_lie_along_what_the_model_can_change():
    """M is linear here, so the expectation is J J^T g; the cosine with it is near 1 with many probes."""
    jacobian = torch.randn(12, 6, generator=stream(2, "model"))
    moves = 0.01 * torch.randn(5000, 6, generator=stream(3, "probes")) @ jacobian.T
    x = torch.ones(12)
    found = noise_differences(x + moves, x, moves @ WEIGHTS, torch.tensor(0.0))
    wanted = jacobian @ jacobian.T @ WEIGHTS
    assert float(torch.cosine_similarity(found, wanted, dim=0)) > 0.99


def test_noise_differences_are_in_units_of_the_reward():
    """They predict the differences that they were made of; twice the reward gives twice the estimate."""
    images, x = torch.randn(1, 12, generator=stream(4, "one")), torch.zeros(12)
    gain = torch.tensor([0.7])
    found = noise_differences(images, x, gain, torch.tensor(0.0))
    assert float(images[0] @ found) == pytest.approx(0.7, rel=1e-5)
    assert torch.allclose(noise_differences(images, x, 2 * gain, torch.tensor(0.0)), 2 * found)


@pytest.mark.parametrize("estimate", ["image", "noise"])
def test_missing_scores_are_left_out(estimate):
    images, base = torch.randn(4, 12, generator=stream(5, "some")), torch.tensor(0.5)
    scores = images @ WEIGHTS
    holes = torch.where(torch.arange(4) == 2, torch.nan, scores)
    kept = torch.tensor([0, 1, 3])

    def of(images, scores, base=base):
        if estimate == "image":
            return image_differences(images, scores, base, 0.1)
        return noise_differences(images, torch.zeros(12), scores, base)

    assert torch.allclose(of(images, holes), of(images[kept], scores[kept]))
    assert bool(of(images, torch.full((4,), torch.nan)).isnan().all())
    assert bool(of(images, scores, torch.tensor(torch.nan)).isnan().all())


def test_equal_rewards_give_no_direction():
    found = noise_differences(torch.randn(3, 12), torch.zeros(12), torch.ones(3), torch.tensor(1.0))
    assert torch.equal(found, torch.zeros(12))


def test_normalised_is_of_length_one_and_zero_stays_zero():
    assert float(normalised(100 * WEIGHTS).norm()) == pytest.approx(1, abs=1e-4)
    assert torch.equal(normalised(torch.zeros(3)), torch.zeros(3))


def climb(name: str, seed: int, *, populations: int = 30, reward=linear, **options) -> tuple[list[float], int]:
    """Return the rewards of the climbing noise itself, and the number of queries."""
    strategy = make(name, d=48, seed=seed, horizon=400, **options)
    seen, queries = [], 0
    for _ in range(populations):
        candidates = strategy.ask()
        images = strategy.model.render(candidates.z)
        noise = strategy.image_noise() if hasattr(strategy, "image_noise") else None
        scores = reward(images if noise is None else images + noise)
        seen.append(float(scores[0]))
        queries += len(scores)
        strategy.tell(candidates, scores)
    return seen, queries


@pytest.mark.parametrize("name", ["hybrid1", "hybrid2"])
@pytest.mark.fast_cases(1)
def test_climbs_and_beats_best_of_n_at_equal_queries(name):
    """In 12 of 12 seeds; a method as good as best-of-N would do that in 0.02 % of all cases."""
    for seed in range(12):
        seen, queries = climb(name, seed, populations=40, lr=0.1)
        model = make(name, d=48).model
        prior = linear(model.render(torch.randn(queries, 48, generator=stream(seed, "prior"))))
        assert max(seen) > float(prior.max())


def brightness(images: Tensor) -> Tensor:
    """The reward whose gradient the flat model knows."""
    return images.flatten(1).mean(1)


def test_dno_takes_the_true_gradient():
    seen, _ = climb("dno", 0, reward=brightness, population=1)
    assert all(later > earlier for earlier, later in itertools.pairwise(seen))


def test_hybrid_2_with_many_probes_steps_where_dno_does():
    """Many small probes of a smooth reward: the first steps of both have a positive cosine, far above chance."""
    moves = []
    for name, options in (("dno", {"population": 1}), ("hybrid2", {"population": 400, "mu": 0.01})):
        strategy = make(name, d=48, seed=3, retraction=False, **options)
        candidates = strategy.ask()
        strategy.tell(candidates, brightness(strategy.model.render(candidates.z)))
        moves.append(strategy._moments[0])
    assert float(torch.cosine_similarity(*moves, dim=0)) > 0.5  # by chance 0 +- 0.14


def test_the_regularizers_gradient_is_added():
    """With a reward that is the same everywhere, the noise goes where the regulariser is highest."""
    centre = torch.linspace(-1, 1, 48)
    strategy = make("hybrid2", d=48, retraction=False, lr=0.1)
    strategy.use_regularizer(lambda z: -(z - centre).square().sum(1))
    for _ in range(150):
        candidates = strategy.ask()
        strategy.tell(candidates, torch.ones(len(candidates)))
    assert float((strategy._z - centre).abs().max()) < 0.1


def test_without_regularizer_and_slope_the_noise_stays():
    """There is no weight decay."""
    strategy = make("hybrid2", d=48, retraction=False)
    for _ in range(5):
        candidates = strategy.ask()
        strategy.tell(candidates, torch.ones(len(candidates)))
    assert torch.equal(strategy._z, strategy.start)


def test_the_noise_stays_on_the_shell():
    strategy = make("hybrid2", d=48, lr=0.5)
    for _ in range(5):
        candidates = strategy.ask()
        strategy.tell(candidates, linear(strategy.model.render(candidates.z)))
    assert float(strategy._z.norm()) == pytest.approx(math.sqrt(48), rel=1e-5)


def test_a_base_without_a_score_is_no_step():
    strategy = make("hybrid2", d=48, centred=False)
    candidates = strategy.ask()
    scores = linear(strategy.model.render(candidates.z))
    scores[0] = torch.nan
    strategy.tell(candidates, scores)
    assert torch.equal(strategy._z, strategy.start)


def test_the_first_image_of_hybrid_1_has_no_noise_and_the_others_have_as_much_as_asked_for():
    strategy = make("hybrid1", d=48, mu=0.2, population=400)
    strategy.ask()
    noise = strategy.image_noise()
    assert not bool(noise[0].any())
    assert float(noise[1:].std()) == pytest.approx(0.2, rel=0.05)  # 4,788 entries: 5 standard errors


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("hybrid2", {"population": 1}, "population must be at least 2, one image and a probe; got 1"),
        ("hybrid1", {"mu": 0.0}, r"mu must be in \(0, 1\); got 0.0"),
        ("dno", {"lr": 0.0}, "lr must be above 0; got 0.0"),
        ("hybrid2", {"momentum": 1.0}, r"momentum must be in \[0, 1\); got 1.0"),
        ("hybrid2", {"scale": "paper"}, "scale 'paper' is unknown"),
    ],
)
def test_options_out_of_range_are_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        make(name, **options)


def test_a_model_has_to_be_handed_over():
    strategy = load("hybrid2")(Problem(12, 60, 0))
    candidates = strategy.ask()
    with pytest.raises(AskTellError, match="Hybrid2 must be given a model"):
        strategy.tell(candidates, torch.zeros(len(candidates)))
