"""A run in a folder, as its raters see it."""

import json
import os

from tests.rewards.test_human import number_of, rated_run, reward
from zo_dno.judges.rated_run import Plan
from zo_dno.judges.rating_store import RATINGS, RatingStore
from zo_dno.results.rated_folder import RatedFolder


def changed(folder, **values):
    """Write other values into a result, and return what raters see then."""
    file = folder / "result.json"
    result = json.loads(file.read_text())
    for name, value in values.items():
        at = result["best"] if name in ("reward", "error") else result
        at[name] = value
    before = file.stat().st_mtime_ns
    file.write_text(json.dumps(result))
    os.utime(file, ns=(before, before + 1_000_000))
    return RatedFolder(folder).end()


def test_what_raters_see_of_a_run(tmp_path):
    folder = tmp_path / "a run"
    assert (RatedFolder(folder).plan(), RatedFolder(folder).end()) == (None, None)
    result = rated_run(folder, lambda task: max(task.shown, key=number_of), reward("compare"), queries=8)
    run = RatedFolder(folder)
    assert (run.plan(), run.is_searching()) == (Plan(8, exact=True), False)
    end = run.end()
    assert end is run.end()  # it is read once
    assert (end.title, end.prompt) == ("The search has finished", "a toy")
    assert end.resume == f"zo-dno resume '{folder}' --queries 16"
    assert end.near == ""  # by snes, whose options may not fit
    config = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(config.replace("strategy: snes", "strategy: auto"))
    nearer = f"zo-dno run '{folder}/config.yaml' --near '{folder}' --distance ask --out '{folder}-near'"
    assert RatedFolder(folder).end().near == nearer
    assert (end.first_png, end.best_png) == tuple((folder / f"{name}.png").read_bytes() for name in ("first", "best"))
    store = RatingStore(folder / RATINGS)
    assert store.first_and_best()[0][0] == end.first
    assert end.best == result.best.sha256 in store.scores()
    assert end.words == (
        "Whether there is more than luck behind this was not measured: the winner of many is in part lucky.",
    )
    assert changed(folder, evidence=0.5).words == (
        "8 choices, which the search did not predict clearly better than chance: by that alone, they may be random "
        "clicks.",
    )
    learned = changed(folder, evidence=9.0, reward=1.5, error=0.6).words
    assert "it has learned what is liked" in learned[0]
    assert "in about 71 to 89 of 100 choices (within one standard error)" in learned[1]
    stopped = changed(folder, status="interrupted", choices=0)
    assert (stopped.title, stopped.words) == ("The search was stopped", ())
    assert stopped.resume == f"zo-dno resume '{folder}'"
    (folder / "best.png").write_bytes(b"damaged")
    (folder / "first.png").unlink()
    assert RatedFolder(folder).end() is None
