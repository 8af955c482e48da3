"""Rating in a notebook's cell: clicks without a browser, and a real search in its thread."""

import json
import sys

import ipywidgets
import pytest
import torch

import zo_dno
from tests.rewards.test_human import number_of, rated_run, reward
from tests.support.kernel import kernel
from tests.support.toys import ToyGenerator
from tests.support.widget import buttons, images, parts, rate, rate_all, until, words
from zo_dno.errors import InputError, RunError
from zo_dno.judges.distance_ladder import chosen_distance
from zo_dno.judges.rating_store import RATINGS, RatingStore
from zo_dno.judges.rating_tasks import SKIPPED
from zo_dno.storage.images import png_bytes
from zo_dno.storage.signature import SIGNATURE
from zo_dno.ui.rating_widget import RatingWidget

SMALL = {"queries": 16, "strategy_options": {"population": 8}}


def started(mode, generator=None, **options):
    return zo_dno.RatingCell(
        generator or ToyGenerator(), reward=reward(mode), **{"strategy": "snes", **SMALL, **options}
    )


def best_of(task):
    ranked = sorted(task.shown, key=number_of, reverse=True)
    return {"rate": number_of(task.shown[0]) % 11, "rank": ranked}.get(task.mode, ranked[0])


@pytest.mark.parametrize("mode", ["rate", "compare", "best", "rank"])
@pytest.mark.fast_cases(1)
def test_the_same_ratings_give_the_same_run_as_on_the_page(mode, tmp_path):
    """Page and widget share the store, and the search does not know which of them showed the tasks."""
    run = started(mode, out=tmp_path / "here")
    clicks = rate_all(run, best_of)
    other = rated_run(tmp_path / "there", best_of, reward(mode))
    result = run.result
    assert [row.value for row in result.history] == [row.value for row in other.history]
    assert result.best.z.equal(other.best.z)
    assert (result.status, result.queries) == ("finished", 16)
    assert clicks == len(RatingStore(tmp_path / "here" / RATINGS).ratings())
    assert "Finished" in words(run.widget)
    assert images(run.widget) == [png_bytes(result.first_image), png_bytes(result.best_image)]


def test_a_skipped_image_is_missing():
    run = started("rate", queries=8)
    rate_all(run, lambda task: SKIPPED if number_of(task.shown[0]) % 2 else 5.0)
    missing = [row for row in run.result.history if row.value is None]
    assert 0 < len(missing) < 8
    assert {row.kind for row in missing} == {"skipped"}


def test_a_task_is_shown_rated_and_undone(tmp_path):
    run = started("compare", out=tmp_path / "run")
    until(lambda: "Which is better?" in words(run.widget))
    assert "about 18 clicks left" in words(run.widget)
    assert "“a toy”" in words(run.widget)
    store, first = RatingStore(tmp_path / "run" / RATINGS), run._view._task
    assert images(run.widget) == [store.png(name) for name in first.shown]
    buttons(run.widget)["2"].click()
    assert "about 17 clicks left" in words(run.widget)
    assert len(store.ratings()) == 1
    assert run._view._task != first
    buttons(run.widget)["Undo"].click()
    assert (run._view._task, len(store.ratings())) == (first, 0)
    buttons(run.widget)["Undo"].click()
    assert "There is nothing to undo" in words(run.widget)
    assert run._view._task == first
    with pytest.raises(RunError, match="The search is not over: about 18 clicks left. Rate the images"):
        _ = run.result
    run.stop()


def test_a_double_click_is_one_rating(tmp_path):
    """The second click comes when the next task is shown, and does not rate it."""
    run = started("compare", out=tmp_path / "run")
    store = RatingStore(tmp_path / "run" / RATINGS)
    until(lambda: "1" in buttons(run.widget))
    for name, counts in (("1", [1, 1]), ("Skip", [2, 2]), ("Undo", [1, 1])):
        button = buttons(run.widget)[name]
        for count in counts:
            button.click()
            assert len(store.ratings()) == count
    run.stop()


def test_a_ranking_can_be_changed_before_it_is_sent():
    run = started("rank")
    until(lambda: "Send this order" in buttons(run.widget))
    places = [part for part in parts(run.widget) if isinstance(part, ipywidgets.Button)][:4]
    send = buttons(run.widget)["Send this order"]
    assert send.disabled
    for click in (2, 0, 0, 1, 0):  # the second click on 0 removes its place
        places[click].click()
    assert [one.description for one in places] == ["3", "2", "1", "4"]
    assert not send.disabled
    run.stop()


def test_a_distance_is_chosen_before_the_search_by_the_button_of_its_row():
    run = started("like", near=[torch.randn(48, generator=torch.Generator().manual_seed(1))], distance="ask")
    until(lambda: "Distance 0.4" in buttons(run.widget))
    assert len(images(run.widget)) == 15
    assert "How far may the search go from what you like?" in words(run.widget)
    buttons(run.widget)["Distance 0.4"].click()
    until(lambda: "None of them" in buttons(run.widget))
    assert chosen_distance(run._view._store) == 0.4
    run.stop()


