"""The search by a surrogate of the reward."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import zo_dno
from tests.support.play import best, load, make
from tests.support.toys import ToyGenerator
from zo_dno.distributed.generator_actors import GeneratorPool
from zo_dno.errors import AskTellError, InputError
from zo_dno.rng import stream
from zo_dno.strategy import Measured, Problem
from zo_dno.surrogate.fitted import without_outliers
from zo_dno.testing.search import FlatModel, play

D = 96


class Coloured(FlatModel):
    """Images of 8 x 8 pixels, a squashed linear map of the noise."""

    image_shape = (3, 8, 8)

    def render(self, z):
        weights = torch.randn(z.shape[1], 3, 8, 8, generator=stream(5, "coloured")) / math.sqrt(z.shape[1])
        return torch.einsum("nd,dchw->nchw", z, weights).sigmoid()


class Still(Coloured):
    """The model without its gradient."""

    has_gradient = False

    def vjp(self, z, cotangent):
        raise AssertionError("there is no gradient")


def reward_of(z: Tensor) -> Tensor:
    """Score how red the upper half of the image is, and how blue the lower one, with a product of both."""
    images = Coloured().render(z)
    above, below = images[:, 0, :4].mean((1, 2)), images[:, 2, 4:].mean((1, 2))
    return above + below + 4 * above * below


def in_bytes(z: Tensor) -> Tensor:
    return ToyGenerator(48)(z)


def in_numpy(z: Tensor) -> Tensor:
    return torch.from_numpy(1 / (1 + np.exp(-z.numpy() @ ToyGenerator(48)._map.numpy()))).reshape(-1, 3, 8, 8)


BOTH = pytest.mark.parametrize("model", [Coloured(), Still()], ids=["gradient", "images"])


def surrogate(model: FlatModel, seed: int = 0, **options: Any) -> Any:
    strategy: Any = load("surrogate")(Problem(D, 64, seed), **options)
    strategy.use_model(model)
    return strategy


@pytest.mark.parametrize(("model", "queries"), [(Coloured(), 40), (Still(), 64)], ids=["gradient", "images"])
@pytest.mark.parametrize("seed", [0, *(pytest.param(more, marks=pytest.mark.slow) for more in (1, 2))])
def test_few_queries_find_more_than_a_thousand_prior_draws(model, queries, seed):
    """Prior draws of the same seed."""
    found = best(surrogate(model, seed), reward_of, queries)
    assert found > float(reward_of(torch.randn(1000, D, generator=stream(seed, "prior"))).max())


@BOTH
def test_candidates_are_on_the_shell(model):
    for z in play(surrogate(model), reward_of, 3)[1:]:
        assert torch.allclose(z.norm(dim=1), torch.full((len(z),), math.sqrt(D)), rtol=1e-4)


@BOTH
def test_candidates_of_a_population_differ(model):
    last = play(surrogate(model), reward_of, 3)[-1]
    assert float(torch.pdist(last).min()) > 0.05 * math.sqrt(D)


def test_missing_scores_are_not_learnt_from():
    strategy = surrogate(Coloured())
    candidates = strategy.ask()
    scores = reward_of(candidates.z)
    scores[::2] = torch.nan
    strategy.tell(candidates, scores)
    assert len(strategy._known) == len(candidates) // 2
    assert bool(strategy.ask().z.isfinite().all())


@pytest.mark.parametrize("known", [0, 1])
def test_prior_draws_follow_until_two_scores_are_known(known):
    strategy = surrogate(Coloured())
    candidates = strategy.ask()
    scores = torch.full((16,), torch.nan)
    scores[:known] = 1.0
    strategy.tell(candidates, scores)
    z = strategy.ask().z
    assert float(z.norm(dim=1).std()) > 0.1  # those that were searched for are on the shell
    assert abs(float(z.square().mean()) - 1) < 5 * (2 / z.numel()) ** 0.5


def test_images_that_are_missing_are_not_learnt_from():
    class Holes(Still):
        def render(self, z):
            images = super().render(z)
            images[::3] = torch.nan
            return images

    strategy = surrogate(Holes())
    for z in play(strategy, reward_of, 3):
        assert bool(z.isfinite().all())
    assert bool(strategy._known.features.isfinite().all())


def rows(images: Tensor) -> Tensor:
    return images.mean(3).flatten(1)


def without_gradient(images: Tensor) -> Tensor:
    return rows(images).detach()


def test_features_of_the_users_are_climbed():
    found = best(surrogate(Coloured(), features=[rows]), reward_of, 40)
    assert found > float(reward_of(torch.randn(1000, D, generator=stream(0, "prior"))).max())


def test_features_without_a_gradient_are_searched_by_images(caplog):
    play(surrogate(Coloured(), features=["pixels", without_gradient], renders=4), reward_of, 3)
    assert "features 'without_gradient' have no gradient" in caplog.text
    with pytest.raises(InputError, match="inner must be 'images' or 'auto' with features without a gradient"):
        surrogate(Coloured(), features=[without_gradient], inner="gradient")


def test_several_families_continue_from_a_state_as_they_were():
    def asked(strategy):
        candidates = strategy.ask()
        strategy.tell(candidates, reward_of(candidates.z))
        return candidates.z

    whole = surrogate(Coloured(), features=["pixels", rows], renders=3)
    for _ in range(2):
        asked(whole)
    state = whole.state_dict()
    other = surrogate(Coloured(), features=["pixels", rows], renders=3)
    other.load_state_dict(state)
    assert torch.equal(asked(whole), asked(other))


def test_with_noise_climbs_begin_at_the_best_predictions():
    strategy: Any = load("surrogate")(Problem(D, 64, 0, noisy=True))
    strategy.use_model(Coloured())
    candidates = strategy.ask()
    scores = reward_of(candidates.z) + torch.randn(16, generator=stream(0, "noise"))
    strategy.tell_measured(Measured(scores.double(), torch.ones(16).double(), torch.empty(16, 0).double()))
    strategy.tell(candidates, scores)
    known = strategy._known
    acquisition = strategy._fitted(known)
    predicted = acquisition.process(known.features)[0].argsort(descending=True).tolist()
    assert (
        strategy._best(known, acquisition, 16).tolist() == predicted != known.scores.argsort(descending=True).tolist()
    )


def test_no_candidate_is_asked_about_twice():
    asked = torch.cat(play(surrogate(Still(), renders=2), reward_of, 9))
    assert float(torch.pdist(asked).min()) > 0.01


def test_draws_of_several_steps_each_stay_on_their_shell():
    strategy: Any = load("surrogate")(Problem(D, 64, 0, sizes=(32, 64)))
    strategy.use_model(Coloured())
    z = play(strategy, reward_of, 3)[-1]
    for part, size in zip(z.split((32, 64), 1), (32, 64), strict=True):
        assert torch.allclose(part.norm(dim=1), torch.full((8,), math.sqrt(size)), rtol=1e-4)


def test_the_first_candidates_are_prior_draws_and_the_start_is_one_of_them():
    strategy = surrogate(Coloured())
    candidates = strategy.ask()
    assert len(candidates) == strategy.n_prior == 16
    assert torch.equal(candidates.z[0], strategy.start)


def test_a_run_counts_the_images_that_the_search_of_the_model_renders():
    toy = ToyGenerator()
    result = zo_dno.optimize(toy, "brightness", "surrogate", queries=32, strategy_options={"renders": 3})
    own = 16 + 2 * (32 + 8)  # the first population, and two searches, in whole populations of 16, with what they found
    assert result.strategy_images == result.to_dict()["strategy_images"] == own
    assert result.nfe == toy.nfe * (32 + own)
    assert result.best.plausible


def test_a_threshold_is_met_by_the_winner_and_told_about():
    toy = ToyGenerator()
    options = {"queries": 48, "seed": 1, "require": ["brightness >= 0.6"]}
    result = zo_dno.optimize(toy, "saturation", "surrogate", **options)
    assert result.best.feasible
    met = [not row.reward_violation for row in result.history]
    assert sum(met[16:]) / 32 > sum(met[:16]) / 16


@pytest.mark.slow
@pytest.mark.ray
def test_generator_actors_render_the_searches_of_the_model():
    pool = GeneratorPool(ToyGenerator, 1)
    options = {"queries": 32, "seed": 1, "strategy_options": {"renders": 4}}
    try:
        there = zo_dno.optimize(pool, "brightness", "surrogate", **options)
    finally:
        pool.close()
    here = zo_dno.optimize(ToyGenerator(), "brightness", "surrogate", **options)
    assert [row.value for row in there.history] == [row.value for row in here.history]
    assert there.nfe == here.nfe


def test_a_limit_of_denoiser_calls_counts_them_too():
    toy = ToyGenerator()
    result = zo_dno.optimize(toy, "brightness", "surrogate", queries=1000, nfe=800)
    assert result.stopped_by == "nfe"
    assert 16 < result.queries < 100
    assert result.nfe <= 800


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": 1}, "first must be at least 2; got 1"),
        ({"renders": -1}, "renders must be at least 0; got -1"),
        ({"inner": "grad"}, "inner 'grad' is unknown"),
        ({"step": 1.0}, "step must be above 0 and below 1"),
        ({"fresh": 0.0}, "fresh above 0 and at most 1"),
        ({"optimism": -1.0}, "optimism at least 0"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        make("surrogate", **options)


def test_a_climb_through_a_generator_without_gradient_is_refused():
    with pytest.raises(InputError, match="inner must be 'images' or 'auto' with a generator that has no gradient"):
        surrogate(Still(), inner="gradient")
    with pytest.raises(InputError, match="inner must be 'images' or 'auto'"):
        zo_dno.optimize(ToyGenerator(), "brightness", "surrogate", queries=32, strategy_options={"inner": "gradient"})


class Broken(Coloured):
    """The model on a machine whose memory does not suffice for a gradient."""

    def vjp(self, z, cotangent):
        raise InputError("memory does not suffice for 8 images; set batch_size to less.")


def test_a_gradient_that_fails_is_replaced_by_images_and_not_tried_again(caplog):
    strategy = surrogate(Broken())
    assert [len(z) for z in play(strategy, reward_of, 4)] == [16, 8, 8, 8]
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert (
        warning
        == "the search continues without gradients: memory does not suffice for 8 images; set batch_size to less."
    )


def test_a_gradient_that_fails_is_an_error_where_it_was_asked_for():
    strategy = surrogate(Broken(), inner="gradient")
    with pytest.raises(InputError, match="memory does not suffice"):
        play(strategy, reward_of, 2)


@pytest.mark.parametrize("function", [in_bytes, in_numpy])
def test_a_function_without_gradient_is_searched_by_its_images(function):
    generator = zo_dno.FunctionGenerator(function, (3, 4, 4))
    result = zo_dno.optimize(generator, "brightness", "surrogate", queries=40)
    assert result.best.reward > max(row.value for row in result.history[:16])


def test_a_run_is_resumed_to_the_same_end(tmp_path):
    toy = ToyGenerator()
    options = {"seed": 2, "horizon": 40}
    whole = zo_dno.optimize(toy, "brightness", "surrogate", queries=40, **options)
    zo_dno.optimize(toy, "brightness", "surrogate", queries=27, out=tmp_path / "run", **options)
    parts = zo_dno.resume(tmp_path / "run", queries=40, generator=toy)
    assert [row.value for row in parts.history] == [row.value for row in whole.history]
    assert parts.nfe == whole.nfe


def test_scores_far_below_the_others_are_told_as_bad_alone():
    rewards = torch.cat([torch.arange(12.0), torch.tensor([-1e6])])
    assert float(without_outliers(rewards).min()) > -50
    assert torch.equal(without_outliers(torch.arange(12.0)), torch.arange(12.0))
    assert torch.equal(without_outliers(torch.ones(5)), torch.ones(5))


def test_a_model_has_to_be_handed_over():
    strategy = load("surrogate")(Problem(12, 60, 0))
    candidates = strategy.ask()
    with pytest.raises(AskTellError, match="Surrogate must be given a model"):
        strategy.tell(candidates, torch.zeros(len(candidates)))
