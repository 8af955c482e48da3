"""The `front` reward: several rewards that are not made one, and the reference point of their hypervolume."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zo_dno.errors import InputError, given, unknown_name
from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.combination.term import Term, structured
from zo_dno.reward import Reward, ScoresByChoices

MOST = 5  # rewards; an exact hypervolume of more takes long
AUGMENTED = 0.05  # weight of the mean beside the lowest reward (Knowles 2006)
_NUMBER = re.compile(r"\s*(?P<number>[-+]?[\d.]+(?:e[-+]?\d+)?)\s*(?P<unit>.*?)\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Front(Combination):
    """Several rewards, searched for the candidates that no other beats in all of them.

    One score says which of them is shown as the best: the lowest of the rewards, in standard deviations above their
    means over prior draws, and a twentieth of their mean beside it. So the best is a compromise on the front.

    Args:
        reference: Reference point of the hypervolume, a value for each reward: in the order of the rewards or by their
            names; with a unit, that of the reward. By default the worst values of the warm-up, or without one two
            standard deviations below the means.
    """

    name = "front"
    standardise = True
    reference: Any = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._set(reference=_by_name(structured("reference", self.reference), self.objectives))

    @property
    def objectives(self) -> tuple[str, ...]:
        return tuple(term.name for term in self.optimised)

    def combine(self, values: Mapping[str, float]) -> float:
        return min(values.values()) + AUGMENTED * math.fsum(values.values()) / len(values)

    def bound(self, make: Callable[[Term], Term]) -> Combination:
        made = super().bound(make)
        rewards = {term.name: term.reward for term in made.optimised}
        for place, (name, reward) in enumerate(rewards.items()):
            same = next((one for one in list(rewards)[:place] if rewards[one].identity == reward.identity), None)
            if same is not None:
                raise InputError(f"rewards of a front must differ; got {same!r} and {name!r}, which score alike.")
            if isinstance(reward, ScoresByChoices) and reward.unit == "log-odds":
                mode = " Take mode=rate, which scores every image by itself." if reward.name == "human" else ""
                raise InputError(
                    f"rewards of a front must score every image by itself; got {name!r}, whose scores come from "
                    f"choices among images and move with later choices.{mode}"
                )
        made._set(reference={name: _checked(name, one, rewards[name]) for name, one in self.reference.items()})
        return made

    def _check(self) -> None:
        names = [term.name for term in self.optimised]
        if not 2 <= len(names) <= MOST:
            got = ", ".join(names) or "none"
            raise InputError(f"a front must have 2 to {MOST} rewards; got {len(names)}: {got}. Give --reward again.")
        super()._check()


def _by_name(reference: Any, names: Sequence[str]) -> dict[str, Any]:
    """Return a value for each reward from a mapping, a list, or text such as "-3,0.2" or "a=-3 kB,b=0.2"."""
    expected = f"reference must have {len(names)} values, one per reward ({', '.join(names)})"
    if isinstance(reference, str):
        entries = [one for one in reference.split(",") if one.strip()]
        pairs = [one.partition("=") for one in entries]
        named = bool(pairs) and all(equals for _, equals, _ in pairs)
        reference = {name.strip(): value for name, _, value in pairs} if named else entries
    if reference is None or (isinstance(reference, Mapping | Sequence) and not reference):
        return {}
    if isinstance(reference, Mapping):
        for name in reference:
            if name not in names:
                raise unknown_name("reference of reward", str(name), names)
        missing = [name for name in names if name not in reference]
        if missing:
            raise InputError(f"{expected}; got none for {', '.join(missing)}.")
        return {name: reference[name] for name in names}
    values = list(reference) if isinstance(reference, Sequence) else [reference]
    if len(values) != len(names):
        raise InputError(f"{expected}; got {len(values)}.")
    return dict(zip(names, values, strict=True))


def _checked(name: str, value: Any, reward: Reward) -> float:
    """Return a value of the reference point as a number in the reward's unit, below its highest score."""
    found = _NUMBER.fullmatch(value) if isinstance(value, str) else None
    text = found["number"] if found else value
    try:
        number = math.nan if isinstance(text, bool) else float(text)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"reference of {name!r} must be a finite number in {reward.unit}; got {given(value)}.")
    if found and found["unit"] not in ("", reward.unit):
        raise InputError(f"reference of {name!r} must be in its unit, {reward.unit}; got {given(value)}.")
    low, high = reward.range
    if not low <= number < high:
        sign = f" Scores of {name} are negative: more is better." if high <= 0 < number else ""
        least = "" if low == -math.inf else f"at least {low:g} and "
        raise InputError(f"reference of {name!r} must be {least}below {high:g} ({reward.unit}); got {number:g}.{sign}")
    return number
