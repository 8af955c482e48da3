"""The choice of the best set of candidates of which every two are far enough apart."""

from collections.abc import Sequence

import numpy as np


def best_set(rewards: np.ndarray, distances: np.ndarray, size: int, least: float) -> list[int]:
    """Choose candidates, as many as fit up to `size`, and of such sets one with a high mean reward, best first.

    The set is built greedily, best first. Then every member in turn is left out, and the set is filled again without
    it, as long as that gives more members or a higher sum. The problem is that of a heaviest independent set, so that
    the result need not be the best one.

    Args:
        rewards: Rewards, (n,).
        distances: Distances of all pairs, (n, n).
        size: Number of members.
        least: Least distance of two members.
    """
    order = np.argsort(-rewards, kind="stable")
    near = distances < least
    chosen = _filled([], order, near, size)
    better = True
    while better:
        better = False
        for out in chosen:
            other = _filled([one for one in chosen if one != out], [one for one in order if one != out], near, size)
            if _worth(other, rewards) > _worth(chosen, rewards):
                chosen, better = other, True
                break
    return sorted(chosen, key=lambda one: (-rewards[one], one))


def _filled(kept: Sequence[int], order: Sequence[int] | np.ndarray, near: np.ndarray, size: int) -> list[int]:
    """Add candidates in an order to those that are kept, each where it is apart from all."""
    chosen, blocked = list(kept), np.zeros(len(near), bool)
    for one in chosen:
        blocked |= near[one]
        blocked[one] = True
    for one in order:
        if len(chosen) == size:
            break
        if not blocked[one]:
            chosen.append(int(one))
            blocked |= near[one]
            blocked[one] = True
    return chosen


def _worth(chosen: Sequence[int], rewards: np.ndarray) -> tuple[int, float]:
    return len(chosen), float(sum(rewards[one] for one in sorted(chosen)))
