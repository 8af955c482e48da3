"""Making the oracles of a session; each knows what was answered in the sessions before."""

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from zo_dno.distributed.reward_actors import Pools, Takes
from zo_dno.oracle.cache import Cache
from zo_dno.oracle.combination.oracle import CombinedOracle, PartOracle
from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.oracle import Oracle
from zo_dno.reward import Reward
from zo_dno.storage.ledger import HELD_OUT, Ledger

if TYPE_CHECKING:
    from zo_dno.run.spec import Parts


class Oracles:
    """Makes oracles that share a purse, a cache and what a ledger remembers.

    Args:
        parts: of the run.
        ledger: what earlier sessions were answered.
        cache: of answers.
        pools: of actors.
    """

    def __init__(self, parts: "Parts", ledger: Ledger, cache: Cache, pools: Pools) -> None:
        self._parts, self._ledger, self._cache, self._pools = parts, ledger, cache, pools

    def main(self) -> Oracle | CombinedOracle:
        """Make the oracle of what is optimised."""
        reward, rows = self._parts.reward, self._ledger.all_queries()
        if isinstance(reward, Combination):
            pools = sum(not part.reward.is_async for part in reward.members)
            workers = self._parts.options.workers
            asked = [  # what waits takes nothing of a processor, so it can as well wait here
                PartOracle(part, self._oracle(part.reward, part.name, 0 if part.reward.is_async else workers, pools))
                for part in reward.members
            ]
            combined = CombinedOracle(reward, asked, self._parts.purse)
            combined.recall(rows)
            return combined
        oracle = self._oracle(reward, reward.name, self._parts.options.workers)
        oracle.recall(row for row in rows if row.oracle == reward.name and row.stage != HELD_OUT and not row.of_part)
        return oracle

    def held_out(self, reward: Reward) -> Oracle:
        """Make the oracle of a reward that is asked about first and best alone; it never pauses the run."""
        terms, options = replace(reward.asking, breaker=0), self._parts.options
        oracle = Oracle(reward, terms, purse=self._parts.purse, cache=self._cache, seed=options.seed)
        oracle.recall(row for row in self._ledger.queries(HELD_OUT) if row.oracle == reward.name)
        return oracle

    def _oracle(self, reward: Reward, name: str, workers: int, pools: int = 1) -> Oracle:
        """Make one oracle; `pools` that take turns share the workers' CPUs."""
        terms, pool, options = self._parts.terms[name], None, self._parts.options
        if workers:
            pool = self._pools.get(
                reward,
                workers,
                takes=Takes(options.worker_cpus / pools, options.worker_gpus / pools, options.worker_resources),
                slots=math.ceil(terms.in_flight / workers) if reward.is_async else 1,
                address=options.ray,
                runtime_env=options.ray_env,
            )
            terms = replace(terms, in_flight=max(terms.in_flight, workers))
        return Oracle(reward, terms, purse=self._parts.purse, cache=self._cache, elsewhere=pool, seed=options.seed)
