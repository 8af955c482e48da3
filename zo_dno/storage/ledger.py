"""The durable table of every query of a run."""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from zo_dno.errors import InputError, StorageError
from zo_dno.storage.schema import migrate

if TYPE_CHECKING:
    import numpy as np

WARM_UP, REPEAT, BASELINE, HELD_OUT = "warm_up", "repeat", "baseline", "held_out"  # stages beside the search
TERM = ".part"  # ends the stage of a row that is about one part of a combination
COLUMNS = {
    "plausible": "feasible",
    "noise_violation": "violation",
    "reward_violation": "shortfall",
    "components": "parts",
}
"""Fields of a `QueryRow` whose columns keep the names that they had first, in the file and in exports."""
_WAIT = 30.0  # seconds for a reader to let go of the file


@dataclass(frozen=True, slots=True)
class QueryRow:
    """One reward asked for one image.

    Attributes:
        stage: "search", "warm_up" for the scales of a combination, "repeat" for asking again about the best, "baseline"
            for the best-of-N comparison, or "held_out"; with ".part" for one part of a combination, whose calls and
            costs are counted there alone.
        id: of the candidate.
        population: number of the `ask` that proposed it.
        image: sha256 of its size and pixels.
        oracle: name of the reward, or of the part.
        version: of the reward.
        repeat: how often the same was asked before.
        rater: who was asked, where there are several.
        status: "asked" and without an answer yet, "scored" or "missing"; "screened", not asked about, as its reward was
            guessed for the strategy (zo_dno.search.preselection).
        value: in the reward's unit; None is missing.
        told: what the strategy was told; None is missing, or not told yet.
        told_seq: place in the order of everything that the strategy was told; None is not told yet.
        log_prob: log P(z).
        norm_ratio: ||z|| / sqrt(d).
        whiteness: p-value of the whiteness test.
        noise_violation: of the plausibility tests, in nats.
        plausible: whether every plausibility test is passed.
        cached: the answer was remembered, not asked for.
        attempts: calls made.
        failures: kinds of the calls that failed, in order, joined by "; ".
        kind: of the failure, if missing.
        error: why the score is missing.
        seconds: time that the reward took.
        tokens: that a language model used.
        cost: money, the most that it may have been.
        raw: a judge's own words.
        spread: standard deviation among the raters, judges or samples behind the value.
        shortfall: from what the reward requires of a winner, in standard deviations; 0 meets it.
        components: the numbers that the value was made of.
        perturbed: Whether noise was added to the image, which can therefore not be rendered from its noise alone.
        of_term: Whether the row is about one term of a combination.
    """

    stage: str
    id: int
    population: int
    image: str
    prompt: str
    oracle: str
    version: str
    repeat: int
    rater: str
    status: Literal["asked", "scored", "missing", "screened"]
    value: float | None
    told: float | None
    told_seq: int | None
    log_prob: float
    norm_ratio: float
    whiteness: float
    noise_violation: float
    plausible: bool
    cached: bool
    attempts: int
    failures: str
    kind: str | None
    error: str | None
    seconds: float
    tokens: int
    cost: float
    raw: str | None
    spread: float | None = None
    reward_violation: float = 0.0
    components: Mapping[str, float] | None = None
    perturbed: bool = False
    of_term: bool = False

    @property
    def completed(self) -> bool:
        """There is a score, or there will be none."""
        return self.status in ("scored", "missing")

    @property
    def settled(self) -> bool:
        """It is answered, or will not be asked."""
        return self.status != "asked"

    def is_feasible(self, *, constrained: bool) -> bool:
        """Whether it has a score, meets what the reward requires and, where `constrained`, is plausible."""
        plausible = self.plausible or not (constrained or self.perturbed)
        return self.value is not None and self.reward_violation == 0 and plausible