def test_any_number_can_be_marked_and_none_too():
    run = started("like")
    until(lambda: "None of them" in buttons(run.widget))
    task = run._view._task
    places = [part for part in parts(run.widget) if isinstance(part, ipywidgets.Button)][:4]
    send = buttons(run.widget)["None of them"]
    for click in (2, 0, 3, 3):  # the second click takes a mark back
        places[click].click()
    assert [one.description for one in places] == ["liked", "-", "liked", "-"]
    assert (send.description, send.disabled) == ("Send what is liked", False)
    send.click()
    assert [one.order.ranked for one in run._view._store.ratings()] == [task.shown[:3:2]]
    buttons(run.widget)["None of them"].click()
    assert run._view._store.ratings()[-1].order.ranked == ()
    run.stop()


@pytest.mark.slow
def test_a_stopped_run_is_resumed_and_no_task_is_shown_twice(tmp_path):
    whole = started("compare", out=tmp_path / "whole")
    asked = rate_all(whole, best_of)
    run, folder = started("compare", out=tmp_path / "run"), tmp_path / "run"
    for clicks in range(11):  # 8 of the first population, 3 of the second
        until(lambda: run._view._task is not None and "1" in buttons(run.widget))
        assert len(RatingStore(folder / RATINGS).ratings()) == clicks
        rate(run, run._view._task, best_of(run._view._task))
    buttons(run.widget)["Stop"].click()
    until(lambda: not run.running)
    result = run.result
    run.stop()
    assert (result.status, result.queries) == ("interrupted", 8)
    assert "Stopped" in words(run.widget)
    run = zo_dno.RatingCell(folder, generator=ToyGenerator())
    assert rate_all(run, best_of) == asked - 11
    assert [row.value for row in run.result.history] == [row.value for row in whole.result.history]
    assert run.result.best.z.equal(whole.result.best.z)
    assert RatingStore(folder / RATINGS).names() == {"notebook": "notebook"}


def test_others_rate_the_same_run_meanwhile(tmp_path):
    run = started("compare", out=tmp_path / "run", rater="ada")
    store = RatingStore(tmp_path / "run" / RATINGS)
    store.greet("bob", "Bob")
    until(lambda: "1" in buttons(run.widget))
    mine = run._view._task
    while (task := store.next_task("bob")) is not None and task != mine:
        store.rate("bob", task.id, best_of(task))
    until(lambda: "about 11 clicks left" in words(run.widget))
    assert run._view._task == mine
    store.rate("bob", mine.id, best_of(mine))
    until(lambda: "10 clicks left" in words(run.widget) and "about" not in words(run.widget))
    assert run._view._task is not None
    buttons(run.widget)["1"].click()
    assert sorted(store.names().values()) == ["Bob", "ada"]
    assert {one.rater for one in store.ratings()} == {"ada", "bob"}
    run.stop()


def test_a_rating_that_comes_too_late_shows_a_message(tmp_path):
    run = started("compare", out=tmp_path / "run")
    store = RatingStore(tmp_path / "run" / RATINGS)
    until(lambda: "1" in buttons(run.widget))
    with run._view._lock:  # the widget does not look before the click
        while (task := store.next_task("bob")) is not None:
            store.rate("bob", task.id, best_of(task))
        until(lambda: not store.open_tasks(0, "somebody"))
        buttons(run.widget)["1"].click()
        assert "The search has continued without this rating" in words(run.widget)
    until(lambda: "10 clicks left" in words(run.widget) and "about" not in words(run.widget))
    run.stop()


def test_a_prompt_stays_text():
    evil = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    generator = ToyGenerator()
    generator.prompt = evil
    run = started("best", generator)
    until(lambda: "Which is the best?" in words(run.widget))
    assert evil not in words(run.widget)
    assert "&lt;script&gt;" in words(run.widget)
    run.stop()


def test_a_combination_with_people():
    steps = []
    options = {
        "parts": {
            "human": {"weight": 1, "options": {"mode": "rate", "patience": 0, "repeats": 0, "duel": 0}},
            "brightness": 1,
        }
    }
    run = zo_dno.RatingCell(
        ToyGenerator(),
        reward="product",
        reward_options=options,
        queries=8,
        on_step=steps.append,
        strategy_options={"population": 8},
    )
    rate_all(run, lambda task: 4.0)
    result = run.result
    assert all(row.value == pytest.approx(4 * row.components["brightness"]) for row in result.history)
    assert len(steps) == 1


def bright(images, prompts):
    return [float(image.getpixel((0, 0))[0]) for image in images]


