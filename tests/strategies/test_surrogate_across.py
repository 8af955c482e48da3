"""The search by a surrogate that starts from what earlier prompts taught."""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor

from tests.strategies.test_surrogate import Coloured, Still, reward_of, rows, surrogate
from tests.support.play import best
from zo_dno.errors import InputError
from zo_dno.rng import stream
from zo_dno.surrogate.knowledge import Knowledge, Transfers
from zo_dno.surrogate.process import GaussianProcess
from zo_dno.testing.search import play, same_candidates

SEEDS = range(4)


def of_another_prompt(z: Tensor) -> Tensor:
    """Score almost the same, on another level."""
    return reward_of(z) + 3 + 0.3 * Coloured().render(z)[:, 1].mean((1, 2))


def learned_from(strategy) -> Knowledge:
    assert isinstance(strategy, Transfers)
    learned = strategy.learned
    assert learned is not None
    return Knowledge.of_run(learned, "first", "toy")


@cache
def knowledge() -> Knowledge:
    """Return what a search of 32 queries for the first prompt taught."""
    strategy = surrogate(Coloured(), 7)
    play(strategy, reward_of, 3)
    return learned_from(strategy)


def taught(seed, given=None, **options):
    strategy = without(seed, **options)
    strategy.start_from(given or knowledge())
    return strategy


def mean_best(make, queries):
    return sum(best(make(seed), of_another_prompt, queries) for seed in SEEDS) / len(SEEDS)


def without(seed, **options):
    return surrogate(Coloured(), seed, **{"renders": 8, **options})


def test_12_queries_find_as_much_as_24_without_knowledge():
    assert mean_best(taught, 12) >= mean_best(without, 24)


def flipped() -> Knowledge:
    return replace(knowledge(), rewards=-knowledge().rewards)


def shuffled() -> Knowledge:
    order = torch.randperm(len(knowledge()), generator=stream(0, "shuffled"))
    return replace(knowledge(), rewards=knowledge().rewards[order])


@pytest.mark.slow
@pytest.mark.parametrize("stale", [flipped, shuffled])
def test_stale_knowledge_costs_at_most_a_tenth_of_what_a_search_gains(stale):
    """After 24 queries, of the gain over the best of 16 prior draws; it begins with 4 of these in place of 16."""
    alone, drawn = mean_best(without, 24), mean_best(without, 16)
    assert mean_best(lambda seed: taught(seed, stale()), 24) > alone - 0.1 * (alone - drawn)


@pytest.mark.parametrize("stale", [flipped, shuffled])
def test_stale_knowledge_leaves_the_predictions_that_are_made_without_it(stale):
    """Bit for bit, once 12 scores are known."""
    for seed in SEEDS:
        strategy = taught(seed, stale(), first_informed=12)
        play(strategy, of_another_prompt, 1)
        known = strategy._known
        process = strategy._fitted(known).process
        alone = GaussianProcess(known.features, known.rewards, sizes=strategy._sizes, errors=known.errors)
        images = Coloured().render(torch.randn(5, 96, generator=stream(seed, "new")))
        for found, expected in zip(process(strategy._describe(images)), alone(strategy._describe(images)), strict=True):
            assert torch.equal(found, expected)


def test_the_first_population_is_smaller_and_its_candidates_are_prior_draws():
    strategy = taught(0)
    z = strategy.ask().z
    assert len(z) == strategy.n_prior == 4
    assert torch.equal(z[0], strategy.start)
    assert taught(0, first_informed=2).n_prior == 2
    assert taught(0, first=3).n_prior == 3
    with pytest.raises(InputError, match="first_informed must be at least 2; got 1"):
        surrogate(Coloured(), first_informed=1)


def test_few_rows_change_nothing():
    few = knowledge().thinned(15)
    assert taught(0, few).n_prior == 16
    assert same_candidates(play(taught(0, few), reward_of, 2), play(without(0), reward_of, 2))


def test_a_search_by_images_starts_from_it_too():
    strategy = surrogate(Still(), 0, renders=4)
    strategy.start_from(knowledge())
    assert [len(z) for z in play(strategy, reward_of, 3)] == [4, 8, 8]


def test_it_continues_from_a_state_as_it_was():
    whole = taught(1, renders=3)
    play(whole, of_another_prompt, 2)
    other = taught(1, renders=3)
    other.load_state_dict(whole.state_dict())
    assert torch.equal(whole.ask().z, other.ask().z)


def test_what_a_run_learned_is_its_own():
    strategy = taught(0)
    play(strategy, of_another_prompt, 1)
    assert strategy.learned is None  # 4 scores are not enough to be used by others
    play(strategy, of_another_prompt, 1)
    assert len(strategy.learned.rewards) == 12
    assert strategy.learned.names == ("picture", "modes", "bands", "colours")
    assert sum(strategy.learned.sizes) == strategy.learned.features.shape[1]


def test_knowledge_of_other_features_is_refused_before_a_query():
    strategy = surrogate(Coloured(), features=["pixels"])
    with pytest.raises(InputError, match=r"surrogate must have the features of this run, pixels \(576\); got picture"):
        strategy.start_from(knowledge())
    own = surrogate(Coloured(), features=[rows])
    own.start_from(knowledge())
    with pytest.raises(InputError, match="Name another file for these features"):
        own.use_model(Coloured())
