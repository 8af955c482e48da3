"""A run at a glance, read from its ledger, whether it is finished, in progress or was killed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from zo_dno.judges.dialect import kept_in
from zo_dno.oracle.combination.threshold import Threshold
from zo_dno.results.state import ENDED, IN_PROGRESS, RunState
from zo_dno.results.stored import result_of
from zo_dno.results.verdict import unmet
from zo_dno.reward import Adaptation
from zo_dno.storage.ledger import TERM, Ledger, PopulationRow, QueryRow
from zo_dno.storage.run_folder import LEDGER, RESULT, check_is_run, damage_named


@dataclass(frozen=True, slots=True)
class Overview:
    """What a ledger says of a run.

    Attributes:
        state: "in progress", the status of its result, or "stopped" without a result.
        planned: Number of queries in the budget.
        counts: Stage, and term of a combination -> status -> queries; "cached" ones are also "scored".
        first: Row of candidate 0; None while it has no score.
        best: Row of the search's best feasible candidate.
        front: Number of candidates that no other beats in all rewards; None with a single reward.
        diverse: How many, how good and how different the members of a diverse set are, in words; None without one, or
            without a result.
        elites: How many cells of measures have an image, and how good these are, in words; None likewise.
        unmet: Number of scored candidates of the search that miss each threshold.
        failed_calls: Kind of failure -> calls that failed, even if a later one succeeded.
        missing: Kind of failure -> queries without a score.
        lost_files: Files in the ledger that do not exist any more.
        adapted: What servers of judges refused, and what is sent instead.
        rows: Every query, by stage and id.
        populations: Populations of the search, in order.
    """

    folder: Path
    state: str
    config: dict[str, Any]
    planned: int
    counts: dict[str, Counter[str]]
    first: QueryRow | None
    best: QueryRow | None
    front: int | None
    diverse: str | None
    elites: str | None
    unmet: dict[str, int]
    failed_calls: Counter[str]
    missing: Counter[str]
    attempts: int
    cost: float
    tokens: int
    seconds: float
    files: Counter[str]
    lost_files: list[str]
    drift: list[str]
    adapted: list[Adaptation]
    rows: list[QueryRow]
    populations: list[PopulationRow]

    @property
    def resumable(self) -> bool:
        """Whether the run was stopped before its end."""
        return self.state != IN_PROGRESS and self.state not in ENDED


def overview(folder: Path) -> Overview:
    """Read the folder of a run without changing anything in it.

    Raises:
        InputError: The folder holds no run, or its ledger is damaged.
    """
    check_is_run(folder)
    with damage_named(folder):
        return _overview(folder)


def _overview(folder: Path) -> Overview:
    ledger = Ledger(folder / LEDGER, read_only=True)
    rows, artifacts = ledger.all_queries(), ledger.artifacts()
    config = ledger.get("config") or {}
    populations = ledger.populations()
    drift = (ledger.get("drift") or {}).get("notes", [])
    ledger.close()
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        what = f"{row.stage.removesuffix(TERM)}: {row.oracle}" if row.of_term else row.stage
        counts.setdefault(what, Counter())[row.status] += 1
        counts[what]["cached"] += row.cached
    constrained = config.get("min_log_prob", "1%") is not None
    search = [row for row in rows if row.stage == "search"]
    winners = [row for row in search if row.is_feasible(constrained=constrained)]
    return Overview(
        folder=folder,
        state=RunState.of(folder).name,
        config=config,
        planned=int(config.get("queries", 0)),
        counts=counts,
        first=next((row for row in search if row.id == 0 and row.value is not None), None),
        best=max(winners, key=lambda row: row.value or 0.0, default=None),
        front=_front(config, search, constrained=constrained),
        diverse=_of_result(folder, config, "diverse"),
        elites=_of_result(folder, config, "elites"),
        unmet=unmet(_thresholds(config), search),
        failed_calls=Counter(kind for row in rows for kind in row.failures.split("; ") if kind),
        missing=Counter(row.kind or "no reason given" for row in rows if row.status == "missing" and not row.of_term),
        attempts=sum(row.attempts for row in rows),
        cost=sum(row.cost for row in rows),
        tokens=sum(row.tokens for row in rows),
        seconds=max((population.seconds for population in populations), default=0.0),
        files=Counter(artifact.kind for artifact in artifacts),
        lost_files=[artifact.path for artifact in artifacts if not (folder / artifact.path).is_file()],
        drift=drift,
        adapted=kept_in(folder),
        rows=rows,
        populations=populations,
    )


def _front(config: dict[str, Any], search: Sequence[QueryRow], *, constrained: bool) -> int | None:
    """Count the candidates on the front of a run; None with a single reward."""
    if config.get("reward") != "front":
        return None
    from zo_dno.results.front import front_among, rewards_of  # which imports NumPy

    return len(front_among(search, rewards_of(config), constrained=constrained))


def _of_result(folder: Path, config: dict[str, Any], name: Literal["diverse", "elites"]) -> str | None:
    """Say how good and different the images of a diverse set, or of cells, are, as the result of the run has them."""
    if not (config.get("diverse") or config.get("measures")) or not (folder / RESULT).exists():
        return None
    from zo_dno.results import diverse, elites  # which import NumPy

    kept = result_of(folder).get(name)
    if kept is None:
        return None
    return diverse.words_of(kept) if name == "diverse" else elites.words_of(kept)


def _thresholds(config: dict[str, Any]) -> list[Threshold]:
    own = (config.get("reward_options") or {}).get("require") or []
    texts = [*([own] if isinstance(own, str) else own), *(config.get("require") or [])]
    return [Threshold.parse(text) for text in texts]
