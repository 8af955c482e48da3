"""Several rewards as one option: their front, or on request their weighted sum."""

from collections import Counter
from collections.abc import Mapping
from typing import Any

from zo_dno.oracle.combination.term import label_of

FRONT, SUM = "front", "weighted_sum"


def as_one(reward: Any, options: Mapping[str, Any] | None, front: bool | None) -> tuple[Any, dict[str, Any]]:
    """Return one reward and its options, in place of a list of rewards.

    Args:
        reward: Reward, or a list of rewards, of which a single one counts as itself.
        options: Options of the reward. With several, `NAME.OPTION` is an option of the reward of that name; the others
            are those of the front.
        front: Whether the front of several is searched; False takes their weighted sum, None decides by their number.
    Raises:
        ValueError: A front has one reward, or a reward is there twice.
    """
    given, own = dict(options or {}), list(reward) if isinstance(reward, list | tuple) else [reward]
    if not own:
        raise ValueError("reward must name at least one reward; got none. Give --reward, such as --reward jpeg_smaller")
    if len(own) == 1:
        if front and own[0] != FRONT:
            shown = label_of(own[0])
            raise ValueError(f"front must come with several rewards; got {shown} alone. Give --reward again.")
        if front is False and own[0] == FRONT:
            raise ValueError("front must be true, or left out, with the reward front; got false.")
        return own[0], given
    for name, count in Counter(one for one in own if isinstance(one, str)).items():
        if count > 1:
            raise ValueError(
                f"reward must name every reward once; got {name} {count} times. Two with different options have a "
                "label each (docs/fronts.md)."
            )
    if "parts" in given:
        raise ValueError("parts must be left out where several rewards are given; got both. Take --reward front.")
    parts = [_with_options(one, given) for one in own]
    return (SUM if front is False else FRONT), {"parts": parts, **given}


def _with_options(reward: Any, options: dict[str, Any]) -> Any:
    """Take the options of one of the rewards out of those of all."""
    if not isinstance(reward, str):
        return reward
    prefix = f"{reward}."
    own = {key.removeprefix(prefix): options.pop(key) for key in list(options) if key.startswith(prefix)}
    return {"reward": reward, "options": own} if own else reward
