"""First draws of a surrogate: half of few queries, and in runs of older rules as many as they began with."""

import pytest

import zo_dno
from zo_dno.generators.imported import imported_generator
from zo_dno.run import manifest

OPTIONS = {"inner": "images", "renders": 2, "population": 4, "features": ["colours"]}


def generator():
    return imported_generator("tests.support.toys:prompted", "sea at day", 8, {})


def search(queries, options=OPTIONS, **given):
    return zo_dno.optimize(
        generator(), "brightness", "surrogate", queries=queries, seed=3, threads=1, strategy_options=options, **given
    )


def first_draws(result):
    return [row.population for row in result.history].count(0)


@pytest.mark.parametrize(
    ("queries", "options", "first"), [(32, {}, 16), (20, {}, 8), (6, {}, 3), (20, {"first": 5}, 5)]
)
def test_few_queries_begin_with_fewer_prior_draws(queries, options, first):
    assert first_draws(search(queries, OPTIONS | options)) == first


def test_a_run_of_older_rules_resumes_as_it_began(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(manifest, "_NEWEST", 3)
        whole = search(20)
        begun = search(17, horizon=20, out=tmp_path / "run")
    assert first_draws(begun) == 16
    resumed = zo_dno.resume(tmp_path / "run", queries=20, generator=generator())
    assert [row.value for row in resumed.history] == [row.value for row in whole.history]
