import sqlite3
from dataclasses import replace

import pytest

from zo_dno.ledger import Ledger, Query

QUERY = Query(
    stage="search",
    id=0,
    population=0,
    image="a" * 64,
    prompt='a "quoted" prompt; it\'s here',
    reward="jpeg_smaller",
    reward_version="1",
    status="scored",
    value=-1.5,
    told=-1.5,
    log_prob=-0.9,
    norm_ratio=1.0,
    whiteness=0.4,
    feasible=True,
    error=None,
    seconds=0.001,
    cost=0.0,
    raw=None,
)


def test_what_is_written_is_read_back(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    missing = replace(QUERY, id=1, status="missing", value=None, told=None, feasible=False, error="no answer")
    ledger.append([missing, QUERY])
    ledger.append([replace(QUERY, stage="baseline")])
    assert ledger.queries() == [QUERY, missing]
    assert [query.feasible for query in ledger.queries()] == [True, False]
    assert all(isinstance(query.feasible, bool) for query in ledger.queries())
    assert len(ledger.queries("baseline")) == 1
    ledger.close()
    rows = sqlite3.connect(tmp_path / "ledger.db").execute("SELECT id, value, error FROM query WHERE stage='search'")
    assert sorted(rows.fetchall()) == [(0, -1.5, None), (1, None, "no answer")]


def test_all_of_a_population_is_kept_or_none(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.append([QUERY])
    with pytest.raises(sqlite3.IntegrityError):
        ledger.append([replace(QUERY, id=1), QUERY])
    ledger.append([replace(QUERY, id=2)])
    assert [query.id for query in ledger.queries()] == [0, 2]


def test_the_file_can_be_read_while_it_is_written(tmp_path):
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.append([QUERY])
    assert Ledger(tmp_path / "ledger.db").queries() == [QUERY]
