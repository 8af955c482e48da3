import dataclasses
import sqlite3
import threading
from dataclasses import replace

import pytest

from zo_dno.errors import InputError, StorageError
from zo_dno.storage.ledger import Artifact, Ledger, PopulationRow, QueryRow
from zo_dno.storage.schema import MIGRATIONS

QUERY = QueryRow(
    stage="search",
    id=0,
    population=0,
    image="a" * 64,
    prompt='a "quoted" prompt; it\'s here',
    oracle="jpeg_smaller",
    version="1",
    repeat=0,
    rater="",
    status="scored",
    value=-1.5,
    told=-1.5,
    told_seq=0,
    log_prob=-0.9,
    norm_ratio=1.0,
    whiteness=0.4,
    noise_violation=0.0,
    plausible=True,
    cached=False,
    attempts=1,
    failures="",
    kind=None,
    error=None,
    seconds=0.001,
    tokens=0,
    cost=0.0,
    raw=None,
)


def test_what_is_written_is_read_back(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    missing = replace(QUERY, id=1, status="missing", value=None, told=None, plausible=False, error="no answer")
    ledger.put([missing, QUERY])
    ledger.put([replace(QUERY, stage="baseline")])
    assert ledger.queries() == [QUERY, missing]
    assert [query.plausible for query in ledger.queries()] == [True, False]
    assert all(isinstance(query.plausible, bool) for query in ledger.queries())
    assert len(ledger.queries("baseline")) == 1
    assert len(ledger.all_queries()) == 3
    ledger.close()
    rows = sqlite3.connect(tmp_path / "ledger.db").execute("SELECT id, value, error FROM query WHERE stage='search'")
    assert sorted(rows.fetchall()) == [(0, -1.5, None), (1, None, "no answer")]


def test_parts_and_spread_are_read_back(tmp_path):
    told = replace(QUERY, spread=0.25, reward_violation=1.5, components={"größe": -3.25, "prompt_match": 0.1 + 0.2})
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.put([told, replace(QUERY, id=1)])
    assert ledger.queries() == [told, replace(QUERY, id=1)]
    assert [query.is_feasible(constrained=True) for query in ledger.queries()] == [False, True]
    ledger.close()
    (text,) = sqlite3.connect(tmp_path / "ledger.db").execute("SELECT parts FROM query WHERE id = 0").fetchone()
    assert text == '{"größe": -3.25, "prompt_match": 0.30000000000000004}'


@pytest.mark.parametrize("constrained", [True, False])
def test_a_winner_has_a_score_and_meets_what_is_required(constrained):
    assert QUERY.is_feasible(constrained=constrained)
    assert replace(QUERY, plausible=False, noise_violation=0.5).is_feasible(constrained=constrained) != constrained
    assert not replace(QUERY, plausible=False, perturbed=True).is_feasible(constrained=constrained)
    assert not replace(QUERY, reward_violation=0.1).is_feasible(constrained=constrained)
    assert not replace(QUERY, value=None).is_feasible(constrained=constrained)


def test_marks_of_a_row_are_read_back(tmp_path):
    rows = [replace(QUERY, id=0, perturbed=True), replace(QUERY, id=1, of_term=True)]
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.put(rows)
    assert ledger.queries() == rows
    assert all(isinstance(row.perturbed, bool) and isinstance(row.of_term, bool) for row in ledger.queries())


def test_a_beginning_that_is_set_aside_still_costs_and_is_not_replayed(tmp_path):
    failed = replace(QUERY, status="missing", value=None, cost=0.5)
    ledger = Ledger(tmp_path / "ledger.db")
    for _ in range(2):
        ledger.put(
            [failed, replace(failed, stage="search.part", of_term=True)], [PopulationRow("search", 0, 0, 1, "f")]
        )
        ledger.set_aside({})
    assert (ledger.queries(), ledger.populations(), ledger.artifacts()) == ([], [], [])
    stages = [row.stage for row in ledger.all_queries()]
    assert stages == [f"unscored.{number}.search{end}" for number in (1, 2) for end in ("", ".part")]
    assert sum(row.cost for row in ledger.all_queries()) == 2.0
    ledger.close()


def test_populations_artefacts_and_facts(tmp_path):
    population, artifact = (
        PopulationRow("search", 3, 48, 16, "f" * 64, 1.5),
        Artifact("a.png", "image", "b", "search", 2),
    )
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.put((), [population], [artifact])
    ledger.put((), [replace(population, seconds=2.5)])
    ledger.set({"config": {"queries": 5, "none": None}})
    ledger.close()
    ledger = Ledger(tmp_path / "ledger.db")
    assert ledger.populations() == [replace(population, seconds=2.5)]
    assert ledger.populations("baseline") == []
    assert ledger.artifacts() == [artifact]
    assert ledger.get("config") == {"queries": 5, "none": None}
    assert ledger.get("nothing") is None


def test_an_answer_replaces_the_question_and_a_repeat_stands_beside_it(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.put([replace(QUERY, status="asked", value=None, told=None, told_seq=None)])
    ledger.put([QUERY])
    ledger.put([replace(QUERY, repeat=1), replace(QUERY, rater="bo"), replace(QUERY, oracle="other")])
    assert len(ledger.queries()) == 4
    assert [query.status for query in ledger.queries()] == ["scored"] * 4


def test_all_of_a_population_is_kept_or_none(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.put([QUERY])

    def rows():
        yield replace(QUERY, id=1)
        raise KeyError("in the middle")

    with pytest.raises(KeyError):
        ledger.put(rows(), [PopulationRow("search", 0, 0, 2, "f")])
    ledger.put([replace(QUERY, id=2)])
    assert [query.id for query in ledger.queries()] == [0, 2]
    assert ledger.populations() == []


def test_the_file_can_be_read_while_it_is_written(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.put([QUERY])
    before = {path.name for path in tmp_path.iterdir()}
    assert Ledger(tmp_path / "ledger.db", read_only=True).queries() == [QUERY]
    assert {path.name for path in tmp_path.iterdir()} == before


def test_looking_leaves_no_trace(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.put([QUERY])
    ledger.close()
    assert Ledger(tmp_path / "ledger.db", read_only=True).queries() == [QUERY]
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.db"]


def test_readers_and_the_writer_do_not_stop_each_other(tmp_path):
    ledger, stop, seen = Ledger(tmp_path / "ledger.db", durable=True), threading.Event(), []

    def read():
        while not stop.is_set():
            seen.append(len(Ledger(tmp_path / "ledger.db", read_only=True).queries()))

    reader = threading.Thread(target=read)
    reader.start()
    for i in range(200):
        ledger.put([replace(QUERY, id=i)])
    stop.set()
    reader.join()
    assert seen == sorted(seen)
    assert len(ledger.queries()) == 200


def test_dear_answers_are_flushed_to_the_disk(tmp_path):
    def synchronous(ledger):
        return ledger._file.read("PRAGMA synchronous")[0][0]

    assert synchronous(Ledger(tmp_path / "dear.db", durable=True)) == 2  # FULL
    assert synchronous(Ledger(tmp_path / "free.db")) == 1  # NORMAL: a killed process loses nothing, a power cut may


def first_version(path):
    connection = sqlite3.connect(path)
    connection.executescript(MIGRATIONS[0] + "PRAGMA user_version = 1;")
    values = ("search", 0, 0, "a" * 64, "p", "jpeg_smaller", "1", "scored", -1.5, -1.5, -0.9, 1.0, 0.4, 1, None)
    connection.execute(f"INSERT INTO query VALUES ({', '.join('?' * 18)})", (*values, 0.1, 0.0, None))
    connection.commit()
    connection.close()


def second_version(path):
    connection = sqlite3.connect(path)
    connection.executescript(MIGRATIONS[0] + MIGRATIONS[1] + "PRAGMA user_version = 2;")
    row = dataclasses.astuple(QUERY)[:27]
    connection.execute(f"INSERT INTO query VALUES ({', '.join('?' * 27)})", row)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_a_ledger_of_the_second_version_is_brought_up_to_date(tmp_path, read_only):
    second_version(tmp_path / "ledger.db")
    before = (tmp_path / "ledger.db").read_bytes()
    assert Ledger(tmp_path / "ledger.db", read_only=read_only).queries() == [QUERY]
    assert ((tmp_path / "ledger.db").read_bytes() == before) == read_only
    assert Ledger(tmp_path / "ledger.db", read_only=read_only).queries() == [QUERY]


@pytest.mark.parametrize("read_only", [False, True])
def test_a_ledger_of_the_first_version_is_brought_up_to_date(tmp_path, read_only):
    first_version(tmp_path / "ledger.db")
    before = (tmp_path / "ledger.db").read_bytes()
    (query,) = Ledger(tmp_path / "ledger.db", read_only=read_only).queries()
    assert (query.oracle, query.value, query.repeat, query.attempts, query.told_seq) == (
        "jpeg_smaller",
        -1.5,
        0,
        1,
        None,
    )
    assert ((tmp_path / "ledger.db").read_bytes() == before) == read_only
    assert Ledger(tmp_path / "ledger.db", read_only=read_only).queries() == [query]


def fourth_version(path, rows):
    """Write rows as (stage, oracle, feasible, violation) into a ledger without the columns perturbed and of_term."""
    connection = sqlite3.connect(path)
    connection.executescript("".join(MIGRATIONS[:4]) + "PRAGMA user_version = 4;")
    same = {
        **dict.fromkeys(("repeat", "cached", "population", "attempts", "tokens"), 0),
        **dict.fromkeys(("value", "log_prob", "norm_ratio", "whiteness", "seconds", "cost"), 1.0),
        **dict.fromkeys(("rater", "image", "prompt", "version", "failures"), ""),
        "status": "scored",
    }
    columns = ", ".join(("stage", "id", "oracle", "feasible", "violation", *same))
    values = [(row[0], id_, *row[1:], *same.values()) for id_, row in enumerate(rows)]
    connection.executemany(f"INSERT INTO query ({columns}) VALUES ({', '.join('?' * (5 + len(same)))})", values)
    connection.commit()
    connection.close()


@pytest.mark.parametrize("read_only", [False, True])
def test_rows_of_the_fourth_version_are_marked_as_perturbed_and_as_of_a_term(tmp_path, read_only):
    rows = [
        ("search", "sum", 1, 0.0),
        ("search", "sum", 0, 0.5),
        ("search", "sum", 0, 0.0),
        ("search", "sum", 0, None),
        ("search.part", "hue", 1, 0.0),
        ("apart", "hue", 1, 0.0),
    ]
    fourth_version(tmp_path / "ledger.db", rows)
    found = sorted(Ledger(tmp_path / "ledger.db", read_only=read_only).all_queries(), key=lambda row: row.id)
    assert [row.perturbed for row in found] == [False, False, True, False, False, False]
    assert [row.of_term for row in found] == [False, False, False, False, True, False]


def test_a_migration_that_is_cut_short_leaves_the_old_version(tmp_path, monkeypatch):
    first_version(tmp_path / "ledger.db")
    monkeypatch.setattr(
        "zo_dno.storage.schema.MIGRATIONS", (*MIGRATIONS[:2], MIGRATIONS[2] + "INSERT INTO nowhere VALUES (1);")
    )
    with pytest.raises(StorageError):
        Ledger(tmp_path / "ledger.db")
    monkeypatch.undo()
    assert len(Ledger(tmp_path / "ledger.db").queries()) == 1


def test_a_ledger_of_the_future_is_refused(tmp_path):
    connection = sqlite3.connect(tmp_path / "ledger.db")
    connection.execute("PRAGMA user_version = 99")
    connection.commit()
    with pytest.raises(InputError, match=r"ledger has version 99; this zo-dno reads versions up to 5. Upgrade zo-dno."):
        Ledger(tmp_path / "ledger.db")


@pytest.mark.parametrize("read_only", [False, True])
@pytest.mark.parametrize("damage", ["garbage", "truncated", "overwritten"])
def test_a_damaged_file_is_named(tmp_path, damage, read_only):
    path = tmp_path / "ledger.db"
    ledger = Ledger(path)
    ledger.put([replace(QUERY, id=i) for i in range(500)])
    ledger.close()
    content = path.read_bytes()
    path.write_bytes(
        {
            "garbage": b"not a database at all, just some text" * 100,
            "truncated": content[: len(content) // 2],
            "overwritten": content[:8192] + b"\xff" * 8192 + content[16384:],
        }[damage]
    )
    spoilt = path.read_bytes()
    with pytest.raises(InputError, match="is damaged or no ledger"):
        Ledger(path, read_only=read_only)
    assert path.read_bytes() == spoilt
