"""Expected scores, and the probability of yes, from the probabilities of a model's first token.

The mean of the scores that a model might give, weighted by their probabilities, says more than the one that it gives
(Liu et al. 2023, arXiv:2303.16634; Wang et al. 2025, arXiv:2503.03064).
"""

import re
from collections.abc import Mapping, Sequence

from zo_dno.judges.parsing import UnreadableError
from zo_dno.judges.reasoning import plain, without_reasoning

_LEAST = 0.5  # least probability of the readable tokens together
_DECORATION = " \t\r\n\"'`*_#:([{"
_LONGEST_TAIL = 40  # characters of decoration before an answer
_SPECIAL = re.compile(r"<\|?/?[a-z_]{1,40}\|?>", re.IGNORECASE)  # tokens that are in no text
_LETTERS = re.compile(r"[^\w]+")

Token = Mapping[str, float]
"""The likely tokens at one position: text -> probability."""


def of_answer(tokens: Sequence[Token], written: Sequence[str], text: str) -> tuple[Sequence[Token], str]:
    """Return the tokens of the answer, and its text: those of reasoning before it are left out.

    Args:
        tokens: Likely tokens at each position.
        written: Token that the model wrote at each position.
        text: Text of the response, with or without its reasoning.
    Raises:
        UnreadableError: The tokens are not those of the text, so that their probabilities are of something else.
    """
    answer, end = without_reasoning(text)
    if end < len(answer):
        raise UnreadableError("cut off", "the response was cut off while the model was thinking. Raise max_answer")
    written = [_SPECIAL.sub("", token) for token in written]
    wanted, spelled = _LETTERS.sub("", answer), _LETTERS.sub("", "".join(written))
    if spelled and wanted.startswith(spelled):
        return tokens, answer
    tail = ""
    for place in range(len(written) - 1, -1, -1):
        tail = written[place] + tail
        if _LETTERS.sub("", tail) == wanted and wanted:
            return tokens[place:], answer
        if len(tail) > len(answer) + _LONGEST_TAIL:
            break
    raise UnreadableError("odd probabilities", f"the tokens with probabilities are not those of {answer[:40]!r}")


def expected_score(tokens: Sequence[Token], text: str, lowest: int, highest: int) -> tuple[float, dict[str, float]]:
    """Average the scores that a response may begin with, weighted by their probabilities.

    Args:
        tokens: Likely tokens at each position of the response.
        text: Text of the response.
        lowest: Lowest score, at least 0.
        highest: Highest score, at most 9, so that every score is one token to every model.
    Returns:
        The mean, and the probabilities of the scores.

    Raises:
        UnreadableError: The response does not begin with such a score.
    """
    begins = re.match(r"[^\w+-]*([0-9])(?![0-9]|[.,][0-9])", plain(text))
    if begins is None:
        raise UnreadableError("no score", f"the response must begin with one digit; got {text.strip()[:40]!r}")
    odds = _among(tokens, [str(score) for score in range(lowest, highest + 1)])
    mean = sum(int(score) * share for score, share in odds.items())
    return min(max(mean, lowest), highest), odds  # rounding could carry it outside


def probability_of_yes(tokens: Sequence[Token]) -> tuple[float, dict[str, float]]:
    """Return the probability of Yes against No, and the probabilities of both.

    Raises:
        UnreadableError: The response begins with neither.
    """
    odds = _among(tokens, ["yes", "no"])
    return odds["yes"], odds


def _among(tokens: Sequence[Token], options: Sequence[str]) -> dict[str, float]:
    """Normalise the probabilities of some options for a response's first token."""
    first = next((token for token in tokens if max(token, key=lambda text: token[text]).strip(_DECORATION)), {})
    odds = dict.fromkeys(options, 0.0)
    for text, probability in first.items():
        option = plain(text).strip(_DECORATION).rstrip(".,!").casefold()
        if option in odds:
            odds[option] += probability
    total = sum(odds.values())
    if total < _LEAST:
        named = f"{options[0]} to {options[-1]}" if len(options) > 2 else " or ".join(options)
        message = f"the model gives {total:.0%} of the probability to {named}, where at least {_LEAST:.0%} is needed"
        raise UnreadableError("no score", message)
    return {option: share / total for option, share in odds.items()}
