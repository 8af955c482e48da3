"""The oracles of a session, which remember the scores of earlier sessions."""

import math
from typing import TYPE_CHECKING

from zo_dno.distributed.reward_actors import Pools, Takes
from zo_dno.oracle.cache import Cache
from zo_dno.oracle.combination.oracle import CombinedOracle, TermOracle
from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.oracle import Oracle
from zo_dno.reward import Reward
from zo_dno.storage.ledger import HELD_OUT, Ledger

if TYPE_CHECKING:
    from zo_dno.run.spec import RunSpec


class Oracles:
    """Makes oracles that share a purse, a cache and the scores in a ledger.

    Args:
        spec: Specification of the run.
        ledger: Ledger with the scores of earlier sessions.
        cache: Cache of scores that runs share.
        pools: Actor pools of the rewards.
    """

    def __init__(self, spec: "RunSpec", ledger: Ledger, cache: Cache, pools: Pools) -> None:
        self._spec, self._ledger, self._cache, self._pools = spec, ledger, cache, pools

    def main(self) -> Oracle | CombinedOracle:
        """Make the oracle of the reward that is optimised."""
        reward, rows = self._spec.reward, self._ledger.all_queries()
        if isinstance(reward, Combination):
            pools = sum(not term.reward.is_async for term in reward.terms)
            workers = self._spec.options.workers
            terms = [  # an async reward only waits, and needs no processor of its own
                TermOracle(term, self._oracle(term.reward, term.name, 0 if term.reward.is_async else workers, pools))
                for term in reward.terms
            ]
            combined = CombinedOracle(reward, terms, self._spec.purse)
            combined.recall(rows)
            return combined
        oracle = self._oracle(reward, reward.name, self._spec.options.workers)
        oracle.recall(row for row in rows if row.oracle == reward.name and row.stage != HELD_OUT and not row.of_term)
        return oracle

    def held_out(self, reward: Reward) -> Oracle:
        """Make the oracle of a held-out reward, whose failures do not pause the run unless its server asks for that."""
        policies, options = reward.policy.changed(breaker=0), self._spec.options
        oracle = Oracle(reward, policies, purse=self._spec.purse, cache=self._cache, seed=options.seed)
        oracle.recall(row for row in self._ledger.queries(HELD_OUT) if row.oracle == reward.name)
        return oracle

    def _oracle(self, reward: Reward, name: str, workers: int, pools: int = 1) -> Oracle:
        """Make one oracle; `pools` is the number of actor pools that share the workers' CPUs in turn."""
        policies, pool, options = self._spec.policies[name], None, self._spec.options
        if workers:
            pool = self._pools.get(
                reward,
                workers,
                takes=Takes(options.worker_cpus / pools, options.worker_gpus / pools, options.worker_resources),
                concurrency=math.ceil(policies.in_flight / workers) if reward.is_async else 1,
                address=options.ray,
                runtime_env=options.ray_env,
            )
            policies = policies.changed(in_flight=max(policies.in_flight, workers))
        return Oracle(reward, policies, purse=self._spec.purse, cache=self._cache, remote=pool, seed=options.seed)