@dataclass(frozen=True, slots=True)
class PopulationRow:
    """One `ask` of a strategy.

    Attributes:
        noise: sha256 of z, (size, d) float32: proves that a replay proposes the same.
        seconds: from the `ask` to the end of the `tell`; parts of it follow.
    """

    stage: str
    number: int
    first_id: int
    size: int
    noise: str
    seconds: float = 0.0
    generate_seconds: float = 0.0
    score_seconds: float = 0.0
    strategy_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of the run folder: the image of a candidate, or its noise."""

    path: str
    kind: Literal["image", "noise"]
    sha256: str
    stage: str
    id: int


class Ledger:
    """What a run asked and was answered, in an SQLite file, or in memory for a run that keeps no folder.

    Args:
        path: of the file, made if it is not there.
        durable: a commit returns when the disk has it, so that not even a power cut loses it.
        read_only: for looking at a run that may be under way.
    Raises:
        InputError: the file is no ledger, is damaged, or a later version wrote it.
        StorageError: it cannot be written.
    """

    def __init__(self, path: Path | None = None, *, durable: bool = False, read_only: bool = False) -> None:
        self._path = path
        try:
            if read_only and path is not None:
                self._connection = _copied(path)
            else:
                self._connection = sqlite3.connect(path or ":memory:", timeout=_WAIT)
                _check(self._connection)
                self._connection.execute("PRAGMA journal_mode = WAL")
                self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            migrate(self._connection)
        except sqlite3.DatabaseError as error:
            raise self._named(error) from error

    def put(
        self,
        queries: Iterable[QueryRow] = (),
        populations: Iterable[PopulationRow] = (),
        artifacts: Iterable[Artifact] = (),
    ) -> None:
        """Write rows in one transaction, all of them or none; a row with the key of an older one replaces it."""
        with self._writing():
            for table, rows in (("artefact", artifacts), ("population", populations), ("query", queries)):
                columns, values = _COLUMNS[table]
                marks = ", ".join("?" * len(columns))
                stored = map(values, rows) if table != "query" else (_with_text(values(row)) for row in rows)
                self._connection.executemany(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", stored)

    def queries(self, stage: str = "search") -> list[QueryRow]:
        """Read the queries of a stage, in id order."""
        return list(self._queries("WHERE stage = ?", stage))

    def all_queries(self) -> list[QueryRow]:
        """Read every query, by stage and id."""
        return list(self._queries(""))

    def populations(self, stage: str = "search") -> list[PopulationRow]:
        """Read the populations of a stage, in order."""
        rows = self._read("SELECT * FROM population WHERE stage = ? ORDER BY number", stage)
        return [PopulationRow(*row) for row in rows]

    def put_features(self, stage: str, features: "Mapping[int, np.ndarray]") -> None:
        """Keep what images of candidates were described by, id -> (m,) float32."""
        with self._writing():
            rows = [(stage, id_, vector.astype("<f4").tobytes()) for id_, vector in features.items()]
            self._connection.executemany("INSERT OR REPLACE INTO feature VALUES (?, ?, ?)", rows)

    def features(self, stage: str = "search") -> "dict[int, np.ndarray]":
        """Read them back."""
        import numpy as np

        rows = self._read("SELECT id, vector FROM feature WHERE stage = ? ORDER BY id", stage)
        return {id_: np.frombuffer(vector, "<f4") for id_, vector in rows}

    def artifacts(self) -> list[Artifact]:
        """Read which files the run has."""
        return [Artifact(*row) for row in self._read("SELECT * FROM artefact ORDER BY stage, id, path")]

    def set(self, key: str, value: Any) -> None:
        """Keep a fact of the run, anything that JSON can hold."""
        with self._writing():
            row = (key, json.dumps(value, sort_keys=True, ensure_ascii=False, default=str))
            self._connection.execute("INSERT OR REPLACE INTO run VALUES (?, ?)", row)

    def get(self, key: str) -> Any:
        """Read a fact of the run; None if it is not there."""
        rows = self._read("SELECT value FROM run WHERE key = ?", key)
        return json.loads(rows[0][0]) if rows else None

    def close(self) -> None:
        """Close the file; nothing is lost without it."""
        self._connection.close()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            with self._connection:
                yield
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise
            raise self._named(error) from error

    def _read(self, sql: str, *parameters: Any) -> list[Any]:
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._named(error) from error

    def _queries(self, where: str, *parameters: Any) -> Iterator[QueryRow]:
        for row in self._read(f"SELECT * FROM query {where} ORDER BY stage, id, oracle, repeat, rater", *parameters):
            values = list(row)
            for place in _BOOLEANS:
                values[place] = bool(values[place])
            text = values[_COMPONENTS]
            values[_COMPONENTS] = None if text is None else json.loads(text)
            yield QueryRow(*values)

    def _named(self, error: sqlite3.DatabaseError) -> Exception:
        """Tell a damaged file from one that cannot be written."""
        if isinstance(error, sqlite3.OperationalError):
            return StorageError(
                f"ledger {self._path} could not be used: {error}. What was written before is safe; make room or set "
                "the permissions, then go on with: zo-dno resume"
            )
        return InputError(
            f"ledger {self._path} is damaged or no ledger ({error}). `sqlite3 {self._path} .recover` may save its rows."
        )


def _copied(path: Path) -> sqlite3.Connection:
    """Read a whole file into memory, whoever may be writing to it, without changing a byte of its folder."""
    memory = sqlite3.connect(":memory:")
    written_to = path.with_name(f"{path.name}-wal").exists()  # else SQLite needs to make no files beside it
    for how in ("mode=ro", "immutable=1") if written_to else ("immutable=1",):
        try:
            with closing(sqlite3.connect(f"file:{quote(str(path))}?{how}", uri=True, timeout=_WAIT)) as file:
                _check(file)
                file.backup(memory)
            return memory
        except sqlite3.OperationalError:
            if how == "immutable=1":
                raise
    return memory


def _check(connection: sqlite3.Connection) -> None:
    (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)


def _table(row: Any) -> tuple[tuple[str, ...], "attrgetter[Any]"]:
    names = tuple(field.name for field in fields(row))
    return names, attrgetter(*names)


def _with_text(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Write the components of a query as JSON."""
    components = values[_COMPONENTS]
    text = None if components is None else json.dumps(dict(components), ensure_ascii=False)
    return (*values[:_COMPONENTS], text, *values[_COMPONENTS + 1 :])


_COLUMNS = {"query": _table(QueryRow), "population": _table(PopulationRow), "artefact": _table(Artifact)}
_BOOLEANS = tuple(_COLUMNS["query"][0].index(name) for name in ("plausible", "cached", "perturbed", "of_term"))
_COMPONENTS = _COLUMNS["query"][0].index("components")
