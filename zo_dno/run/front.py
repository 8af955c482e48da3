"""The front that a run found, and the reference point of its hypervolume."""

from collections.abc import Iterable, Mapping

from zo_dno.oracle.combination.oracle import CombinedOracle
from zo_dno.oracle.combination.scales import Scale
from zo_dno.results.front import Front
from zo_dno.rewards.front import Front as FrontReward
from zo_dno.run.open_run import OpenRun
from zo_dno.search.archive import Archive
from zo_dno.storage.ledger import WARM_UP, QueryRow

BELOW = 2.0  # standard deviations below the mean where no draws are scored for a reference point


def set_reference(run: OpenRun) -> None:
    """Let the search know the reference point, once the warm-up is scored."""
    reward, oracle = run.spec.reward, run.oracle
    if isinstance(reward, FrontReward) and isinstance(oracle, CombinedOracle):
        oracle.reference, _ = reference_of(reward, run.ledger.queries(WARM_UP), oracle.scales)


def front_of(run: OpenRun, archive: Archive) -> Front | None:
    """Return the front that an archive kept; None where the run has a single reward."""
    reward = run.spec.reward
    if not isinstance(reward, FrontReward):
        return None
    scales = run.oracle.scales if isinstance(run.oracle, CombinedOracle) else {}
    reference, source = reference_of(reward, run.ledger.queries(WARM_UP), scales)
    units = {term.name: term.reward.unit for term in reward.terms}
    names = reward.objectives
    return Front.of(archive.front, names, [units[name] for name in names], [reference[name] for name in names], source)


def reference_of(
    reward: FrontReward, warm_up: Iterable[QueryRow], scales: Mapping[str, Scale]
) -> tuple[dict[str, float], str]:
    """Return the reference point of a run, a value for each reward, and where it comes from.

    Args:
        reward: Reward of the run.
        warm_up: Rows of the warm-up.
        scales: Scale of each reward.
    """
    if reward.reference:
        return dict(reward.reference), "given"
    rows = [row.components for row in warm_up if row.components]
    values = {name: [one[name] for one in rows if name in one] for name in reward.objectives}
    if all(values.values()):
        return {name: min(own) for name, own in values.items()}, f"the worst values of {len(rows)} prior draws"
    below = {name: scales[name].mean - BELOW * scales[name].deviation for name in reward.objectives}
    return below, f"{BELOW:g} standard deviations below the given means"
