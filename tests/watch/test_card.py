"""Cards of runs: what they show while a run is in progress, and once it is over."""

import json
import shutil

from tests.support.rating import FILES, NAMES
from tests.watch.conftest import HOSTILE
from zo_dno.judges.rating_store import RATINGS, RatingStore
from zo_dno.storage.run_folder import RunFolder
from zo_dno.watch.card import card_of
from zo_dno.watch.curve import curve_of
from zo_dno.watch.found import find, members
from zo_dno.watch.group import group_of


def files_of(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_hacked_reward_is_told_in_words(runs):
    before = files_of(runs)
    card = card_of(runs / "hacked")
    assert (card.state, card.tone, card.completed, card.planned) == ("finished", "good", 32, 32)
    assert card.best > card.first
    result = json.loads((runs / "hacked" / "result.json").read_text())
    lost = result["held_out"]["even"]
    assert card.has_lost
    assert f"even (held out) fell from {lost['first']:.4g} to {lost['best']:.4g}" in card.warnings[0]
    facts = dict(card.facts)
    assert "lost more than 10%" in facts["Held out"]
    assert facts["Noise"].startswith("the best is plausible (log P ")
    assert [picture.sha256 for picture in card.pictures][-1] == result["best"]["image"]
    assert card.title == " ".join(HOSTILE.replace("\N{RIGHT-TO-LEFT OVERRIDE}", "").split())
    assert files_of(runs) == before


def test_a_failed_run_says_why_and_a_stopped_one_what_is_left(runs):
    failed, stopped = card_of(runs / "failed"), card_of(runs / "stopped")
    assert (failed.state, failed.tone, failed.is_resumable) == ("failed", "bad", True)
    assert "No query got a score" in failed.warnings[0]
    assert "x ValueError" in dict(failed.facts)["Failures"]
    assert "<b>no model</b> at this address" in dict(failed.facts)["Failures"]
    assert stopped.is_resumable
    spent = stopped.completed * 0.01
    assert dict(stopped.facts)["Money"].startswith(f"at most {spent:.4g} spent, {2 - spent:.4g} left of 2")


def test_a_run_in_progress_tells_its_rate_queries_in_flight_and_raters(runs):
    folder = runs / "stopped"
    store = RatingStore(folder / RATINGS)
    store.post(FILES.items(), "", [("rate", (name,)) for name in NAMES[:4]])
    store.greet("a", "<i>Ada</i>")
    store.rate("a", store.next_task("a").id, 7.0)
    with RunFolder(folder, new=False):
        card = card_of(folder)
    store.close()
    facts = dict(card.facts)
    assert (card.state, card.tone, card.is_resumable) == ("in progress", "live", False)
    assert "left" in facts["Time"]
    assert (
        facts["Raters"] == "1 of 4 ratings given in this population; at work in the last 2 min: <i>Ada</i> (1 in all)"
    )
    assert card.pictures[1].label == "best so far"


def test_a_damaged_run_and_one_that_has_just_begun_have_cards(runs):
    (runs / "hacked" / "ledger.db").write_bytes(b"no ledger")
    (runs / "failed" / "ledger.db").unlink()
    damaged = card_of(runs / "hacked")
    assert (damaged.state, damaged.tone) == ("unreadable", "bad")
    assert "ledger" in damaged.warnings[0]
    with RunFolder(runs / "failed", new=False):
        assert card_of(runs / "failed").state == "starting"
    assert card_of(runs / "failed").state == "stopped"
    assert card_of(runs / "nowhere").state == "unreadable"


def test_the_curve_rises_with_feasible_scores_alone(made):
    rows = card_of(made / "hacked").curve
    assert rows.best.startswith("M10.0 ")
    assert rows.queries == 32
    heights = [float(part.split("H")[0]) for part in rows.best.split("V")[1:]]
    assert heights == sorted(heights, reverse=True)
    assert heights[-1] == 10
    assert curve_of([], 8, constrained=True) is None


def test_folders_are_found_newest_first_and_a_group_stands_for_its_runs(runs, tmp_path):
    group = tmp_path / "runs" / "compared"
    shutil.copytree(runs / "hacked", group / "runs" / "0000-a")
    shutil.copytree(runs / "failed", group / "runs" / "0001-b")
    (group / "comparison.yaml").write_text("strategies: [snes]\n")
    (tmp_path / "runs" / "link").symlink_to(runs / "hacked")
    found = find([tmp_path / "runs"])
    assert found[0].folder.name == "compared"
    assert {one.folder.name for one in found} == {"compared", "hacked", "failed", "stopped"}
    inside = members(found[0])
    assert [one.folder.name for one in inside] == ["0000-a", "0001-b"]
    shown = group_of("comparison", [card_of(one.folder) for one in inside])
    assert dict(shown.states) == {"finished": 1, "failed": 1}
    assert [line.lost for line in shown.lines] == [1, 0]
    assert "In 1 of 2 runs the winner lost" in shown.warnings[0]
    assert (shown.state, shown.over, shown.is_resumable) == ("stopped", 2, True)  # the failed one is tried again
