"""The scores that a strategy is told: infeasible candidates below feasible ones, and an automatic gamma."""

import pytest
import torch

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.noise.space import NoiseLayout
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.rng import stream
from zo_dno.search.objective import Objective

LAYOUT = NoiseLayout(((400,),))


def population(odd, n=10, seed=0):
    """Draw n candidates, of which the first `odd` are 40 % too long."""
    z = torch.randn(n, LAYOUT.d, generator=stream(seed, "constraint"))
    z[:odd] *= 1.4
    return z


def told(objective, z, rewards):
    return objective.told(z, rewards, objective.plausibility(z), regularized=True)


def test_infeasible_candidates_score_below_feasible_ones():
    """This holds for any reward, and a larger violation scores lower."""
    objective = Objective(LAYOUT)
    z = population(3)
    z[0] *= 1.2
    rewards = torch.arange(10, 0, -1.0)
    scores = told(objective, z, rewards)
    assert float(scores[:3].max()) < float(scores[3:].min())
    assert float(scores[0]) < float(scores[1])
    assert torch.equal(scores[3:], rewards[3:])


def test_an_automatic_gamma_starts_at_0_rises_with_implausible_noise_and_falls_without():
    objective, seen = Objective(LAYOUT, gamma="auto"), []
    for odd in [0, 0, 5, 5, 5, 1, 0, 0]:
        z = population(odd)
        told(objective, z, z[:, 0].double())
        seen.append(objective.gamma)
    assert seen[:2] == [0, 0]
    assert 0 < seen[2] < seen[3] < seen[4]
    assert seen[5] == seen[4]  # one of ten is tolerated
    assert seen[5] > seen[6] > seen[7] > 0


def test_an_automatic_gamma_looks_at_candidates_that_can_win_alone():
    """Images with noise added, as those of `hybrid1`'s probes, say nothing about the noise that is searched."""
    objective, z = Objective(LAYOUT, gamma="auto"), population(0)
    plausibility = objective.plausibility(z).with_perturbed(torch.tensor([False] + [True] * 9))
    for _ in range(20):
        objective.told(z, z[:, 0].double(), plausibility, regularized=True)
    assert objective.gamma == 0
    objective.counts_perturbed = True  # as runs that began before do
    objective.told(z, z[:, 0].double(), plausibility, regularized=True)
    assert objective.gamma > 0


def test_an_automatic_gamma_scales_with_the_rewards_unit():
    gammas = []
    for unit in (1.0, 1000.0):
        objective = Objective(LAYOUT, gamma="auto")
        z = population(5)
        told(objective, z, unit * z[:, 0].double())
        gammas.append(objective.gamma)
    assert gammas[1] == pytest.approx(1000 * gammas[0])


def test_an_automatic_gamma_keeps_the_noise_near_plausible():
    """With a reward for large noise and no retraction, the mean violation falls to less than a fifth."""

    def violation(gamma):
        result = zo_dno.optimize(
            *(zo_dno.FunctionGenerator(shown, (192,)), reward, "dno"),
            queries=60,
            gamma=gamma,
            strategy_options={"retraction": False},
        )
        assert result.best.plausible
        return sum(query.noise_violation for query in result.history[-30:]) / 30

    def shown(z):
        return (z / 8 + 0.5).clamp(0, 1).reshape(-1, 3, 8, 8)

    def lengths(images, prompts):
        import numpy as np

        return [float(np.square(np.asarray(image, float) / 255 - 0.5).sum()) for image in images]

    reward = FunctionReward(lengths)
    reward.differentiable = lambda images, prompts: (images - 0.5).square().flatten(1).sum(1)
    without, automatic = violation(0.0), violation("auto")
    assert without > 50
    assert automatic < without / 5


def test_a_resumed_run_with_an_automatic_gamma_gives_the_same_result(tmp_path):
    options = {"gamma": "auto", "seed": 3, "strategy_options": {"retraction": False}}
    whole = zo_dno.optimize(ToyGenerator(), "brightness", "zo_sgd", queries=160, **options)
    zo_dno.optimize(ToyGenerator(), "brightness", "zo_sgd", queries=70, horizon=160, out=tmp_path / "run", **options)
    rest = zo_dno.resume(tmp_path / "run", queries=160, generator=ToyGenerator())
    assert [query.value for query in rest.history] == [query.value for query in whole.history]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gamma": "some"}, "gamma must be a finite number of at least 0, or 'auto'; got some"),
        ({"gamma": "auto", "min_log_prob": None}, "gamma 'auto' must come with a min_log_prob"),
    ],
)
def test_invalid_gammas_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        Objective(LAYOUT, **options)
