"""The call policies of a run: each reward's own, with the run's changes."""

from collections.abc import Mapping
from typing import Any

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.oracle.combination.reward import Combination
from zo_dno.reward import Reward

_MONEY = ("price", "token_price", "max_tokens")


def policy_for(reward: Reward, changes: Mapping[str, Any]) -> CallPolicy:
    """Return a reward's call policy with a run's changes.

    Raises:
        InputError: A change is unknown or out of range.
    """
    return reward.policy.changed(**changes)


def worst_case(reward: Reward, changes: Mapping[str, Any], *, attempts: int | None = None) -> float:
    """Return the most that one query can cost, with all attempts of all terms, or as many as given."""
    policies = call_policies(reward, changes)
    terms = (
        {term.name: term.reward for term in reward.terms} if isinstance(reward, Combination) else {reward.name: reward}
    )
    return sum(
        policies[name].worst_case(term.batch)
        if attempts is None
        else attempts * policies[name].cost_of_call(term.batch)
        for name, term in terms.items()
    )


def call_policies(reward: Reward, changes: Mapping[str, Any]) -> dict[str, CallPolicy]:
    """Return the call policies of a reward by name: its own, or those of a combination's terms.

    A run's changes apply to the terms with a weight. A term's own changes override them.

    Raises:
        InputError: A change does not fit, or it is a price and several terms have a weight.
    """
    if not isinstance(reward, Combination):
        return {reward.name: policy_for(reward, changes)}
    weighted = [term.name for term in reward.optimised]
    for name in _MONEY:
        if name in changes and len(weighted) > 1:
            example = f"{{{weighted[0]!r}: {{'policy': {{{name!r}: {changes[name]}}}}}}}"
            raise InputError(
                f"{name} must be given to one term; got it for {', '.join(weighted)}. Such as parts={example}."
            )
    return {
        term.name: policy_for(term.reward, {**(changes if term.weight else {}), **term.policy}) for term in reward.terms
    }
