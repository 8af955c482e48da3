"""What the rewards of a run changed in their requests since a server refused it."""

from collections.abc import Iterator

from zo_dno.oracle.combination.reward import Combination
from zo_dno.reward import Adaptation, Adapts, Reward


def adaptations_of(*rewards: Reward) -> tuple[Adaptation, ...]:
    """Return what was changed so far in the requests of rewards, and of the terms of combinations."""
    return tuple(change for one in _adapting(rewards) for change in one.adaptations)


def may_turn_noisy(reward: Reward) -> bool:
    """Whether a reward that is declared exact may vary once a server refuses fields of its requests."""
    return isinstance(reward, Adapts) and reward.may_turn_noisy


def turned_noisy(reward: Reward) -> bool:
    """Whether it has."""
    return isinstance(reward, Adapts) and reward.turned_noisy


def _adapting(rewards: tuple[Reward, ...]) -> Iterator[Adapts]:
    for reward in rewards:
        terms = [term.reward for term in reward.terms] if isinstance(reward, Combination) else [reward]
        yield from (one for one in terms if isinstance(one, Adapts))
