"""The model of everything that is known, fitted: of rewards or choices, and of what is required."""

from collections.abc import Sequence

from torch import Tensor, tensor

from zo_dno.surrogate.acquisition import Acquisition
from zo_dno.surrogate.across import Earlier, ProcessAcrossPrompts, likelier
from zo_dno.surrogate.known import Known
from zo_dno.surrogate.preference import PreferenceProcess
from zo_dno.surrogate.process import GaussianProcess
from zo_dno.types import Choice

Process = GaussianProcess | PreferenceProcess
_OWN = 128  # scores of a run's own beyond which it needs no earlier ones


def fitted(
    known: Known,
    choices: Sequence[Sequence[Sequence[int]]],
    earlier: Earlier | None,
    sizes: Sequence[int],
    optimism: float,
) -> Acquisition:
    """Fit a process to what is known of the reward, and one to each requirement.

    Args:
        known: Scored images.
        choices: Lists of ids of each choice (`Choice.lists`); where there are any, the process is of the utility behind
            them.
        earlier: Images of earlier prompts.
        sizes: Number of features of each family.
        optimism: Standard deviations added to a mean.
    """
    process = _of_choices(known, choices, sizes) if choices else _of_rewards(known, earlier, sizes)
    return Acquisition(process, optimism, requirements_of(known, sizes))


def requirements_of(known: Known, sizes: Sequence[int]) -> list[GaussianProcess]:
    """Fit a process to the margins of every threshold that tell something."""
    found = [_requirement(known, column, sizes) for column in known.margins.T]
    return [one for one in found if one is not None]


def without_outliers(rewards: Tensor) -> Tensor:
    """Raise rewards (n,) far below the others, such as those of broken images or missed thresholds, to a fence.

    The fence is three interquartile ranges below the first quartile (Tukey 1977): the process is told that they are
    bad, and does not bend for how bad.
    """
    low, high = rewards.quantile(tensor([0.25, 0.75]))
    return rewards.clamp_min(float(low - 3 * (high - low))) if float(high) > float(low) else rewards


def _of_rewards(known: Known, earlier: Earlier | None, sizes: Sequence[int]) -> GaussianProcess:
    rewards = without_outliers(known.rewards)
    own = GaussianProcess(known.features, rewards, sizes=sizes, errors=known.errors)
    if earlier is None or len(known) > _OWN:
        return own
    return likelier(own, ProcessAcrossPrompts(known.features, rewards, earlier, sizes, known.errors))


def _of_choices(known: Known, choices: Sequence[Sequence[Sequence[int]]], sizes: Sequence[int]) -> PreferenceProcess:
    rows = {id_: row for row, id_ in enumerate(known.ids.tolist())}
    renumbered = [Choice.of_lists(lists).renumbered(rows) for lists in choices]
    return PreferenceProcess(known.features, renumbered, sizes=sizes)


def _requirement(known: Known, margins: Tensor, sizes: Sequence[int]) -> GaussianProcess | None:
    """Fit the model of one threshold's margins (n,); None where they tell nothing."""
    there = ~margins.isnan()
    if len(margins[there].unique()) < 2:
        return None
    return GaussianProcess(known.features[there], without_outliers(margins[there]), sizes=sizes)
