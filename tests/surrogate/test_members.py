"""The choice of a set of candidates that are apart."""

from itertools import combinations

import numpy as np

from zo_dno.surrogate.members import best_set


def best_of_all(rewards, distances, size, least):
    """The best number of members and the best sum of so many, by trying all sets."""
    for n in range(size, 0, -1):
        sums = [
            sum(rewards[list(one)])
            for one in combinations(range(len(rewards)), n)
            if all(distances[a, b] >= least for a, b in combinations(one, 2))
        ]
        if sums:
            return n, max(sums)
    return 0, 0.0


def test_members_are_apart_and_mostly_the_best_set_there_is():
    rng, reached = np.random.default_rng(0), []
    for _ in range(40):
        points, rewards = rng.uniform(size=(12, 2)), rng.normal(size=12)
        distances = np.linalg.norm(points[:, None] - points, axis=2)
        chosen = best_set(rewards, distances, 4, 0.4)
        assert all(distances[one, other] >= 0.4 for one, other in combinations(chosen, 2))
        assert rewards[chosen].tolist() == sorted(rewards[chosen], reverse=True)
        n, total = best_of_all(rewards, distances, 4, 0.4)
        reached.append(len(chosen) == n and np.isclose(rewards[chosen].sum(), total))
    assert np.mean(reached) > 0.8


def test_a_set_never_becomes_worse_with_more_candidates_and_is_mostly_better_than_one_chosen_anew():
    rng, worth = np.random.default_rng(1), []
    for _ in range(20):
        points, rewards = rng.uniform(size=(48, 8)), rng.normal(size=48)
        distances, known, before = np.linalg.norm(points[:, None] - points, axis=2), [], (0, -np.inf)
        for n in (8, 16, 32, 48):
            known = best_set(rewards[:n], distances[:n, :n], 6, 1.05, known)
            assert all(distances[one, other] >= 1.05 for one, other in combinations(known, 2))
            now = len(known), rewards[known].sum()
            assert now >= before
            before = now
        anew = best_set(rewards, distances, 6, 1.05)
        worth.append((before, (len(anew), rewards[anew].sum())))
    assert sum(one > other for one, other in worth) > 2 * sum(one < other for one, other in worth)


def test_one_good_candidate_gives_way_to_more_members():
    distances = np.array([[0, 1, 1, 9.0], [1, 0, 5, 9], [1, 5, 0, 9], [9, 9, 9, 0]])
    assert best_set(np.array([5.0, 1, 1, 0]), distances, 2, 2.0) == [0, 3]
    assert best_set(np.array([5.0, 1, 1, 0]), distances, 3, 2.0) == [1, 2, 3]
    assert best_set(np.array([1.0, 1]), np.array([[0, 3.0], [3, 0]]), 4, 2.0) == [0, 1]
    assert best_set(np.zeros(0), np.zeros((0, 0)), 2, 1.0) == []
