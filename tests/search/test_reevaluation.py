"""Re-evaluation by a noisy reward: which candidates are scored again, how often, and which one wins."""

import math
from statistics import fmean

import numpy as np
import pytest

import zo_dno
from zo_dno import InputError
from zo_dno.search.reevaluation import Reevaluation, kept_back
from zo_dno.types import Score

SEEDS = range(200)


def reevaluation(means, noise, budget, seed):
    """Run a re-evaluation in which the first scores are as noisy as the later ones."""
    rng = np.random.default_rng(seed)
    first = {id_: mean + noise * rng.normal() for id_, mean in enumerate(means)}
    ordered = dict(sorted(first.items(), key=lambda one: -one[1]))
    found = Reevaluation(ordered, budget)
    while wanted := found.wanted():
        found.tell({id_: means[id_] + noise * rng.normal() for id_ in wanted})
    return found, ordered


def test_the_winner_is_better_than_the_luckiest_candidate():
    """64 candidates as a search leaves them, with noise as large as their differences."""
    gains = []
    for seed in SEEDS:
        means = np.random.default_rng(1000 + seed).normal(size=64)
        found, ordered = reevaluation(means, 1.0, 64, seed)
        gains.append(means[found.standings[0].id] - means[next(iter(ordered))])
    error = np.std(gains) / math.sqrt(len(gains))
    assert fmean(gains) > 3 * error  # 0.1 % of false alarms


def test_the_mean_of_the_winner_is_hardly_lucky():
    """The luckiest single score is more than one noise deviation too high, the winner's mean less than half of one."""
    single, mean = [], []
    for seed in SEEDS:
        means = np.random.default_rng(1000 + seed).normal(size=64) * 0.3
        found, ordered = reevaluation(means, 1.0, 64, seed)
        lucky, answer = next(iter(ordered.items()))
        single.append(answer - means[lucky])
        mean.append(found.standings[0].mean - means[found.standings[0].id])
    assert fmean(single) > 1.0
    assert fmean(mean) < 0.5


@pytest.mark.parametrize("budget", [8, 9, 13, 50, 200])
@pytest.mark.parametrize("noise", [0.0, 0.3, 3.0])
def test_a_reevaluation_stays_within_its_budget(budget, noise):
    found, _ = reevaluation([0.1 * i for i in range(30)], noise, budget, seed=3)
    assert 4 <= found.spent <= budget
    assert sum(standing.n_scores for standing in found.standings) == found.spent


@pytest.mark.parametrize("budget", [8, 9, 13, 50, 64, 200, 819])
@pytest.mark.parametrize("contenders", [2, 3, 5, 30])
def test_all_of_the_budget_is_asked_unless_one_is_clearly_the_best(budget, contenders):
    unasked = []
    for seed in range(40):
        found, _ = reevaluation([0.0] * contenders, 1.0, budget, seed)
        if found.spent < budget:
            assert sum(found.standings[0].id != one.id and one.n_scores > 2 for one in found.standings) < contenders
            assert found.unasked.startswith(
                f"{budget - found.spent} of {budget} queries kept for scoring the best again"
            )
            assert found.unasked.endswith("one candidate is clearly the best")
        else:
            assert found.unasked == ""
        unasked.append((budget - found.spent) / budget)
    assert fmean(unasked) < 0.25


def test_a_run_says_how_many_queries_it_did_not_need(toy):
    said = []
    for seed in range(8):
        judge = MoodyJudge(noise=0.3)
        judge.rng = np.random.default_rng(seed)
        result = zo_dno.optimize(toy, judge, queries=64, repeats="auto", threads=1, seed=seed)
        assert result.queries == judge.queries
        left = 64 - result.queries
        assert (result.unasked or "").startswith(f"{left} of " if left else "")
        assert bool(result.unasked) == bool(left) == ("unasked" in result.to_dict())
        said.append(left)
    assert said.count(0) >= 4


def test_without_contenders_the_search_gets_the_queries_back(toy, tmp_path):
    """Only the first candidate gets a score, so there is nothing to compare."""
    judge = MoodyJudge(fails_from=1)
    options = {"queries": 24, "repeats": 8, "threads": 1, "policy": {"breaker": 0}}
    result = zo_dno.optimize(toy, judge, out=tmp_path / "run", **options)
    assert (result.queries, result.status, len(result.history)) == (24, "finished", 24)
    again = zo_dno.resume(tmp_path / "run", generator=toy, reward=judge)
    assert (again.queries, judge.queries) == (24, 24)


def test_noise_is_measured_and_contenders_clearly_behind_are_eliminated():
    found, _ = reevaluation([0.0, 0.0, 10.0, 10.0], 0.2, 60, seed=1)
    assert found.noise == pytest.approx(0.2, rel=0.4)
    scores = {standing.id: standing.n_scores for standing in found.standings}
    assert scores[0] == scores[1] == 2 < scores[2]
    assert scores[2] == scores[3]


