"""The `human` reward: scores from ratings that people give on a web page."""

import asyncio
import logging
import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

import numpy as np

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.ipython import in_notebook
from zo_dno.judges.closing_duel import duels, hold_duel, what_duels_say
from zo_dno.judges.distance_ladder import ask_distance, chosen_distance, what_ladder_says
from zo_dno.judges.plackett_luce import groups, overall, placed, spread_out
from zo_dno.judges.rating_store import RATINGS, RatingStore
from zo_dno.judges.rating_tasks import Mode, Rating
from zo_dno.judges.self_agreement import in_sentences, self_agreement
from zo_dno.reward import Reward
from zo_dno.rng import numpy_stream
from zo_dno.storage.images import image_hash, png_bytes
from zo_dno.types import Order, Score

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

_SHOWN_TOGETHER = {"rate": 1, "compare": 2, "best": 4, "rank": 4, "like": 4}
_ROUNDS = {
    "rate": 1,
    "compare": 2,
    "best": 1,
    "rank": 1,
    "like": 1,
}  # more rounds searched better by query, and worse by click
_KEPT = 16  # images that can be shown again
_MOST_REPEATS = 0.5  # as a share of a rater's tasks
_POLL = 0.1  # seconds between checks whether a rating round is complete


@dataclass
class Human(Reward):
    """People's ratings on a web page: a number from 0 to 10, or log-odds against the first image.

    All images of a population make one rating round. The search continues once the round is complete, even days later.
    Every rating is on the disk before the page confirms it; `zo-dno rate RUN` serves the page of a run again. At the
    end, open pages show the first and the best image, for which the run waits some seconds.

    In the modes that compare, scores are the strengths of a Plackett-Luce (for two images, Bradley-Terry) model. The
    first image has strength 0. Images of earlier populations are shown again as anchors, whose scores stay fixed; the
    best one by all choices so far is in every task of three images or more.

    Args:
        mode: Kind of rating: "rate" every image from 0 to 10, "compare" two, pick the "best" of several, "rank"
            several, or mark all of several that one may "like", none too.
        together: Number of images in one task; by default 2 to compare and 4 in the other modes of several.
        rounds: Number of tasks that show an image; by default 2 to compare, else 1.
        votes: Number of ratings of each task, each by another rater.
        anchors: Number of images of earlier populations that are compared with the new ones.
        repeats: Number of hidden repeats for each task: an earlier one is shown again, in another order, which measures
            how often raters agree with themselves. The search does not see these answers.
        duel: Number of fresh choices after the search between the best image and the first one, and as many between it
            and the second best; 0 for none. They are waited for only while there is a rater.
        patience: Seconds after the last rating of a population in which it can still be undone.
        serve: Whether the search's own process serves the page; in a notebook it opens in the cell.
        port: Port of the page; 0 takes any free one.
        public_url: Address by which browsers reach the page through a proxy, such as https://example.org/rate/.
        host: Address that the page is served on; any but loopback admits other machines that have the link's token.
    Attributes:
        link: Address of the page with its token, while it is served.
        show: Function that shows the tasks in place of a page, and returns a function that ends that.
    Raises:
        InputError: An option does not fit.
    """

    name = "human"
    is_async = True
    keeps_answers = True
    travels = False
    batch = 2**20
    policy = CallPolicy(attempts=1, breaker=0, durable=True)
    mode: Mode = "best"
    together: int | None = None
    rounds: int | None = None
    votes: int = 1
    anchors: int = 2
    repeats: float = 0.1
    duel: int = 4
    patience: float = 2.0
    serve: bool = True
    port: int = 0
    host: str = "127.0.0.1"
    public_url: str = ""
    link: str = field(default="", init=False, repr=False)
    show: "Callable[[RatingStore], Callable[[], None]] | None" = field(default=None, init=False, repr=False)
    _store: RatingStore | None = field(default=None, init=False, repr=False)
    _ends: list[Callable[[], None]] = field(default_factory=list, init=False, repr=False)

    def __post_init__(self) -> None:
        for name, least in (("together", 2), ("rounds", 1), ("votes", 1), ("anchors", 0), ("duel", 0), ("patience", 0)):
            value = getattr(self, name)
            if value is not None and not (value >= least and math.isfinite(value)):
                raise InputError(f"{name} must be at least {least}; got {value}.")
        if not 0 <= self.repeats <= _MOST_REPEATS:
            raise InputError(f"repeats must be from 0 to {_MOST_REPEATS}; got {self.repeats}.")
        if self.mode == "rate" and (self.together or self.rounds):
            raise InputError("together and rounds must be left out with mode rate, where images are shown once, alone.")

    @property
    def unit(self) -> str:  # type: ignore[override]
        """Unit of the scores."""
        return "of 10" if self.mode == "rate" else "log-odds"

    @property
    def range(self) -> tuple[float, float]:  # type: ignore[override]
        """Lowest and highest score."""
        return (0.0, 10.0) if self.mode == "rate" else (-math.inf, math.inf)

    @property
    def settings(self) -> Mapping[str, Any]:
        return {name: getattr(self, name) for name in ("mode", "together", "rounds", "votes", "anchors")}

    def begin(self, folder: Path | None) -> None:
        if self._store is not None:
            return
        self._store = RatingStore(folder / RATINGS if folder else None)
        self._store.plan(repeats=self.repeats, duel=2 * self.duel)
        if self.show is not None:
            self._ends = [self.show(self._store)]
        elif self.serve:
            self._ends = self._served(folder)

    async def __call__(self, images: "Sequence[Image.Image]", prompts: Sequence[str]) -> list[Score]:
        assert self._store is not None
        files = await asyncio.to_thread(lambda: {image_hash(np.asarray(one)): png_bytes(one) for one in images})
        known = self._store.scores()
        anchors = self._anchors(known, files)
        number = self._store.post(files.items(), prompts[0], self._tasks([*files], anchors), votes=self.votes)
        while (ratings := self._store.take(number, self.patience)) is None:
            await asyncio.sleep(_POLL)
        scores = self._rated(ratings) if self.mode == "rate" else self._compared(ratings, [*files], known)
        values = {name: score.value for name, score in scores.items()}
        scored = known | values
        best = sorted(scored, key=lambda name: -scored[name])[:_KEPT]  # further choices may favour any of them
        self._store.settle(values, [*best, *spread_out(scored, self.anchors)])
        return [scores.get(image_hash(np.asarray(one)), _UNRATED) for one in images]

    def orders(self, images: Collection[str]) -> list[Order]:
        """Return the choices by which images were scored."""
        return self._store.orders(images) if self._store is not None else []

    def ask_at_the_end(self, images: "Mapping[str, Image.Image]", prompt: str, is_stopped: Callable[[], bool]) -> None:
        """Hold the closing duel of the best image."""
        if self._store is not None and self.duel and len(images) > 1:
            files = {name: png_bytes(image) for name, image in images.items()}
            hold_duel(self._store, files, prompt, self.duel, patience=self.patience, is_stopped=is_stopped)

    def ask_distance(
        self, rungs: "Mapping[float, Sequence[Image.Image]]", prompt: str, is_stopped: Callable[[], bool]
    ) -> tuple[bool, float | None]:
        """Let a rater choose a distance from what is liked."""
        assert self._store is not None
        files = {
            distance: [(image_hash(np.asarray(one)), png_bytes(one)) for one in images]
            for distance, images in rungs.items()
        }
        over = ask_distance(self._store, files, prompt, patience=self.patience, is_stopped=is_stopped)
        return over, chosen_distance(self._store) if over else None

    def about_raters(self, best: str) -> Mapping[str, Any]:
        """Return the chosen distance, the best image's closing duels, and how often raters agreed with themselves."""
        if self._store is None:
            return {}
        names, fought = self._store.names(), duels(self._store, best)
        found = self_agreement(self._store.repeats(), self._store.ratings())
        distance = chosen_distance(self._store)
        words = [*what_ladder_says(self._store), *what_duels_say(fought), *in_sentences(found, names)]
        return {
            **({} if distance is None else {"distance": distance}),
            **({"duels": [{**asdict(one), "luck": one.luck} for one in fought]} if fought else {}),
            **({"repeats": [{**asdict(one), "rater": names[one.rater]} for one in found]} if found else {}),
            **({"words": words} if words else {}),
        }

    async def aclose(self) -> None:
        for end in self._ends:
            await asyncio.to_thread(end)
        if self._store is not None:
            self._store.close()
        self._store, self._ends = None, []

    def _served(self, folder: Path | None) -> list[Callable[[], None]]:
        """Serve the page, and log its link or, in a notebook, open it in the cell. Returns functions that end that."""
        from zo_dno.results.rated_folder import RatedFolder
        from zo_dno.web.embed import show_page
        from zo_dno.web.rating_page import Page

        assert self._store is not None
        run = None if folder is None else RatedFolder(folder)
        page = Page(self._store, folder, run, host=self.host, port=self.port, public_url=self.public_url)
        page.start()
        self.link = page.link
        if in_notebook():
            return [show_page(page.link, page.mark), page.stop]
        log.warning("Rate the images at %s", page.link)  # a warning shows without any logging set up
        return [page.farewell, page.stop]

    def _tasks(self, names: Sequence[str], anchors: Sequence[str]) -> list[tuple[Mode, tuple[str, ...]]]:
        if self.mode == "rate":
            return [("rate", (name,)) for name in names]
        size, rounds = self.together or _SHOWN_TOGETHER[self.mode], self.rounds or _ROUNDS[self.mode]
        rng = numpy_stream(int(names[0][:8], 16), "ratings")
        if size == 2 or not anchors:
            return [(self.mode, group) for group in groups([*names, *anchors], size, rounds, rng)]
        best, *others = anchors
        new = groups([*names, *others], size - 1, rounds, rng) or [tuple(names)]  # a single image is no group
        shown = [(*group, best) for group in new]
        return [(self.mode, tuple(str(name) for name in rng.permutation(group))) for group in shown]

    def _rated(self, ratings: Iterable[Rating]) -> dict[str, Score]:
        """Average the ratings of each image."""
        assert self._store is not None
        names, votes = self._store.names(), defaultdict[str, dict[str, float]](dict)
        for one in ratings:
            if one.value is not None:
                votes[one.shown[0]][names[one.rater]] = one.value
        return {
            name: Score(fmean(given.values()), components=given, spread=pstdev(given.values()))
            for name, given in votes.items()
        }

    def _anchors(self, known: Mapping[str, float], new: Collection[str]) -> list[str]:
        """Choose earlier images to show again: the best by all choices so far, then some down to the median."""
        assert self._store is not None
        if self.mode == "rate" or not known:
            return []
        by_all = overall(self._store.orders(known), next(iter(known)))
        showable = self._store.showable()
        values = {name: one.value for name, one in by_all.items() if name in showable}
        return spread_out(values, self.anchors, avoid=new)

    def _compared(
        self, ratings: Iterable[Rating], names: Sequence[str], known: Mapping[str, float]
    ) -> dict[str, Score]:
        """Fit the strengths of the images; the first image of the run has 0."""
        found = placed([one.order for one in ratings if one.order is not None], names, known)
        return {name: Score(one.value, spread=one.error) for name, one in found.items()}


_UNRATED = Score(math.nan, kind="skipped", error="no rater rated this image")
