"""One session of a run: its stages in order, from the warm-up to the result."""

from dataclasses import dataclass

from zo_dno.errors import RunError
from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.combination.oracle import CombinedOracle
from zo_dno.oracle.ctrl_c import deferred
from zo_dno.results.outputs import import_early, write_outputs
from zo_dno.results.result import Result
from zo_dno.results.step_log import logged
from zo_dno.results.verdict import (
    chosen_by_auto,
    unmet,
    what_equal_scores_say,
    why_infeasible,
    why_nothing_scored,
    why_paused,
    why_spent,
)
from zo_dno.run.adaptations import adaptations_of
from zo_dno.run.ask_again import ask_again, failed_before
from zo_dno.run.by_choices import settle_by_choices
from zo_dno.run.distance import choose_distance
from zo_dno.run.diverse import diverse_archive, diverse_of
from zo_dno.run.front import front_of, set_reference
from zo_dno.run.held_out import held_out_scores
from zo_dno.run.make_reward import rewards_in
from zo_dno.run.measures import elite_archive, elites_of
from zo_dno.run.open_run import OpenRun, opened
from zo_dno.run.raters import ask_people_at_the_end, what_raters_said
from zo_dno.run.reevaluate import reevaluate
from zo_dno.run.searches import SEARCH, main_search, prior_draws
from zo_dno.run.spec import RunSpec
from zo_dno.run.transfer import leave_behind
from zo_dno.run.warm_up import warm_up
from zo_dno.search import best_of_n
from zo_dno.search.drift import DriftError
from zo_dno.search.loop import Search
from zo_dno.search.progress import both
from zo_dno.search.reevaluation import Reevaluation
from zo_dno.storage.ledger import BASELINE
from zo_dno.storage.run_folder import RunFolder
from zo_dno.strategy import Explains, HasPriorDraws, LearnsFromChoices
from zo_dno.types import model_of


def carry_out(
    spec: RunSpec, folder: RunFolder | None = None, *, accept_drift: bool = False, retry_failed: bool = False
) -> Result:
    """Carry a run out, from its beginning or from where its ledger ends.

    Args:
        spec: Specification of the run.
        folder: Folder of the run; None keeps everything in memory.
        accept_drift: Whether to resume although the recorded beginning cannot be repeated exactly.
        retry_failed: Whether queries of earlier sessions that got no score are sent again.
    Raises:
        InputError: The recorded run differs from the spec; the message says where.
        RunError: Nothing has a score yet.
        StorageError: The folder cannot be written. What was written before is safe.
    """
    with opened(spec, folder, accept_drift=accept_drift, retry_failed=retry_failed) as run:
        if run.path is not None:
            import_early()
        with logged(spec.options.log_to, run.path, dict(spec.options) | spec.model_settings) as (on_step, on_result):
            if spec.options.log_to:
                spec.on_step = both(on_step, spec.on_step)
            try:
                result = _stages(run)
            except DriftError as drift:
                raise run.manifest.refusal([str(drift)]) from drift
            on_result(result)
            return result


@dataclass
class _Found:
    """What the stages of a run have found so far."""

    search: Search
    held_out: dict[str, tuple[float | None, float | None]]
    baseline: best_of_n.Baseline | None = None
    reevaluation: Reevaluation | None = None
    choices: int = 0


def _stages(run: OpenRun) -> Result:
    choose_distance(run)
    warm_up(run)
    set_reference(run)
    search, rest = main_search(run, diverse_archive(run), elite_archive(run))
    found = _Found(search, {reward.name: (None, None) for reward in run.spec.held_out})
    earlier = failed_before(run)
    try:
        search.run()
        if run.retry_failed and search.status not in ("interrupted", "paused"):
            ask_again(run, search, earlier)
        found.reevaluation = reevaluate(run, search, rest)
        if found.reevaluation is None or not found.reevaluation.standings:
            found.choices = settle_by_choices(search)
        if search.archive.best is not None:
            found.baseline = _baseline(run, search, by_choices=found.choices > 0)
            for reward in run.spec.held_out if search.status not in ("interrupted", "paused") else ():
                found.held_out[reward.name] = held_out_scores(run, reward, search.archive)
            ask_people_at_the_end(run, search)
    except KeyboardInterrupt:
        search.status = "interrupted"
    except PauseError as pause:  # of a held-out reward
        search.status, search.pause = "paused", pause
    with deferred(lambda: None):  # what was found so far is written, whenever the signal came
        return _finished(run, found)


def _finished(run: OpenRun, found: _Found) -> Result:
    search = found.search
    if search.drift.found:
        run.manifest.note_drift(search.drift.found)
    run.manifest.note_reward(run.spec.reward.identity)
    leave_behind(search.strategy, run.prompt, run.spec.reward, run.path, run.spec.options.surrogate)
    if search.archive.best is None:
        raise RunError(why_nothing_scored(search, run.path, _spent(run)))
    result = _result(run, found)
    if run.path is not None:
        write_outputs(run.path, result)
    return result


