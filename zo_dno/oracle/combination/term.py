"""One of the rewards that a combination asks, from what a config or a caller says of it."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Real
from typing import Any

from zo_dno.errors import InputError, unknown_name
from zo_dno.reward import Reward

_KEYS = ("reward", "options", "policy", "weight", "label")
_RENAMED = {"asking": "policy"}  # keys of older configs
_EXAMPLE = '{"jpeg_smaller": 1, "prompt_match": 2}'


@dataclass(frozen=True, slots=True)
class Term:
    """One of the rewards that a combination asks.

    Attributes:
        name: what the combination and the ledger call it.
        given: the reward as it was named or handed over; its name once it is made.
        weight: of its value; 0 where it is asked for a threshold alone.
        options: it is made with.
        policy: changes to the terms it is asked on.
        made: the reward itself, once the table of names was read.
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
            InputError: nobody has looked its name up.
        """
        if self.made is None:
            raise InputError(
                f"part {self.name!r} must be made before it is asked; got its name only. Hand the combination to "
                "zo_dno.optimize, or through zo_dno.run.build.make_reward."
            )
        return self.made

    @property
    def under_its_name(self) -> Any:
        """What makes it again, written beside its name: the weight, where that is all there is to say."""
        said = self._details | ({} if self.given == self.name else {"reward": self.given})
        return said | {"weight": self.weight} if said else self.weight

    @property
    def alone(self) -> Any:
        """What makes it again, without its weight: the name of the reward, where that is all there is to say."""
        said = self._details | ({} if _label(self.given) == self.name else {"label": self.name})
        return said | {"reward": self.given} if said else self.given

    @property
    def _details(self) -> dict[str, Any]:
        return {key: dict(said) for key, said in (("options", self.options), ("policy", self.policy)) if said}


def terms_of(given: Any) -> tuple[Term, ...]:
    """Read parts: name -> weight or details, or a list of rewards and details; text is JSON.

    A detail is one of `reward`, `options`, `asking`, `weight` and, in a list, `label`, the part's name.

    Raises:
        InputError: something cannot be understood, or two parts have one name.
    """
    given = structured("parts", given)
    if isinstance(given, Mapping):
        parts = [_term(_details(said), str(name)) for name, said in given.items()]
    elif isinstance(given, Sequence) and not isinstance(given, str):
        parts = [said if isinstance(said, Term) else _term(_details(said)) for said in given]
    else:
        raise InputError(f"parts must be a mapping or a list of rewards; got {given!r}. Such as {_EXAMPLE}.")
    for name, count in Counter(term.name for term in parts).items():
        if count > 1:
            raise InputError(f"parts must have names of their own; got {name!r} {count} times. Give each a label.")
    return tuple(parts)


def structured(option: str, value: Any) -> Any:
    """Read text that stands for a list or a mapping, as the command line hands it over.

    Raises:
        InputError: it is not JSON.
    """
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[")):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise InputError(f"{option} must be JSON; got {value!r}: {error}. Put quotes around every name.") from error


def _details(said: Any) -> dict[str, Any]:
    if isinstance(said, Mapping):
        return dict(said)
    if said is None:
        return {}
    return {"weight": said} if isinstance(said, Real) else {"reward": structured("reward", said)}


def _term(details: dict[str, Any], name: str | None = None) -> Term:
    if isinstance(details.get("reward"), Mapping):  # text that held details
        details = dict(details["reward"])
    details = {_RENAMED.get(key, key): value for key, value in details.items()}
    for key in details:
        if key not in _KEYS:
            raise unknown_name("part key", str(key), _KEYS)
    given = details.get("reward", name)
    if given is None:
        raise InputError(f"part must name its reward; got {details}. Such as {{'reward': 'jpeg_smaller'}}.")
    name = str(name or details.get("label") or _label(given))
    for key in ("options", "policy"):
        if not isinstance(details.get(key) or {}, Mapping):
            raise InputError(f"{key} of part {name!r} must be a mapping; got {details[key]!r}.")
    weight = details.get("weight", 1.0)
    if isinstance(weight, bool) or not isinstance(weight, Real) or not math.isfinite(weight):
        raise InputError(f"weight of part {name!r} must be a finite number; got {weight!r}.")
    return Term(name, given, float(weight), details.get("options") or {}, details.get("policy") or {})


def _label(given: Any) -> str:
    if isinstance(given, str):
        return given.rpartition(":")[2]
    return str(getattr(given, "name", None) or getattr(given, "__name__", type(given).__name__))