def test_an_exact_reward_scores_every_contender_twice_only():
    found, _ = reevaluation([3.0, 2.0, 1.0, 0.0], 0.0, 16, seed=0)
    assert (found.is_exact, found.spent, found.standings[0].id) == (True, 8, 0)


def test_scores_that_are_all_equal_show_no_exact_reward():
    """They may all be at the end of a scale. The first contender, from the most advanced search, is ahead."""
    found, _ = reevaluation([5.0, 5.0, 5.0, 5.0], 0.0, 16, seed=0)
    assert (found.is_exact, found.standings[0].id, found.standings[0].mean) == (False, 0, 5.0)
    earlier = Reevaluation(dict.fromkeys(range(4), 5.0), 16, equals_are_exact=True)
    earlier.tell(dict.fromkeys(earlier.wanted(), 5.0))
    assert earlier.is_exact is False
    earlier.tell(dict.fromkeys(earlier.wanted(), 5.0))
    assert earlier.is_exact


def test_a_contender_with_a_missing_score_is_eliminated():
    found = Reevaluation({5: 2.0, 6: 1.0}, 8)
    found.tell({5: math.nan, 6: 1.0})
    assert found.wanted() == [6]


@pytest.mark.parametrize("repeats", [3, 7, 33])
def test_repeats_out_of_range_are_refused(repeats):
    with pytest.raises(InputError, match=r"repeats must be 0, or from 8, .* to half of the 64 queries; got"):
        kept_back(repeats, 64)


class MoodyJudge:
    """Rounded brightness with noise that changes with every call."""

    def __init__(self, noise: float = 0.1, fails_from: int = 10**9) -> None:
        self.rng, self.noise, self.queries, self.fails_from = np.random.default_rng(0), noise, 0, fails_from

    def __call__(self, images, prompts):
        self.queries += len(images)
        if self.queries > self.fails_from:
            return [Score(math.nan, error="gone") for _ in images]
        return [round(float(np.asarray(image).mean() / 255 + self.noise * self.rng.normal()), 2) for image in images]


def test_the_winner_of_a_run_has_the_best_mean_with_its_error(toy, tmp_path):
    judge = MoodyJudge()
    result = zo_dno.optimize(toy, judge, queries=80, repeats="auto", threads=1, out=tmp_path / "run")
    assert 72 < result.queries == judge.queries <= 80
    assert len(result.history) == 64
    winner = result.repeats[0]
    assert (result.best.id, result.best.reward, result.best.n_scores) == (winner.id, winner.mean, winner.n_scores)
    assert result.best.error == pytest.approx(result.noise / math.sqrt(winner.n_scores))
    assert result.noise == pytest.approx(0.1, rel=0.7)
    assert result.to_dict()["best"]["answers"] == winner.n_scores


def test_an_exact_judge_costs_little_and_the_rest_is_searched(toy):
    judge = MoodyJudge(noise=0.0)
    result = zo_dno.optimize(toy, judge, queries=80, repeats="auto", threads=1)
    assert result.queries == judge.queries == 80
    assert len(result.history) == 72  # of 16 kept back, 4 contenders took 8
    assert result.best.n_scores == 1
    assert result.best.reward == max(query.value for query in result.history if query.plausible)


def test_a_finished_run_of_an_exact_judge_resumes_to_itself_and_asks_nothing(toy, tmp_path):
    """The contenders are those of the moment of the re-evaluation, not of the end of the search."""
    judge = MoodyJudge(noise=0.0)
    first = zo_dno.optimize(toy, judge, queries=80, repeats="auto", threads=1, out=tmp_path / "run")
    asked = judge.queries
    again = zo_dno.resume(tmp_path / "run", generator=toy, reward=judge)
    assert judge.queries == asked == again.queries == 80
    assert again.repeats == first.repeats
    assert len(again.history) == len(first.history) == 72
    assert again.best.id == first.best.id


def test_a_run_interrupted_in_its_reevaluation_resumes_without_repeated_queries(toy, tmp_path):
    stopped = MoodyJudge()

    def judge(images, prompts):
        if stopped.queries == 70:
            stopped.queries += 1
            raise KeyboardInterrupt
        return stopped(images, prompts)

    first = zo_dno.optimize(toy, judge, queries=80, repeats=16, threads=1, out=tmp_path / "run")
    assert first.status == "interrupted"
    result = zo_dno.resume(tmp_path / "run", generator=toy, reward=judge)
    assert result.status == "finished"
    assert result.queries == stopped.queries - 1  # the one that was interrupted


def test_combinations_have_no_reevaluation(toy):
    with pytest.raises(InputError, match="repeats must be 0 with a combination"):
        zo_dno.optimize(toy, "jpeg_smaller", require=["jpeg_smaller >= -10"], queries=80, repeats="auto")
