"""From the probabilities of a model's first token to an expected score or the probability of yes.

The mean of the scores that a model might give, weighted by their probabilities, says more than the one that it gives
(Liu et al. 2023, arXiv:2303.16634; Wang et al. 2025, arXiv:2503.03064).
"""

import re
from collections.abc import Mapping, Sequence

from zo_dno.judges.parsing import UnreadableError

_LEAST = 0.5  # of the probability that must be on answers that can be read
_DECORATION = " \t\r\n\"'`*_#:([{"

Token = Mapping[str, float]
"""What a model might have written in one place: text -> probability."""


def expected_score(tokens: Sequence[Token], text: str, lowest: int, highest: int) -> tuple[float, dict[str, float]]:
    """Average the scores that an answer might have begun with.

    Args:
        tokens: of the answer, in order.
        text: of the answer.
        lowest: score, at least 0.
        highest: score, at most 9, so that every score is one token to every model.
    Returns:
        the mean, and the probabilities of the scores.

    Raises:
        UnreadableError: the answer does not begin with such a score.
    """
    begins = re.match(r"[^\w+-]*([0-9])(?![0-9]|[.,][0-9])", text)
    if begins is None:
        raise UnreadableError("no score", f"the answer must begin with one digit; got {text.strip()[:40]!r}")
    odds = _among(tokens, [str(score) for score in range(lowest, highest + 1)])
    mean = sum(int(score) * share for score, share in odds.items())
    return min(max(mean, lowest), highest), odds  # rounding could carry it outside


def probability_of_yes(tokens: Sequence[Token]) -> tuple[float, dict[str, float]]:
    """Return the probability of Yes against No, and both.

    Raises:
        UnreadableError: the answer does not begin with either.
    """
    odds = _among(tokens, ["yes", "no"])
    return odds["yes"], odds


def _among(tokens: Sequence[Token], answers: Sequence[str]) -> dict[str, float]:
    """Share the probability of an answer's first token among some answers."""
    first = next((token for token in tokens if max(token, key=lambda text: token[text]).strip(_DECORATION)), {})
    odds = dict.fromkeys(answers, 0.0)
    for text, probability in first.items():
        answer = text.strip(_DECORATION).rstrip(".,!").casefold()
        if answer in odds:
            odds[answer] += probability
    total = sum(odds.values())
    if total < _LEAST:
        named = f"{answers[0]} to {answers[-1]}" if len(answers) > 2 else " or ".join(answers)
        message = f"the model gives {total:.0%} of the probability to {named}, where at least {_LEAST:.0%} is needed"
        raise UnreadableError("no score", message)
    return {answer: share / total for answer, share in odds.items()}
