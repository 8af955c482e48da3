"""What the end of a rated run says is true: of random clicks, of a careful rater, and of two who disagree."""

import html
import io
import re
import threading
import time
from contextlib import suppress
from math import comb

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from playwright.sync_api import Error as PlaywrightError
from playwright.sync_api import expect

import zo_dno
from tests.support.browser import PHONE, chromium, tab
from tests.support.rating import TOKEN
from tests.support.toys import ToyGenerator
from zo_dno.judges.rating_store import RATINGS, RatingStore
from zo_dno.judges.rating_tasks import RatingError
from zo_dno.results.rated_folder import RatedFolder
from zo_dno.rewards.human import Human
from zo_dno.rng import numpy_stream
from zo_dno.web.rating_page import page_app

OPTIONS = {"queries": 56, "horizon": 56, "threads": 1, "strategy_options": {"renders": 4}}


class Rater(threading.Thread):
    """Answers tasks by the brightness of images, and keeps a log of what was shown and chosen.

    Args:
        store: Ratings of the run.
        name: Name of the rater.
        likes: Function of brightnesses that returns the place of the chosen image.
    """

    def __init__(self, store, name, likes):
        super().__init__(daemon=True)
        self.name, self.log, self.ended, self._store, self._likes = name, [], threading.Event(), store, likes
        store.greet(name, name)

    def run(self):
        while not self.ended.wait(0.002):
            if (task := self._store.next_task(self.name)) is None:
                continue
            bright = [float(np.asarray(Image.open(io.BytesIO(self._store.png(name)))).mean()) for name in task.shown]
            chosen = task.shown[self._likes(bright)]
            with suppress(RatingError):  # another rater was faster
                self._store.rate(self.name, task.id, chosen)
                self.log.append((task.mode, frozenset(task.shown), chosen))

    def repeats(self):
        """Count, from the log alone, how many answers to a task of the search were the same again, and all of them."""
        given, same = {}, []
        for mode, shown, chosen in self.log:
            if mode == "best":
                same += [given[shown] == chosen] if shown in given else []
                given[shown] = chosen
        return sum(same), len(same)


def rated(folder, seed, **likes):
    """Carry out a run. Returns its result, the raters, and the sentences of the page's end."""
    raters = []

    def show(store):
        raters.extend(Rater(store, name, like) for name, like in likes.items())
        for one in raters:
            one.start()

        def end():
            for one in raters:
                one.ended.set()
                one.join()

        return end

    reward = Human(patience=0, repeats=0.4)
    reward.show = show
    result = zo_dno.optimize(ToyGenerator(), reward, "surrogate", out=folder, seed=seed, **OPTIONS)
    page = TestClient(page_app(RatingStore(folder / RATINGS), TOKEN, RatedFolder(folder)), base_url="http://127.0.0.1")
    shown = page.get("/", params={"token": TOKEN}).text
    return result, raters, [html.unescape(one) for one in re.findall(r"<li>(.+?)</li>", shown)]


def check_counts(result, raters, said):
    """Compare every number of the sentences with the raters' own logs."""
    best, first = result.best.sha256, result.first.sha256
    log = [one for rater in raters for one in rater.log]
    compared = [(shown - {best}, chosen == best) for mode, shown, chosen in log if mode == "compare"]
    against = {
        rival: [won for others, won in compared if (first in others) is is_first]
        for rival, is_first in (("the first one", True), ("the second best", False))
    }
    duels = {rival: won for rival, won in against.items() if won}  # the first one is no rival of itself
    assert ("the first one" in duels) == (best != first)
    told = " and ".join(f"to {rival} in {sum(won)} of {len(won)}" for rival, won in duels.items())
    luck = " and ".join(f"{100 * sum(comb(4, n) for n in range(sum(won), 5)) / 16:.0f}" for won in duels.values())
    assert f"the best image was preferred {told}; random clicks do as well in {luck} of 100 cases" in said[0]
    searched = [one for one in log if one[0] == "best"]
    once = {
        (shown, rater.name): chosen for rater in raters for mode, shown, chosen in reversed(rater.log) if mode == "best"
    }
    with_best = [chosen == best for (shown, _), chosen in once.items() if best in shown]
    assert f"The best image was preferred in {sum(with_best)} of {len(with_best)} choice" in said[1]
    assert len(searched) == len(once) + sum(rater.repeats()[1] for rater in raters)
    for rater in raters:
        same, of = rater.repeats()
        who = rf"(The rater|You|{rater.name})"
        if of:
            assert any(
                re.match(rf"{who} gave the same answer in {same} of {of} repeats?; chance alone gives", one)
                for one in said
            )
    assert result.raters["words"][0] == said[0]
    unnamed = [{re.sub(r"^(The rater|ada|bob) ", "", one) for one in words} for words in (result.raters["words"], said)]
    assert unnamed[0] <= unnamed[1]


