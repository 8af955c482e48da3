"""The people behind a run's scores: what their own answers say of them."""

from collections.abc import Mapping
from typing import Any

from zo_dno.oracle.combination.reward import Combination
from zo_dno.reward import AsksPeople, Reward


def what_raters_said(reward: Reward) -> Mapping[str, Any]:
    """Return what is to be known of the raters of a run; empty where no person rated."""
    people = people_of(reward)
    return {} if people is None else people.about_raters()


def people_of(reward: Reward) -> AsksPeople | None:
    """Find the reward that asks people: the reward itself, or a term of a combination."""
    terms = [term.reward for term in reward.terms] if isinstance(reward, Combination) else [reward]
    return next((one for one in terms if isinstance(one, AsksPeople)), None)
