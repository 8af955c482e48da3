"""One session of a run: its parts put together, the recorded beginning replayed, the rest searched and written down."""

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from zo_dno.distributed.actor_pool import ActorPool
from zo_dno.distributed.generator_actors import GeneratorPool
from zo_dno.distributed.reward_actors import Pools
from zo_dno.errors import RunError
from zo_dno.generators.renderer import LocalRenderer, Renderer
from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.cache import Cache
from zo_dno.oracle.combination.oracle import CombinedOracle, TermOracle
from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.query_queue import Responses
from zo_dno.results.outputs import write_outputs
from zo_dno.results.result import Result
from zo_dno.results.verdict import chosen_by_auto, unmet, why_infeasible, why_no_scales, why_nothing_scored, why_paused
from zo_dno.reward import Reward
from zo_dno.rng import stream_seed
from zo_dno.run.manifest import Manifest
from zo_dno.run.oracles import Oracles
from zo_dno.run.spec import RunSpec
from zo_dno.run.warm_up import measured_scales
from zo_dno.search import best_of_n
from zo_dno.search.archive import Archive, Found
from zo_dno.search.budget import Budget
from zo_dno.search.drift import DriftError
from zo_dno.search.loop import Search
from zo_dno.search.preselection import Preselection
from zo_dno.search.reevaluation import MOST, Reevaluation
from zo_dno.search.replay import adopt, replay
from zo_dno.storage.artifacts import Artifacts
from zo_dno.storage.ledger import BASELINE, HELD_OUT, REPEAT, WARM_UP, Ledger
from zo_dno.storage.rows import query_row
from zo_dno.storage.run_folder import RunFolder
from zo_dno.strategy import Explains, HasPriorDraws, Problem, Strategy
from zo_dno.types import Query, Response, model_of, prompt_of

log = logging.getLogger(__name__)


class _Closes(Protocol):
    def close(self) -> None: ...


Closes = TypeVar("Closes", bound=_Closes)