def flipping(rng, like, flipped):
    """Return a function like another, of which a share of the answers is another image."""

    def choose(bright):
        place = like(bright)
        return int((place + rng.integers(1, len(bright))) % len(bright)) if rng.random() < flipped else place

    return choose


def is_learned(said):
    return any("it has learned what is liked" in one for one in said)


@pytest.mark.slow
@pytest.mark.browser
def test_a_run_is_rated_to_its_end_in_a_browser(tmp_path):
    """Marks, hidden repeats, a closing duel with an undone choice, and the end, on the run's own page."""
    reward, found = Human(mode="like", patience=0.5, repeats=0.4, duel=2), []
    options = {"queries": 24, "threads": 1, "strategy_options": {"population": 8}, "out": tmp_path / "run"}
    search = threading.Thread(
        target=lambda: found.append(zo_dno.optimize(ToyGenerator(), reward, "snes", **options)), daemon=True
    )
    search.start()
    while not reward.link:
        time.sleep(0.02)
    with chromium() as browser, tab(browser, reward.link, PHONE) as rater:
        undone = False
        while not rater.get_by_role("heading", name="The search has finished").is_visible():
            with suppress(PlaywrightError, AssertionError):  # the page follows the search meanwhile
                task = rater.locator("[name=task]").get_attribute("value", timeout=1000)
                in_duel = rater.get_by_text("to check the winner").is_visible()
                rater.get_by_alt_text("image 1", exact=True).click(timeout=20_000)
                if rater.locator("body").get_attribute("data-mode") == "like":
                    rater.get_by_role("button", name="Send 1 liked").click(timeout=20_000)
                expect(rater.locator(f'[name=task][value="{task}"]')).to_have_count(0, timeout=20_000)
                if in_duel and not undone:
                    rater.get_by_role("button", name="Undo").click(timeout=20_000)
                    expect(rater.locator(f'[name=task][value="{task}"]')).to_have_count(1, timeout=20_000)
                    undone = True
        expect(rater.get_by_text("In fresh choices after the search, the best image was preferred")).to_be_visible()
        expect(rater.get_by_text(re.compile("You marked .* images the same way again; chance alone"))).to_be_visible()
        expect(rater.get_by_role("link", name="Download the best image")).to_be_visible()
    search.join()
    (result,) = found
    assert undone
    assert [duel["of"] for duel in result.raters["duels"]] == [2, 2]
    assert result.raters["repeats"][0]["kind"] == "like"


@pytest.mark.slow
def test_random_clicks(tmp_path):
    learned = wins = agreed = 0
    for seed in range(6):
        rng = numpy_stream(seed, "clicks")
        result, raters, said = rated(
            tmp_path / str(seed), seed, ada=lambda bright, rng=rng: int(rng.integers(len(bright)))
        )
        check_counts(result, raters, said)
        learned += is_learned(said)
        agreed += not any("random clicks." in one or "could be luck" in one for one in said if "repeat" in one)
        wins += any(duel["luck"] < 0.05 for duel in result.raters["duels"])
        if not is_learned(said):
            assert any("by that alone, they may be random clicks" in one for one in said)
    assert (learned, wins) == (0, 0)
    assert agreed <= 1


@pytest.mark.slow
def test_a_careful_rater(tmp_path):
    """One choice in ten is another image."""
    won = []
    for seed in range(3):
        rng = numpy_stream(seed, "clicks")
        result, raters, said = rated(
            tmp_path / str(seed), seed, ada=flipping(rng, lambda bright: int(np.argmax(bright)), 0.1)
        )
        check_counts(result, raters, said)
        (repeats,) = result.raters["repeats"]
        assert repeats["luck"] < 0.05
        assert not any("cannot be told from random" in one for one in said)
        won += [duel["won"] for duel in result.raters["duels"] if duel["is_first"]]
        assert float(result.best.image.mean()) > float(result.first.image.mean())
    assert sum(won) >= 9  # of 12


@pytest.mark.slow
def test_two_raters_who_disagree(tmp_path):
    """Each agrees with themself, and the end says that they do not agree with each other."""
    reward_of = {"ada": lambda bright: int(np.argmax(bright)), "bob": lambda bright: int(np.argmin(bright))}
    result, raters, said = rated(tmp_path / "run", 1, **reward_of)
    check_counts(result, raters, said)
    assert len(raters) == 2
    assert all(rater.log for rater in raters)
    for repeats in result.raters["repeats"]:
        assert repeats["same"] == repeats["of"]
    assert {one["rater"] for one in result.raters["repeats"]} <= {"ada", "bob"}
    shared = [one for one in said if one.startswith("The raters agree on")]
    if shared:
        agree, pairs = map(int, re.search(r"agree on (\d+) of (\d+) pairs", shared[0]).groups())
        assert agree < pairs
