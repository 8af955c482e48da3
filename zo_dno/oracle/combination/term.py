"""The terms of a combination, and how configs and callers spell them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from zo_dno.errors import InputError, unknown_name
from zo_dno.failures import one_line
from zo_dno.reward import Reward
from zo_dno.storage.plain_json import parse_json

_KEYS = ("reward", "options", "policy", "weight", "label")
_RENAMED = {"asking": "policy"}  # keys of older configs
_EXAMPLE = '{"jpeg_smaller": 1, "prompt_match": 2}'


@dataclass(frozen=True, slots=True)
class Term:
    """One of the rewards of a combination.

    Attributes:
        name: Name in the combination and in the ledger.
        given: Reward as it was given: an object, a function, or a name; the name once the reward is made.
        weight: Weight of the value; 0 for a term that only a threshold needs.
        options: Options of the reward.
        policy: Changes to the reward's call policy.
        made: The reward itself; None before its name is looked up.
    """

    name: str
    given: Any
    weight: float = 1.0
    options: Mapping[str, Any] = field(default_factory=dict)
    policy: Mapping[str, Any] = field(default_factory=dict)
    made: Reward | None = None

    @property
    def reward(self) -> Reward:
        """The reward itself.

        Raises:
            InputError: Its name has not been looked up.
        """
        if self.made is None:
            raise InputError(
                f"term {self.name!r} must be made before it is scored; got its name only. Pass the combination to "
                "zo_dno.optimize, or through zo_dno.make_reward."
            )
        return self.made

    @property
    def under_its_name(self) -> Any:
        """Spelling of the term as the value of its name: the weight alone, or a mapping of details."""
        details = self._details | ({} if self.given == self.name else {"reward": self.given})
        return details | {"weight": self.weight} if details else self.weight

    @property
    def alone(self) -> Any:
        """Spelling of the term in a list, without its weight: the reward's name alone, or a mapping of details."""
        details = self._details | ({} if label_of(self.given) == self.name else {"label": self.name})
        return details | {"reward": self.given} if details else self.given

    @property
    def _details(self) -> dict[str, Any]:
        return {key: dict(value) for key, value in (("options", self.options), ("policy", self.policy)) if value}


def terms_of(given: Any) -> tuple[Term, ...]:
    """Parse the option `parts`: name -> weight or details, or a list of rewards and details; text is JSON.

    The details are `reward`, `options`, `policy`, `weight` and, in a list, `label`, the term's name.

    Raises:
        InputError: An entry does not fit, or two terms have the same name.
    """
    given = structured("parts", given)
    if isinstance(given, Mapping):
        terms = [_term(_details(value), str(name)) for name, value in given.items()]
    elif isinstance(given, Sequence) and not isinstance(given, str):
        terms = [value if isinstance(value, Term) else _term(_details(value)) for value in given]
    else:
        raise InputError(f"parts must be a mapping or a list of rewards; got {given!r}. Such as {_EXAMPLE}.")
    for name, count in Counter(term.name for term in terms).items():
        if count > 1:
            raise InputError(f"parts must have distinct names; got {name!r} {count} times. Give each one a label.")
    return tuple(terms)


def structured(option: str, value: Any) -> Any:
    """Parse a list or a mapping from the command line's text; other values are returned as they are.

    Raises:
        InputError: The text is not JSON, or is nested too deeply.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return parse_json(value)
    except ValueError as error:
        shown = one_line(value, 200)
        raise InputError(f"{option} must be JSON; got {shown!r}: {error}. Put quotes around every name.") from error


def _details(value: Any) -> dict[str, Any]:
    if isinstance(value, Mapping):
        return dict(value)
    if value is None:
        return {}
    return {"weight": value} if isinstance(value, Real) else {"reward": structured("reward", value)}


def _term(details: dict[str, Any], name: str | None = None) -> Term:
    if isinstance(details.get("reward"), Mapping):  # JSON text with details
        details = dict(details["reward"])
    details = {_RENAMED.get(key, key): value for key, value in details.items()}
    for key in details:
        if key not in _KEYS:
            raise unknown_name("term key", str(key), _KEYS)
    given = details.get("reward", name)
    if given is None:
        raise InputError(f"term must name its reward; got {details}. Such as {{'reward': 'jpeg_smaller'}}.")
    name = str(name or details.get("label") or label_of(given))
    for key in ("options", "policy"):
        own = details.get(key) or {}
        if not isinstance(own, Mapping) or not all(isinstance(option, str) for option in own):
            raise InputError(f"{key} of term {name!r} must be a mapping of names to values; got {own!r}.")
    weight = details.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, Real) or not math.isfinite(weight):
        raise InputError(f"weight of term {name!r} must be a finite number; got {weight!r}.")
    return Term(name, given, float(weight), details.get("options") or {}, details.get("policy") or {})


def label_of(given: Any) -> str:
    """Return the name of a reward, also of a function or an object."""
    if isinstance(given, str):
        return given.rpartition(":")[2]
    return str(getattr(given, "name", None) or getattr(given, "__name__", type(given).__name__))
