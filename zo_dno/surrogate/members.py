"""The choice of the best set of candidates of which every two are far enough apart."""

from collections.abc import Sequence

import numpy as np


def best_set(
    rewards: np.ndarray, distances: np.ndarray, size: int, least: float, known: Sequence[int] | None = None
) -> list[int]:
    """Choose candidates, as many as fit up to `size`, and of such sets one with a high mean reward, best first.

    The set is built greedily, best first. Then every member in turn is left out, and the set is filled again without
    it, as long as that gives more members or a higher sum. The problem is that of a heaviest independent set, so that
    the result need not be the best one.

    With a known set, a second one is built of the candidates that have the fewest others near, and a third from the
    known set. All three are improved, and the best is taken, so that it is never worse than what was known.

    Args:
        rewards: Rewards, (n,).
        distances: Distances of all pairs, (n, n).
        size: Number of members.
        least: Least distance of two members.
        known: Set that was chosen among fewer candidates; it may be empty. None builds the first set alone.
    """
    order, near = np.argsort(-rewards, kind="stable"), distances < least
    starts = [_filled([], order, near, size)]
    if known is not None:
        starts += [_uncrowded(rewards, near, size), _filled(known, order, near, size)]
    improved = [_improved(one, rewards, order, near, size) for one in starts]
    chosen = max(improved, key=lambda one: _worth(one, rewards))
    return sorted(chosen, key=lambda one: (-rewards[one], one))


def _improved(
    chosen: Sequence[int], rewards: np.ndarray, order: np.ndarray, near: np.ndarray, size: int
) -> Sequence[int]:
    """Leave members out and fill the set again, as long as that makes it better."""
    better = True
    while better:
        better = False
        for out in chosen:
            other = _filled([one for one in chosen if one != out], [one for one in order if one != out], near, size)
            if _worth(other, rewards) > _worth(chosen, rewards):
                chosen, better = other, True
                break
    return chosen


def _uncrowded(rewards: np.ndarray, near: np.ndarray, size: int) -> list[int]:
    """Choose in turn the candidate that excludes the fewest of those that are left, of several the best."""
    near = near & ~np.eye(len(near), dtype=bool)
    chosen: list[int] = []
    left = np.ones(len(near), bool)
    while left.any() and len(chosen) < size:
        excluded = np.where(left, (near & left).sum(1), len(near) + 1)
        one = int(np.lexsort((-rewards, excluded))[0])
        chosen.append(one)
        left &= ~near[one]
        left[one] = False
    return chosen


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
