"""Scores from choices among images, by a Plackett-Luce model with anchors.

People, and vision-language models, choose among images more reliably than they give numbers. A choice of i
from a set S has the probability exp(s_i) / sum over j in S of exp(s_j), and a ranking is a sequence of such choices
(Plackett 1975, J. R. Stat. Soc. C 24(2); Luce 1959, Individual Choice Behavior). For two images this is the model of
Bradley and Terry (1952, Biometrika 39). Where several images are liked, all of them come before the others, in any
order: the likelihood is the sum over these orders (zo_dno.surrogate.chosen_sets).
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from zo_dno.surrogate.chosen_sets import chosen_together
from zo_dno.types import Order

if TYPE_CHECKING:
    from numpy.typing import NDArray

SPREAD = 1.5  # prior standard deviation of strengths in a population, in log-odds: 82 % for one spread above another
OF_A_RUN = 2.0  # the same in a run, whose images differ more than those of a population
_LEVEL = 10.0  # prior standard deviation of a population's mean: nearly uninformative
_TOLERANCE = 1e-9
_STEPS = 100


@dataclass(frozen=True, slots=True)
class Strength:
    """The fitted strength of an image.

    Attributes:
        value: Log-odds against an image of strength 0.
        error: Standard error of the value.
    """

    value: float
    error: float


def strengths(
    orders: Iterable[Order], images: Sequence[str], fixed: Mapping[str, float] | None = None, *, spread: float = SPREAD
) -> dict[str, Strength]:
    """Fit the strengths of images that were never scored, by maximum a posteriori.

    The prior pulls the strengths towards their common mean, which is free, so only choices that include anchors place
    the images above or below earlier ones. Without any anchor the mean is 0.

    Args:
        orders: Choices among `images` and anchors.
        images: Names of the images to score.
        fixed: Fixed strengths of the anchors, which are images that were scored before.
        spread: Prior standard deviation around the common mean.
    Returns:
        Strengths by image; images that were in no choice are left out. Of images that were shown together and all
        liked, or none of them, nothing is known but the prior.
    """
    fixed = dict(fixed or {})
    orders = list(orders)
    choices = [choice for order in orders for choice in _choices(order)]
    seen = {name for _, rivals in choices for name in rivals}
    seen.update(name for order in orders if order.level for name in order.shown)  # of which none or all may be liked
    free = [name for name in images if name in seen and name not in fixed]
    place = {name: row for row, name in enumerate(free)}
    values, precision = _posterior_mode(
        [
            (
                np.array([place.get(name, -1) for name in rivals]),
                np.array([fixed.get(name, 0.0) for name in rivals]),
                np.array([name in chosen for name in rivals]),
            )
            for chosen, rivals in choices
        ],
        len(free),
        spread,
    )
    errors = np.sqrt(np.diag(np.linalg.inv(precision))) if free else np.zeros(0)
    return {name: Strength(float(values[row]), float(errors[row])) for name, row in place.items()}


def overall(orders: Iterable[Order], first: str) -> dict[str, Strength]:
    """Fit the strengths of all images in choices of a run, with one prior; the first image of the run has 0."""
    orders = list(orders)
    names = list(dict.fromkeys(name for order in orders for name in order.shown))
    fixed = {first: 0.0} if first in names else {}
    found = strengths(orders, [name for name in names if name not in fixed], fixed, spread=OF_A_RUN)
    return found | {name: Strength(0.0, 0.0) for name in fixed}


def placed(orders: Iterable[Order], images: Sequence[str], known: Mapping[str, float]) -> dict[str, Strength]:
    """Fit the strengths of a population relative to the images that were scored before; the first image has strength 0.

    Args:
        orders: Choices among `images` and known images.
        images: Names of the population's images.
        known: Strengths of images that were scored before; those of this population, from before a crash, are refitted.
    """
    before = {name: strength for name, strength in known.items() if name not in images}
    if before:
        return strengths(orders, images, before)
    return {images[0]: Strength(0.0, 0.0)} | strengths(orders, images, {images[0]: 0.0})


def groups(images: Sequence[str], size: int, rounds: int, rng: np.random.Generator) -> list[tuple[str, ...]]:
    """Plan which images are shown together: each image once a round; two rounds connect all images.

    The second of two rounds is the first one shifted by half a group, so that neighbouring groups share images.
    """
    size = min(size, len(images))
    if size < 2:
        return []
    planned: list[tuple[str, ...]] = []
    ring: list[str] = []
    for number in range(rounds):
        if number % 2 == 0:
            ring = [images[int(row)] for row in rng.permutation(len(images))]
        else:
            ring = ring[size // 2 :] + ring[: size // 2]
        for start in range(0, len(ring), size):
            group = ring[start : start + size]
            missing = size - len(group)  # the last group is filled up from the beginning of the ring
            planned.append(tuple(group + ring[:missing]))
    return planned


def spread_out(scores: Mapping[str, float], n: int, avoid: Iterable[str] = ()) -> list[str]:
    """Choose n images as anchors that span the scores: the best one, then evenly down to the median."""
    avoided = set(avoid)
    ranked = sorted((name for name in scores if name not in avoided), key=lambda name: -scores[name])
    return [ranked[len(ranked) * row // (2 * n)] for row in range(min(n, (len(ranked) + 1) // 2))] if n else []


def agreement(orders: Iterable[tuple[str, Order]]) -> tuple[int, int]:
    """Count on how many pairs of images several raters agree: (pairs that agree, pairs that several raters judged)."""
    choices: dict[frozenset[str], dict[str, str]] = {}
    for rater, order in orders:
        for chosen, rivals in _choices(order):
            for best, other in product(chosen, rivals):
                if other not in chosen:
                    choices.setdefault(frozenset((best, other)), {})[rater] = best
    several = [list(by_rater.values()) for by_rater in choices.values() if len(by_rater) > 1]
    return sum(len(set(bests)) == 1 for bests in several), len(several)


def _choices(order: Order) -> list[tuple[tuple[str, ...], list[str]]]:
    """Split an order into choices: (what was chosen, the images that it was chosen from)."""
    left = list(dict.fromkeys(order.shown))
    if order.level:
        return [(order.ranked, left)] if 0 < len(order.ranked) < len(left) else []
    found: list[tuple[tuple[str, ...], list[str]]] = []
    for best in order.ranked:
        if len(left) > 1:
            found.append(((best,), list(left)))
        left.remove(best)
    return found


def _of_one(
    strength: "NDArray[np.float64]", chosen: "NDArray[np.bool_]"
) -> "tuple[float, NDArray[np.float64], NDArray[np.float64]]":
    """Return the log-likelihood of the choice of one image, its gradient, and its negative curvature."""
    weights = np.exp(strength - strength.max())
    log_p = float(strength[chosen][0] - strength.max() - np.log(weights.sum()))
    weights /= weights.sum()
    return log_p, chosen - weights, np.diag(weights) - np.outer(weights, weights)


def _of_set(
    strength: "NDArray[np.float64]", chosen: "NDArray[np.bool_]"
) -> "tuple[float, NDArray[np.float64], NDArray[np.float64]]":
    """Return the same of several images that were chosen together."""
    log_p, pull, curve = chosen_together(strength[None], chosen[None], np.ones((1, len(chosen)), dtype=bool))
    return float(log_p[0]), pull[0], curve[0]


def _posterior_mode(
    choices: "Collection[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.bool_]]]", n: int, spread: float
) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Find the mode by Newton's method; halved steps make it converge, since the log posterior is concave.

    Returns:
        Mode, (n,), and minus the second derivative at it, (n, n).
    """
    # the common mean m ~ N(0, level^2) is integrated out: covariance spread^2 I + level^2 11'
    prior = np.linalg.inv(spread**2 * np.eye(n) + _LEVEL**2 * np.ones((n, n))) if n else np.zeros((0, 0))
    values = np.zeros(n)

    def posterior(at: "NDArray[np.float64]") -> "tuple[float, NDArray[np.float64], NDArray[np.float64]]":
        height, slope = -at @ prior @ at / 2, -prior @ at
        bend: NDArray[np.float64] = prior.astype(np.float64)
        for rows, known, chosen in choices:
            is_free = rows >= 0
            strength = np.where(is_free, at[rows] if n else 0.0, known)
            log_p, pull, curve = _of_set(strength, chosen) if chosen.sum() > 1 else _of_one(strength, chosen)
            height += log_p
            np.add.at(slope, rows[is_free], pull[is_free])
            bend[np.ix_(rows[is_free], rows[is_free])] += curve[np.ix_(is_free, is_free)]
        return float(height), slope, bend.astype(np.float64)

    height, slope, bend = posterior(values)
    for _ in range(_STEPS):
        step, size = np.linalg.solve(bend, slope) if n else slope, 1.0
        while (trial := posterior(values + size * step))[0] < height and size > _TOLERANCE:
            size /= 2
        values = values + size * step
        height, slope, bend = trial
        if np.abs(size * step).max(initial=0.0) < _TOLERANCE:
            break
    return values, bend