def _baseline(run: OpenRun, search: Search, *, by_choices: bool) -> best_of_n.Baseline | None:
    """Score as many prior draws as asked for, or estimate best-of-N from the search's own."""
    n_prior = search.strategy.n_prior if isinstance(search.strategy, HasPriorDraws) else 0
    n = search.counts.queries if run.spec.options.baseline == "equal" else run.spec.options.baseline
    if n == 0 and (by_choices or rewards_in(run.spec.reward) > 1):
        return None  # strengths of different populations are no draws of one distribution, and a front has no best one
    if n == 0 or search.status in ("interrupted", "paused"):
        return best_of_n.estimated(
            run.ledger.queries()[:n_prior], search.counts.queries, highest=run.spec.reward.range[1]
        )
    draws = prior_draws(run, BASELINE, n)
    draws.run()
    if draws.status in ("interrupted", "paused"):
        search.status, search.pause = draws.status, draws.pause
    return best_of_n.measured(run.ledger.queries(BASELINE), constrained=search.objective.constrained)


def _result(run: OpenRun, found: _Found) -> Result:
    search, reevaluation = found.search, found.reevaluation
    spec, options = run.spec, run.spec.options
    first, best = search.archive.first, search.archive.best
    assert first is not None
    assert best is not None
    every = run.ledger.all_queries()
    reason = search.strategy.reason if isinstance(search.strategy, Explains) else None
    history = tuple(row for row in every if row.stage == SEARCH and row.completed)
    seconds = search.stopwatch.seconds
    missed, constrained = unmet(spec.thresholds, history), search.objective.constrained
    return Result(
        status=search.status,
        stopped_by=search.stopped_by,
        spent=_spent(run) if search.stopped_by == "cost" else None,
        pause=why_paused(search, run.path) if search.pause is not None else None,
        drift=run.manifest.drift,
        prompt=run.prompt,
        model=model_of(search.generator),
        reward=spec.reward.name,
        unit=spec.reward.unit,
        strategy=options.strategy,
        seed=options.seed,
        queries=search.counts.queries + (reevaluation.spent if reevaluation else 0),
        cached_queries=sum(row.cached for row in history),
        nfe=search.nfe,
        cost=spec.purse.spent,
        tokens=sum(row.tokens for row in every),
        failed_queries=search.counts.failed,
        failures=dict(search.counts.failures),
        first=first,
        best=best,
        top=tuple(search.archive.top),
        improvements=tuple(search.archive.improvements),
        history=history,
        held_out=found.held_out,
        seconds={name: seconds[name] for name in ("total", "generate", "score", "strategy", "other")},
        baseline=found.baseline,
        folder=run.path,
        infeasible=None if best.feasible else why_infeasible(history, missed, constrained=constrained),
        unmet=missed,
        lowest_log_prob=search.objective.threshold if constrained else None,
        hint=what_equal_scores_say(history),
        scales=_scales(run),
        repeats=tuple(reevaluation.standings) if reevaluation else (),
        noise=reevaluation.noise if reevaluation else None,
        unasked=_unasked(search, reevaluation),
        images=search.counts.images,
        unused_images=search.unused_images,
        strategy_images=search.strategy_images,
        choices=found.choices,
        evidence=search.strategy.evidence if isinstance(search.strategy, LearnsFromChoices) else None,
        raters=what_raters_said(spec.reward, search.archive),
        adapted=adaptations_of(spec.reward, *spec.held_out),
        front=front_of(run, search.archive),
        diverse=diverse_of(run, search.archive),
        elites=elites_of(run, search.archive),
        chosen=chosen_by_auto(reason, options.screen, options.max_cost, spec.untaught) if reason else None,
    )


def _spent(run: OpenRun) -> str:
    spec, lost = run.spec, run.manifest.lost_calls
    if spec.options.max_cost is None:
        return ""
    worst_case = max(spec.worst_case, run.oracle.worst_case)
    return why_spent(spec.purse.spent, spec.options.max_cost, worst_case, str(lost) if lost.cost else "")


def _unasked(search: Search, reevaluation: Reevaluation | None) -> str | None:
    if reevaluation is None or search.status != "finished" or search.stopped_by != "queries":
        return None  # the status says why
    return None if reevaluation.is_exact else reevaluation.unasked or None


def _scales(run: OpenRun) -> dict[str, tuple[float, float]]:
    scales = run.oracle.scales if isinstance(run.oracle, CombinedOracle) else {}
    return {name: (scale.mean, scale.deviation) for name, scale in scales.items()}