def test_a_folder_of_another_user_is_resumed_where_it_is_trusted(tmp_path):
    people = {"weight": 1, "options": {"mode": "rate", "patience": 0, "repeats": 0, "duel": 0}}
    options = {"parts": {"human": people, f"{__name__}:bright": 1}}
    run = zo_dno.RatingCell(
        ToyGenerator(), reward="product", reward_options=options, out=tmp_path / "run", queries=4, strategy="snes"
    )
    rate_all(run, lambda task: 4.0)
    (tmp_path / "run" / SIGNATURE).unlink()
    with pytest.raises(InputError, match=r"was not written by you on this machine, .* \(trust=True\)"):
        zo_dno.RatingCell(tmp_path / "run", generator=ToyGenerator())
    run = zo_dno.RatingCell(tmp_path / "run", generator=ToyGenerator(), trust=True)
    rate_all(run, lambda task: 4.0)
    assert run.result.queries == 4


def test_an_error_of_the_search_is_shown_and_raised():
    calls = []

    def drawn(z):
        calls.append(len(z))
        if len(calls) > 3:  # two are the trial of the generator
            raise ArithmeticError("no room for <b>more</b> images")
        return ToyGenerator()(z)

    run = started("rate", zo_dno.FunctionGenerator(drawn, (48,)))
    rate_all(run, lambda task: 5.0)
    assert "no room for &lt;b&gt;more&lt;/b&gt; images" in words(run.widget)
    for _ in range(2):
        with pytest.raises(ArithmeticError, match="no room for"):
            _ = run.result


def test_options_that_do_not_fit_are_refused_before_the_run(tmp_path, monkeypatch):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    for arguments, options, message in (
        (
            (ToyGenerator(),),
            {"reward": "brightness"},
            "reward must be human, or a combination with it once; 'brightness' has it 0",
        ),
        ((tmp_path / "nothing",), {}, "run must be the folder of a run"),
        ((ToyGenerator(),), {"out": tmp_path / "used"}, "out must be a new folder"),
        ((ToyGenerator(),), {"strategy": "sness"}, "Did you mean 'snes'"),
        ((ToyGenerator(),), {"reward_options": {"mode": "x"}}, "human option 'mode' does not fit"),
    ):
        with pytest.raises(InputError, match=message):
            zo_dno.RatingCell(*arguments, **options)
    with pytest.raises(InputError, match="option 'querys' is unknown"):
        zo_dno.RatingCell(ToyGenerator(), querys=4)
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    with pytest.raises(
        InputError, match=r"ipywidgets must be installed to rate in a cell: pip install 'zo-dno\[notebooks\]'"
    ):
        zo_dno.RatingCell(ToyGenerator(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_old_widgets_are_closed():
    """Hours of clicking leave as many widgets as a minute."""
    from ipywidgets.widgets.widget import _instances

    view, store = RatingWidget("ada"), RatingStore(None)
    png = b"\x89PNG"
    store.post([("a", png), ("b", png)], "", [("compare", ("a", "b"))] * 40)
    let_go = view.show(store)
    counts = []
    for _ in range(30):
        until(lambda: "1" in buttons(view.box))
        buttons(view.box)["1"].click()
        counts.append(len(_instances))
    let_go()
    assert counts[-1] == counts[9]


def test_a_config_that_the_widget_made_is_that_of_the_page(tmp_path):
    """Resumed from the command line, the run has its page."""
    run = zo_dno.RatingCell(ToyGenerator(), reward_options={"mode": "compare"}, out=tmp_path / "run", **SMALL)
    until(lambda: "1" in buttons(run.widget))
    run.stop()
    config = (tmp_path / "run" / "config.yaml").read_text()
    assert "reward: human" in config
    assert "serve: false" not in config


CELLS = """
import zo_dno
from tests.support.toys import ToyGenerator
from tests.support.widget import buttons
run = zo_dno.RatingCell(ToyGenerator(), queries=8, reward_options={"patience": 0}, strategy_options={"population": 4})
run
---
import json, time
while "1" not in buttons(run.widget):
    time.sleep(0.01)
print(json.dumps([buttons(run.widget)["1"].model_id, len(run._view._store.ratings())]))
"""


@pytest.mark.slow
def test_clicks_in_a_real_kernel():
    """The kernel is idle between cells, and clicks come as a browser would send them."""
    begin, look = CELLS.split("---")
    with kernel() as notebook:
        notebook.run(begin)
        (shown,) = notebook.shown
        assert "application/vnd.jupyter.widget-view+json" in shown
        for clicks in range(3):
            notebook.printed = ""
            notebook.run(look)
            button, counted = json.loads(notebook.printed)
            assert counted == clicks
            notebook.click(button)
        notebook.run("from tests.support.widget import until; until(lambda: not run.running); print(run.result.status)")
        assert notebook.printed.endswith("finished\n")