class Session:
    """Carries a run out, from its beginning or from where its ledger ends.

    Args:
        parts: of the run.
        folder: of the run; None keeps everything in memory.
        accept_drift: go on although the recorded beginning cannot be repeated exactly.
    """

    def __init__(self, spec: RunSpec, folder: RunFolder | None = None, *, accept_drift: bool = False) -> None:
        self._spec, self._options, self._folder, self._accept_drift = spec, spec.options, folder, accept_drift
        self._prompt = prompt_of(spec.generator)
        self._stack = ExitStack()

    def run(self) -> Result:
        """Carry it out.

        Raises:
            InputError: what is recorded does not fit; the message says what differs.
            RunError: nothing has a score yet.
            StorageError: the folder cannot be written. What was written before is safe.
        """
        options, durable = self._options, self._spec.keeps_everything
        with self._stack:
            if self._folder is not None and self._folder.is_new:
                self._folder.write_config(self._spec.config)  # first of all: what has no config is no run
            self._cache = self._closing(Cache(Path(options.cache) if options.cache else None))
            path = self._folder.ledger if self._folder else None
            self._ledger = self._closing(Ledger(path, durable=durable))
            self._manifest = Manifest(self._ledger, self._spec, accept_drift=self._accept_drift)
            if self._folder is not None:
                self._folder.write_config(self._spec.config)
            self._spec.reward.begin(self._folder.path if self._folder else None)
            self._pools = self._spec.pools or self._closing(Pools())
            self._oracles = Oracles(self._spec, self._ledger, self._cache, self._pools)
            self._oracle = self._closing(self._oracles.main())
            self._drawer = self._rendering()
            self._artifacts = self._closing(
                Artifacts(
                    self._folder.path if self._folder else None,
                    every=options.keep_images,
                    durable=durable,
                    known=self._ledger.artifacts(),
                )
            )
            try:
                self._warm_up()
                return self._search()
            except DriftError as drift:
                raise self._manifest.refusal([str(drift)]) from drift

    def _search(self) -> Result:
        budget, kept_back = self._spec.budget, self._spec.kept_back
        before_repeats = replace(budget, queries=budget.queries - kept_back)
        search = self._prepared("search", self._spec.build_strategy, before_repeats, self._options.top)
        search.run()
        reevaluation = self._repeat(search, kept_back)
        if search.drift.found:
            self._manifest.note_drift(search.drift.found)
        if search.archive.best is None:
            raise RunError(why_nothing_scored(search, self._path, self._options.max_cost, self._spec.worst_case))
        compared = self._baseline(search)
        held_out = {reward.name: self._held_out(reward, search.archive) for reward in self._spec.held_out}
        result = self._result(search, held_out, compared, reevaluation)
        if self._folder is not None:
            threshold = search.objective.threshold if search.objective.constrained else None
            write_outputs(self._folder.path, result, threshold)
        return result

    def _repeat(self, search: Search, budget: int) -> Reevaluation | None:
        """Ask again about the best, let the one with the best mean win, and give back what is not needed."""
        if search.stopped_by != "queries" or len(search.archive.contenders) < 2:
            return None
        found = {one.id: one for one in search.archive.contenders}
        reevaluation = Reevaluation({one.id: one.reward for one in found.values() if one.reward is not None}, budget)
        asked: Counter[int] = Counter()
        try:
            while wanted := reevaluation.wanted():
                asked.update(wanted)
                queries = [
                    Query(id_, found[id_].image, found[id_].sha256, self._prompt, repeat=asked[id_]) for id_ in wanted
                ]
                answers = self._ask_again(queries, found)
                reevaluation.tell(
                    {one.id: answer.score.value for one, answer in zip(queries, answers, strict=True) if answer}
                )
                if None in answers:
                    search.stopped_by = "cost"
                    break
        except PauseError as pause:
            search.status, search.pause = "paused", pause
        except KeyboardInterrupt:
            search.status = "interrupted"
        if reevaluation.is_exact and search.status == "finished":
            search.stopped_by = None
            search.budget = replace(search.budget, queries=search.budget.queries + budget - reevaluation.spent)
            search.run()
        elif reevaluation.standings:
            first = reevaluation.standings[0]
            search.archive.promote(
                replace(found[first.id], reward=first.mean, answers=first.answers, error=first.error)
            )
        return reevaluation

    def _ask_again(self, queries: list[Query], found: dict[int, Found]) -> list[Response | None]:
        """Ask, and keep what leaves and what comes back."""

        def write(responses: Iterable[tuple[Query, Response | None]]) -> None:
            rows = [
                query_row(REPEAT, -1, self._spec.reward, found[query.id], query, answer)
                for query, answer in responses
                if answer is None or not answer.cached
            ]
            self._ledger.put(rows)

        def on_sent(queries: list[Query], term: TermOracle | None = None) -> None:
            if self._spec.keeps_everything:
                write((query, None) for query in queries)

        def on_scored(responses: Responses, term: TermOracle | None = None) -> None:
            write(responses)

        return self._oracle.ask(queries, on_sent=on_sent, on_scored=on_scored)

    def _rendering(self) -> Renderer:
        """Draw here, or where the generator does; there rewards that cost microseconds are asked as well."""
        generator, reward = self._spec.generator, self._spec.reward
        if not isinstance(generator, GeneratorPool):
            return self._closing(LocalRenderer(generator, in_background=self._oracle.waits))
        cheap = not isinstance(reward, Combination) and not self._oracle.waits and not self._spec.keeps_everything
        cheap = cheap and not self._options.screen
        generator.scoring_with(reward if cheap and reward.travels else None)
        return generator

    @property
    def _actor_pools(self) -> tuple[ActorPool, ...]:
        generator = self._spec.generator
        return (*([generator.actors] if isinstance(generator, GeneratorPool) else ()), *self._pools.actor_pools)

    @property
    def _path(self) -> Path | None:
        return self._folder.path if self._folder else None

    def _closing(self, resource: Closes) -> Closes:
        self._stack.callback(resource.close)
        return resource

    def _warm_up(self) -> None:
        """Measure the scales that a combination needs on prior draws of their own; from then on they are fixed."""
        oracle = self._oracle
        wanted = oracle.reward.unscaled if isinstance(oracle, CombinedOracle) else ()
        if not isinstance(oracle, CombinedOracle) or not wanted:
            return
        n = oracle.reward.warm_up
        if sum(row.completed for row in self._ledger.queries(WARM_UP)) < n:
            search = self._prior_draws(WARM_UP, n)
            search.run()
            if search.drift.found:
                self._manifest.note_drift(search.drift.found)
            if search.counts.queries < n:
                raise RunError(why_no_scales(search, n, self._path, self._options.max_cost))
        measured = measured_scales(self._ledger.queries(WARM_UP), wanted, divide=oracle.reward.standardised)
        oracle.scales = {**oracle.scales, **measured}

    def _prior_draws(self, stage: str, n: int) -> Search:
        """Make a search that is n draws from the prior, the same for every strategy."""
        from zo_dno.strategies.random_search import RandomSearch

        space, seed = self._spec.generator.layout, stream_seed(self._options.seed, stage)
        build = partial(RandomSearch, Problem(space.d, n, seed, space.sizes))
        return self._prepared(stage, build, Budget(n), top=1)

    def _prepared(self, stage: str, build: Callable[[], Strategy], budget: Budget, top: int) -> Search:
        """Make a search and bring it to where its ledger ends."""
        options = self._options
        factor = options.screen if stage == "search" else 0
        contenders = MOST if stage == "search" and self._spec.kept_back else 0

        def fresh() -> Search:
            return Search(
                *(self._spec.generator, self._drawer, self._oracle, build(), self._spec.objective(), budget),
                *(self._ledger, Archive(top, contenders=contenders), self._artifacts, self._prompt),
                target=options.target if stage == "search" else None,
                stage=stage,
                snapshot=self._folder.snapshot if self._folder is not None and stage == "search" else None,
                accept_drift=self._accept_drift,
                on_step=self._spec.on_step,
                actor_pools=self._actor_pools,
                preselection=Preselection(factor, options.seed) if factor else None,
            )

        search = fresh()
        if self._spec.stop is not None:
            self._spec.stop.tell(lambda: search.interrupt())
        try:
            if self._manifest.adopted and search.snapshot is not None:
                adopt(search, search.snapshot)
            else:
                replay(search)
        except DriftError as drift:
            path = search.snapshot
            if not self._accept_drift or path is None:
                raise
            search = fresh()
            adopt(search, path)
            self._manifest.note_drift(str(drift), adopted=True)
        return search

    def _baseline(self, search: Search) -> best_of_n.Baseline | None:
        n_prior = search.strategy.n_prior if isinstance(search.strategy, HasPriorDraws) else 0
        n = search.counts.queries if self._options.baseline == "equal" else self._options.baseline
        if n == 0 or search.status in ("interrupted", "paused"):
            return best_of_n.estimated(self._ledger.queries()[:n_prior], search.counts.queries)
        self._prior_draws(BASELINE, n).run()
        return best_of_n.measured(self._ledger.queries(BASELINE), constrained=search.objective.constrained)

    def _held_out(self, reward: Reward, archive: Archive) -> tuple[float | None, float | None]:
        """Ask about first and best; what was asked in an earlier session is remembered."""
        assert archive.first is not None
        assert archive.best is not None
        both = {found.id: found for found in (archive.first, archive.best)}
        queries = [Query(found.id, found.image, found.sha256, self._prompt) for found in both.values()]

        def write(responses: Responses) -> None:
            for query, answer in responses:
                if answer.score.missing:
                    what = "held-out reward %s has no score for candidate %d: %s"
                    log.warning(what, reward.name, query.id, answer.score.error)
            rows = [
                query_row(HELD_OUT, -1, reward, both[query.id], query, answer)
                for query, answer in responses
                if not answer.cached
            ]
            self._ledger.put(rows)

        reward.begin(self._folder.path if self._folder else None)
        answers = self._closing(self._oracles.held_out(reward)).ask(queries, on_scored=write)
        if None in answers:
            log.warning("held-out reward %s was not asked: max_cost does not allow for it", reward.name)
        values = {
            query.id: None if answer is None or answer.score.missing else answer.score.value
            for query, answer in zip(queries, answers, strict=True)
        }
        return values[archive.first.id], values[archive.best.id]

    @property
    def _scales(self) -> dict[str, tuple[float, float]]:
        scales = self._oracle.scales if isinstance(self._oracle, CombinedOracle) else {}
        return {name: (scale.mean, scale.deviation) for name, scale in scales.items()}

    def _result(
        self,
        search: Search,
        held_out: dict[str, tuple[float | None, float | None]],
        baseline: best_of_n.Baseline | None,
        reevaluation: Reevaluation | None,
    ) -> Result:
        first, best = search.archive.first, search.archive.best
        assert first is not None
        assert best is not None
        every = self._ledger.all_queries()
        reason = search.strategy.reason if isinstance(search.strategy, Explains) else None
        history = tuple(row for row in every if row.stage == "search" and row.completed)
        seconds = search.stopwatch.seconds
        missed, constrained = unmet(self._spec.thresholds, history), search.objective.constrained
        return Result(
            status=search.status,
            stopped_by=search.stopped_by,
            pause=why_paused(search, self._path) if search.pause is not None else None,
            drift=self._manifest.drift,
            prompt=self._prompt,
            model=model_of(search.generator),
            reward=self._spec.reward.name,
            unit=self._spec.reward.unit,
            strategy=self._options.strategy,
            seed=self._options.seed,
            queries=search.counts.queries + (reevaluation.spent if reevaluation else 0),
            cached_queries=sum(row.cached for row in history),
            nfe=search.nfe,
            cost=self._spec.purse.spent,
            tokens=sum(row.tokens for row in every),
            failed_queries=search.counts.failed,
            failures=dict(search.counts.failures),
            first=first,
            best=best,
            top=tuple(search.archive.top),
            improvements=tuple(search.archive.improvements),
            history=history,
            held_out=held_out,
            seconds={name: seconds[name] for name in ("total", "generate", "score", "strategy", "other")},
            baseline=baseline,
            folder=self._path,
            infeasible=None if best.feasible else why_infeasible(history, missed, constrained=constrained),
            unmet=missed,
            scales=self._scales,
            repeats=tuple(reevaluation.standings) if reevaluation else (),
            noise=reevaluation.noise if reevaluation else None,
            images=search.counts.images,
            chosen=chosen_by_auto(reason, self._options.screen, self._options.max_cost) if reason else None,
        )
