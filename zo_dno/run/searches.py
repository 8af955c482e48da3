"""The searches of a session, each brought to where its ledger ends."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from zo_dno.oracle.combination.reward import Combination
from zo_dno.reward import ScoresByChoices
from zo_dno.rng import stream_seed
from zo_dno.run.manifest import blocks_of
from zo_dno.run.open_run import OpenRun
from zo_dno.run.raters import people_of
from zo_dno.search.archive import Archive
from zo_dno.search.blocks import Blocks
from zo_dno.search.details import give_diversity
from zo_dno.search.diverse import DiverseArchive
from zo_dno.search.drift import DriftError
from zo_dno.search.elites import EliteArchive
from zo_dno.search.limits import Limits
from zo_dno.search.loop import Search
from zo_dno.search.preselection import Preselection
from zo_dno.search.reevaluation import MOST
from zo_dno.search.replay import Replay, adopt
from zo_dno.strategies import DEFAULT_STRATEGY
from zo_dno.strategy import Problem, Strategy
from zo_dno.types import batch_size_of

SEARCH = "search"


@dataclass(frozen=True)
class _Stage:
    """What one search of a run is made of.

    Args:
        name: Name of the stage in the ledger.
        build: Function that makes the strategy.
        limits: Limits of the search.
        blocks: Number of images that are rendered together.
        top: Number of best images to keep.
        diverse: Archive of a diverse set, which is empty; None where none is searched.
        elites: Archive of the elites of measures, which is empty; None without measures.
    """

    name: str
    build: Callable[[], Strategy]
    limits: Limits
    blocks: Blocks
    top: int = 1
    diverse: DiverseArchive | None = None
    elites: EliteArchive | None = None

    def again(self) -> "_Stage":
        """Return the same stage with empty archives."""
        return replace(
            self, diverse=self.diverse and self.diverse.emptied(), elites=self.elites and self.elites.emptied()
        )


def main_search(
    run: OpenRun, diverse: DiverseArchive | None, elites: EliteArchive | None
) -> tuple[Search, Replay | None]:
    """Make the search of the run, with the queries that are not kept back for re-evaluation.

    Args:
        run: Run that a session carries out.
        diverse: Archive of a diverse set, which is empty; None where none is searched.
        elites: Archive of the elites of measures, which is empty; None without measures.
    Returns:
        The search, and the replay that brings it from the re-evaluation to where its ledger ends; None without it.
    """
    limits = run.spec.limits
    limits = replace(limits, queries=limits.queries - run.spec.kept_back)
    paused = limits.queries if run.spec.kept_back else None
    blocks = blocks_of(run.ledger, batch_size_of(run.spec.generator))
    stage = _Stage(SEARCH, partial(_strategy, run), limits, blocks, run.spec.options.top, diverse, elites)
    return _prepared(run, stage, paused)


def _strategy(run: OpenRun) -> Strategy:
    """Make the strategy of the run, with as many first draws as by the rules under which the run began."""
    from zo_dno.strategies.surrogate import FIRST, Surrogate

    strategy, options = run.spec.fresh_strategy(), run.spec.options
    if run.manifest.rules < 4 and isinstance(strategy, Surrogate) and "first" not in options.strategy_options:
        auto = options.strategy == DEFAULT_STRATEGY
        strategy.first = min(FIRST, max(2, strategy.horizon // 2)) if auto else FIRST
    return strategy


def prior_draws(run: OpenRun, stage: str, n: int) -> Search:
    """Make a search that scores n draws from the prior, the same for every strategy."""
    from zo_dno.strategies.random_search import RandomSearch

    layout, seed = run.spec.generator.layout, stream_seed(run.spec.options.seed, stage)
    build = partial(RandomSearch, Problem(layout.d, n, seed, layout.sizes))
    blocks = Blocks(batch_size_of(run.spec.generator), (n,), run.manifest.padded)
    return _prepared(run, _Stage(stage, build, Limits(n), blocks))[0]


def _prepared(run: OpenRun, stage: _Stage, paused: int | None = None) -> tuple[Search, Replay | None]:
    """Make a search and bring it to where its ledger ends, or to `paused` queries."""
    search = _fresh(run, stage)
    if run.spec.stop is not None:
        run.until_end.enter_context(run.spec.stop.telling(lambda: search.interrupt()))
    try:
        if run.manifest.adopted and search.snapshot is not None:
            adopt(search, search.snapshot)
        else:
            replay = Replay(search)
            replay.advance(paused)
            return search, replay
    except DriftError as drift:
        path = search.snapshot
        if not run.accept_drift or path is None:
            raise
        search = _fresh(run, stage.again())
        adopt(search, path)
        run.manifest.note_drift(str(drift), adopted=True)
    return search, None


def _fresh(run: OpenRun, stage: _Stage) -> Search:
    """Make a search at its beginning; targets, snapshots and pre-selection are for the main search alone."""
    spec, options, main = run.spec, run.spec.options, stage.name == SEARCH
    several = spec.kept_back or isinstance(spec.reward, ScoresByChoices) or people_of(spec.reward) is not None
    contenders = MOST if main and several else 0
    objectives = spec.reward.objectives if main and isinstance(spec.reward, Combination) else ()
    objective = spec.objective()
    objective.counts_perturbed = run.manifest.rules < 2
    archive = Archive(
        stage.top, contenders=contenders, objectives=objectives, diverse=stage.diverse, elites=stage.elites
    )
    strategy = stage.build()
    give_diversity(strategy, archive)
    return Search(
        *(spec.generator, run.renderer, run.oracle, strategy, objective, stage.limits),
        *(run.ledger, archive, run.artifacts, run.prompt),
        target=options.target if main else None,
        stage=stage.name,
        snapshot=run.folder.snapshot if run.folder is not None and main else None,
        accept_drift=run.accept_drift,
        on_step=spec.on_step,
        actor_pools=run.actor_pools,
        preselection=Preselection(options.screen, options.seed) if main and options.screen else None,
        blocks=stage.blocks,
        failed=[] if main and run.retry_failed else None,
    )
