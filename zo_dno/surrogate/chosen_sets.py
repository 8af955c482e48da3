"""The likelihood of sets that were chosen together, such as all images that a rater likes of those that are shown.

In the model of Plackett and Luce every image i has an exponential clock of rate exp(s_i), and a ranking is the order in
which the clocks ring. The images of a set A come before the others, B, if the last clock of A rings before the first
one of B, whose rate is L, the sum of the rates in B:

    P(A before B) = integral over t of L exp(-L t) product over a in A of (1 - exp(-exp(s_a) t)) dt.

For a set of one this is the softmax. The logarithm is concave in s: the logarithms of the clocks are Gumbel noise less
s, whose density is log-concave, and integrating it over the cone "A before B" keeps that (Prekopa 1973).
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

# log(L t), by the trapezoidal rule, whose error falls exponentially for integrands like this one
_STEP = 0.25
_NODES = np.arange(-40, 5, _STEP)
_FAR = 600.0  # beyond, exp overflows


def chosen_together(
    strengths: "NDArray[np.float64]", chosen: "NDArray[np.bool_]", there: "NDArray[np.bool_]"
) -> "tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]":
    """Return the log-likelihood of each set, its gradient, and its negative curvature.

    Args:
        strengths: Strengths of the images of each task, (n, width).
        chosen: Images that were chosen together, (n, width); at least one, and not all that are there.
        there: Images that were shown, (n, width); the others fill up the rows.
    Returns:
        Log-likelihoods (n,), gradients (n, width), and negative second derivatives (n, width, width).
    """
    rest = there & ~chosen
    among_rest = np.where(rest, strengths, -np.inf)
    level = np.logaddexp.reduce(among_rest, axis=1, keepdims=True)  # log L
    share = np.exp(among_rest - level)
    x = np.exp(np.clip(strengths - level, -_FAR, _FAR)[:, :, None] + _NODES)
    with np.errstate(over="ignore", divide="ignore"):  # at exp(x), which is infinite where its reciprocal is 0
        rang = -np.expm1(-x)
        slope = np.where(chosen[:, :, None], x / np.expm1(x), 0.0)
    bend = slope * (1 - x / rang)
    logs = _NODES - np.exp(_NODES) + np.where(chosen[:, :, None], np.log(rang), 0.0).sum(1)
    total = np.logaddexp.reduce(logs, axis=1, keepdims=True)
    weights = np.exp(logs - total)

    # by the strengths of A relative to log L, and then by all strengths
    pull = np.einsum("nq,naq->na", weights, slope)
    curve = np.einsum("nq,naq,nbq->nab", weights, slope, slope) - pull[:, :, None] * pull[:, None, :]
    places = np.arange(strengths.shape[1])
    curve[:, places, places] += np.einsum("nq,naq->na", weights, bend)
    of_all = pull.sum(1)
    across = curve.sum(2)
    second = curve - across[:, :, None] * share[:, None, :] - share[:, :, None] * across[:, None, :]
    second += (across.sum(1) + of_all)[:, None, None] * share[:, :, None] * share[:, None, :]
    second[:, places, places] -= of_all[:, None] * share
    return total[:, 0] + np.log(_STEP), pull - of_all[:, None] * share, -second
