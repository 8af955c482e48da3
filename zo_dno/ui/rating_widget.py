"""The rating page as a notebook's widget: the same tasks from the same store, without a server."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from zo_dno.judges.distance_ladder import rungs_of
from zo_dno.judges.rated_run import RatedRun
from zo_dno.judges.rating_store import RatingStore
from zo_dno.judges.rating_summary import Work, awaited
from zo_dno.judges.rating_tasks import HEADINGS, SKIPPED, Progress, RatingError, RatingTask
from zo_dno.ui.controls import Controls, close

if TYPE_CHECKING:
    from zo_dno.search.progress import Step

_POLL = 0.25  # seconds between checks for changes by other raters or by the search
_WIDE, _NARROW, _SMALL = "17rem", "12.5rem", "6rem"  # widths of an image
_NO_PLACE, _LIKED = "-", "liked"
_SEND, _NONE = {"rank": "Send this order", "like": "Send what is liked"}, "None of them"

Picture = tuple[str, float | None, bytes | None]
"""An image with a caption: its label, its score if it has one, and its PNG file."""


class RatingWidget:
    """Shows one rater the tasks of a run's rating page, with buttons under the images.

    The search and the clicks run in different threads. A rating is durable once the next task is shown.

    Args:
        rater: Name and id of the rater.
        width: Width of an image to be rated, in pixels; by default several fit side by side.
    Attributes:
        box: Widget to display.
        run: The run whose images are rated; by default one of which nothing is known.
        begun: Event that is set once tasks may come, or the run has ended.
        stop: Function that the button Stop calls.
    Raises:
        InputError: ipywidgets is not installed.
    """

    def __init__(self, rater: str, width: int | None = None) -> None:
        self._make, self._rater = Controls(), rater
        self._width = f"{width}px" if width else None
        self._lock = threading.RLock()
        self._store: RatingStore | None = None
        self._task: RatingTask | None = None
        self._order: list[str] = []
        self._seen: tuple[Progress, bool] | None = None
        self._scored = ""
        self.run = RatedRun()
        self._shown: Sequence[Any] = ()
        self._stale: Sequence[Any] = ()
        self.begun = threading.Event()
        self.stop: Callable[[], None] = lambda: None
        self.box = self._make.box()

    # For the run

    def show(self, store: RatingStore) -> Callable[[], None]:
        """Begin to show the tasks of a store. Returns a function that ends that."""
        store.greet(self._rater, self._rater)
        with self._lock:
            self._store, self._seen = store, None
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(ended,), name="zo-dno widget", daemon=True)
        watch.start()
        self.begun.set()

        def release() -> None:
            ended.set()
            watch.join()
            with self._lock:
                self._store = self._task = None
                self._put([self._make.text("The search is coming to its end")])

        return release

    def step(self, step: "Step") -> None:
        """Update the progress of the run."""
        with self._lock:
            self._scored = f"{step.queries} of {step.planned} images scored"

    def end(self, title: str, words: str = "", alerts: Sequence[str] = (), pair: Sequence[Picture] = ()) -> None:
        """Show how the run ended.

        Args:
            title: The heading.
            words: The line below it.
            alerts: Messages about what went wrong.
            pair: Images to show side by side.
        """
        self.begun.set()
        with self._lock:
            images = [self._pair(pair, _NARROW)] if pair else []
            self._put([self._make.text(title, words), *map(self._make.alert, alerts), *images])

    def how_far(self) -> str:
        """Describe in a few words what the run waits for."""
        with self._lock:
            progress = self._store.progress(self._rater) if self._store else None
            if progress is None or progress.complete:
                return "the search is at work"
            return str(self._work(progress))

    # For the rater; every button holds its task, so that a double click does not rate the next one

    def _rate(self, task: RatingTask, rating: str | float | Sequence[str], *_: Any) -> None:
        with self._lock:
            if self._store is not None and self._task == task:
                self._do(partial(self._store.rate, self._rater, task.id, rating))

    def _undo(self, task: RatingTask | None, *_: Any) -> None:
        with self._lock:
            if self._store is not None and self._task == task:
                self._do(partial(self._store.undo, self._rater))

    def _do(self, act: Callable[[], object]) -> None:
        try:
            act()
        except RatingError as error:
            self._show_task(str(error))
        else:
            self._show_task()

    def _place(self, task: RatingTask, name: str, *_: Any) -> None:
        """Give an image the next place, or mark it, or take that back; the last place follows from the others."""
        with self._lock:
            if self._task != task:
                return
            self._order.remove(name) if name in self._order else self._order.append(name)
            ranks = task.mode == "rank"
            if ranks and len(self._order) == len(task.shown) - 1:
                self._order += set(task.shown) - set(self._order)
            for other, button in zip(task.shown, self._choices, strict=True):
                marked = other in self._order
                button.description = (str(self._order.index(other) + 1) if ranks else _LIKED) if marked else _NO_PLACE
                button.button_style = "success" if marked else ""
            self._send.disabled = ranks and len(self._order) < len(task.shown)
            self._send.description = _SEND[task.mode] if ranks or self._order else _NONE

    # Display

    def _watch(self, ended: threading.Event) -> None:
        """Update the display whenever the store changes, until the run ends."""
        while not ended.is_set():
            with self._lock:
                try:
                    self._update()
                except sqlite3.Error as error:  # such as a file locked by another process
                    self._put([self._make.text("The tasks cannot be read"), self._make.alert(str(error))])
                    self._task = self._seen = None
            ended.wait(_POLL)

    def _update(self) -> None:
        assert self._store is not None
        now = (self._store.progress(self._rater), self._store.has_task(self._rater))
        if now == self._seen:
            return
        same = self._seen is not None and (now[0].rating_round, now[1]) == (self._seen[0].rating_round, self._seen[1])
        if same and self._task is not None:  # others have rated meanwhile
            self._seen = now
            self._update_bar(now[0])
        else:
            self._show_task()

    def _show_task(self, message: str = "") -> None:
        """Show the next task, or that there is none."""
        assert self._store is not None
        progress, has = self._store.progress(self._rater), self._store.has_task(self._rater)
        self._seen, self._order = (progress, has), []
        self._task = self._store.next_task(self._rater)
        self._bar = self._make.progress()
        self._update_bar(progress)
        parts = [self._bar] if progress.rating_round >= 0 else []
        parts += [self._make.alert(message)] if message else []
        parts += self._waiting(progress) if self._task is None else self._controls_of(self._task)
        first, best = self._store.first_and_best()
        if first is not None and best is not None and not self._work(progress).is_closing:  # whose pictures would tell
            pair = [(label, one[1], self._store.png(one[0])) for label, one in (("before", first), ("best", best))]
            parts.append(self._pair(pair, _SMALL))
        self._put(parts)

    def _update_bar(self, progress: Progress) -> None:
        work = self._work(progress)
        words = f"{work} · {self._scored}" if self._scored else str(work)
        self._make.fill(self._bar, words, work.given, work.given + work.left)

    def _work(self, progress: Progress) -> Work:
        assert self._store is not None
        return self._store.work(progress, self.run.plan())

    def _controls_of(self, task: RatingTask) -> list[Any]:
        assert self._store is not None
        head = self._make.text(HEADINGS[task.mode], f"“{task.prompt}”" if task.prompt else "")
        width = self._width or (_WIDE if len(task.shown) <= 2 else _NARROW)
        images = [self._make.picture(self._store.png(name), width) for name in task.shown]
        if task.mode == "distance":
            images = [self._make.picture(self._store.png(name), _SMALL) for name in task.shown]
        aside = self._make.row(
            [self._make.button("Skip", partial(self._rate, task, SKIPPED)), *self._undo_and_stop(task)]
        )
        if task.mode == "rate":
            numbers = [self._make.button(str(n), partial(self._rate, task, float(n)), "3rem") for n in range(11)]
            ends = self._make.text("", "0 worst, 10 best")
            return [head, self._make.row(images), self._make.row(numbers), ends, aside]
        if task.mode == "distance":
            return [head, *self._ladder(task, images), aside]
        several = task.mode in _SEND
        self._choices = [
            self._make.button(
                _NO_PLACE if several else str(number),
                partial(self._place if several else self._rate, task, name),
                "100%",
            )
            for number, name in enumerate(task.shown, 1)
        ]
        cards = self._make.row([self._make.box(both) for both in zip(images, self._choices, strict=True)])
        if not several:
            return [head, cards, aside]
        words = _NONE if task.mode == "like" else _SEND[task.mode]
        self._send = self._make.button(words, lambda _: self._rate(task, [*self._order]))
        self._send.disabled = task.mode == "rank"
        return [head, cards, self._make.row([self._send]), aside]

    def _ladder(self, task: RatingTask, images: Sequence[Any]) -> list[Any]:
        """Show the rows of a ladder, each with a button that chooses its distance."""
        assert self._store is not None
        rows, left = [], list(images)
        for rung in rungs_of(self._store, task.shown):
            own, left = left[: len(rung.images)], left[len(rung.images) :]
            choose = partial(self._rate, task, rung.images[0])
            rows.append(self._make.row([*own, self._make.button(f"Distance {rung.words}", choose)]))
        return rows

    def _waiting(self, progress: Progress) -> list[Any]:
        words = awaited(progress, self._work(progress))
        return [self._make.text(words), self._make.row(self._undo_and_stop(None))]

    def _undo_and_stop(self, task: RatingTask | None) -> list[Any]:
        return [
            self._make.button("Undo", partial(self._undo, task)),
            self._make.button("Stop", self._on_stop),
        ]

    def _on_stop(self, *_: Any) -> None:
        with self._lock:
            self._task = None
            self._put([self._make.text("The search is stopping", "Every rating is kept.")])
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
        """Show other widgets; those of the previous task stay alive a while, for clicks in flight."""
        old, self._stale, self._shown = self._stale, self._shown, children
        self.box.children = tuple(children)
        for one in old:
            close(one)
