"""The rating page as a widget of a notebook: the same questions from the same store, without a server."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from zo_dno.judges.rating_store import Ratings
from zo_dno.judges.rating_tasks import QUESTIONS, SKIPPED, Progress, RatingError, Task
from zo_dno.ui.controls import Controls, close

if TYPE_CHECKING:
    from zo_dno.search.progress import Step

_LOOK = 0.25  # seconds between looks for what others, or the search, did
_WIDE, _NARROW, _SMALL = "17rem", "12.5rem", "6rem"  # of an image
_NO_PLACE = "-"

Picture = tuple[str, float | None, bytes | None]
"""An image with a caption: its label, its score if it has one, and its PNG file."""


class RatingWidget:
    """Asks one rater, by buttons under the images, what a run's rating page asks.

    The search and the clicks are in different threads. What is clicked is durable once the next question is there.

    Args:
        rater: name and id of the one who clicks.
        width: of an image to be rated, in pixels; by default as several fit beside each other.
    Attributes:
        box: the widget to display.
        begun: set once there may be questions, or there will be none.
        stop: what the button Stop does.
    Raises:
        InputError: ipywidgets is not installed.
    """

    def __init__(self, rater: str, width: int | None = None) -> None:
        self._make, self._rater = Controls(), rater
        self._width = f"{width}px" if width else None
        self._lock = threading.RLock()
        self._ratings: Ratings | None = None
        self._task: Task | None = None
        self._order: list[str] = []
        self._seen: tuple[Progress, bool] | None = None
        self._run = ""
        self._shown: Sequence[Any] = ()
        self._stale: Sequence[Any] = ()
        self.begun = threading.Event()
        self.stop: Callable[[], None] = lambda: None
        self.box = self._make.box()

    # What the run calls

    def show(self, ratings: Ratings) -> Callable[[], None]:
        """Begin to ask what is asked in a store. Returns what lets go of it."""
        ratings.greet(self._rater, self._rater)
        with self._lock:
            self._ratings, self._seen = ratings, None
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(ended,), name="zo-dno widget", daemon=True)
        watch.start()
        self.begun.set()

        def let_go() -> None:
            ended.set()
            watch.join()
            with self._lock:
                self._ratings = self._task = None
                self._put([self._make.text("The search is coming to its end")])

        return let_go

    def step(self, step: "Step") -> None:
        """Note how far the run is."""
        with self._lock:
            self._run = f"{step.queries} of {step.planned} images scored"

    def end(self, title: str, words: str = "", alerts: Sequence[str] = (), pair: Sequence[Picture] = ()) -> None:
        """Show how the run ended.

        Args:
            title: the heading.
            words: the line below it.
            alerts: messages about what went wrong.
            pair: images to show side by side.
        """
        self.begun.set()
        with self._lock:
            images = [self._pair(pair, _NARROW)] if pair else []
            self._put([self._make.text(title, words), *map(self._make.alert, alerts), *images])

    def how_far(self) -> str:
        """Say in a few words what is waited for."""
        with self._lock:
            progress = self._ratings.progress(self._rater) if self._ratings else None
        if progress is None or progress.complete:
            return "the search is at work"
        return f"{progress.asked - progress.answered} answers of population {progress.round + 1} are left"

    # What the rater does; every button knows its question, so that a double click is no answer to the next one

    def _answer(self, task: Task, said: str | float | Sequence[str], *_: Any) -> None:
        with self._lock:
            if self._ratings is not None and self._task == task:
                self._do(partial(self._ratings.answer, self._rater, task.id, said))

    def _undo(self, task: Task | None, *_: Any) -> None:
        with self._lock:
            if self._ratings is not None and self._task == task:
                self._do(partial(self._ratings.undo, self._rater))

    def _do(self, act: Callable[[], object]) -> None:
        try:
            act()
        except RatingError as error:
            self._ask(str(error))
        else:
            self._ask()

    def _place(self, task: Task, name: str, *_: Any) -> None:
        """Give an image the next place, or take its place away; the last one follows from the others."""
        with self._lock:
            if self._task != task:
                return
            self._order.remove(name) if name in self._order else self._order.append(name)
            if len(self._order) == len(task.shown) - 1:
                self._order += set(task.shown) - set(self._order)
            for other, button in zip(task.shown, self._choices, strict=True):
                button.description = str(self._order.index(other) + 1) if other in self._order else _NO_PLACE
                button.button_style = "success" if other in self._order else ""
            self._send.disabled = len(self._order) < len(task.shown)

    # What is shown

    def _watch(self, ended: threading.Event) -> None:
        """Ask again whenever there is something else to say, until the run lets go."""
        while not ended.is_set():
            with self._lock:
                try:
                    self._look()
                except sqlite3.Error as error:  # such as a file that another process has locked
                    self._put([self._make.text("The questions cannot be read"), self._make.alert(str(error))])
                    self._task = self._seen = None
            ended.wait(_LOOK)

    def _look(self) -> None:
        assert self._ratings is not None
        now = (self._ratings.progress(self._rater), self._ratings.has_task(self._rater))
        if now == self._seen:
            return
        same = self._seen is not None and (now[0].round, now[1]) == (self._seen[0].round, self._seen[1])
        if same and self._task is not None:  # others have answered meanwhile
            self._seen = now
            self._fill(now[0])
        else:
            self._ask()

    def _ask(self, message: str = "") -> None:
        """Show the next question, or that there is none."""
        assert self._ratings is not None
        progress, has = self._ratings.progress(self._rater), self._ratings.has_task(self._rater)
        self._seen, self._order = (progress, has), []
        self._task = self._ratings.next_task(self._rater)
        self._bar = self._make.progress()
        self._fill(progress)
        parts = [self._bar] if progress.round >= 0 else []
        parts += [self._make.alert(message)] if message else []
        parts += self._waiting(progress) if self._task is None else self._question(self._task)
        first, best = self._ratings.before_and_best()
        if first is not None and best is not None:
            pair = [(label, one[1], self._ratings.png(one[0])) for label, one in (("before", first), ("best", best))]
            parts.append(self._pair(pair, _SMALL))
        self._put(parts)

    def _fill(self, progress: Progress) -> None:
        left = progress.asked - progress.answered
        words = [f"Population {progress.round + 1}", f"{left} left", self._run]
        self._make.fill(self._bar, " · ".join(word for word in words if word), progress.answered, progress.asked)

    def _question(self, task: Task) -> list[Any]:
        assert self._ratings is not None
        head = self._make.text(QUESTIONS[task.mode], f"“{task.prompt}”" if task.prompt else "")
        width = self._width or (_WIDE if len(task.shown) <= 2 else _NARROW)
        images = [self._make.picture(self._ratings.png(name), width) for name in task.shown]
        aside = self._make.row(
            [self._make.button("Skip", partial(self._answer, task, SKIPPED)), *self._undo_and_stop(task)]
        )
        if task.mode == "rate":
            ratings = [self._make.button(str(n), partial(self._answer, task, float(n)), "3rem") for n in range(11)]
            ends = self._make.text("", "0 worst, 10 best")
            return [head, self._make.row(images), self._make.row(ratings), ends, aside]
        ranked = task.mode == "rank"
        self._choices = [
            self._make.button(
                _NO_PLACE if ranked else str(number),
                partial(self._place if ranked else self._answer, task, name),
                "100%",
            )
            for number, name in enumerate(task.shown, 1)
        ]
        cards = self._make.row([self._make.box(both) for both in zip(images, self._choices, strict=True)])
        if not ranked:
            return [head, cards, aside]
        self._send = self._make.button("Send this order", lambda _: self._answer(task, [*self._order]))
        self._send.disabled = True
        return [head, cards, self._make.row([self._send]), aside]

    def _waiting(self, progress: Progress) -> list[Any]:
        if progress.round < 0:
            words = "The search is drawing the first images"
        elif progress.complete:
            words = "Thank you. The search is drawing the next images"
        else:
            words = "Others are at the last ones"
        return [self._make.text(words), self._make.row(self._undo_and_stop(None))]

    def _undo_and_stop(self, task: Task | None) -> list[Any]:
        return [
            self._make.button("Undo", partial(self._undo, task)),
            self._make.button("Stop", self._on_stop),
        ]

    def _on_stop(self, *_: Any) -> None:
        with self._lock:
            self._task = None
            self._put([self._make.text("The search is stopping", "Every answer is kept.")])
        self.stop()

    def _pair(self, pair: Sequence[Picture], width: str) -> Any:
        """Show images side by side, each with its score."""
        captions = [label if score is None else f"{label} {score:.2f}" for label, score, _ in pair]
        return self._make.row(
            [
                self._make.box([self._make.picture(png, width), self._make.text("", caption)])
                for caption, (_, _, png) in zip(captions, pair, strict=True)
            ]
        )

    def _put(self, children: Sequence[Any]) -> None:
        """Show other widgets; those of the question before stay a while, for clicks that are on their way."""
        gone, self._stale, self._shown = self._stale, self._shown, children
        self.box.children = tuple(children)
        for one in gone:
            close(one)
