"""The rating page as a widget of a notebook: the same questions from the same store, without a server."""

import html
import importlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from zo_dno.errors import InputError
from zo_dno.images import png_bytes
from zo_dno.ratings import Ratings
from zo_dno.tasks import QUESTIONS, SKIPPED, Progress, RatingError, Task

if TYPE_CHECKING:
    from zo_dno.result import Result
    from zo_dno.search import Step

_LOOK = 0.25  # seconds between looks for what others, or the search, did
_WIDTHS = {1: "22rem", 2: "20rem"}  # of an image, by how many are shown
_NARROW = "12.5rem"
_ENDS = {
    "finished": "Finished",
    "target": "The target is reached",
    "interrupted": "Stopped",
    "paused": "Paused",
    "infeasible": "Finished, but no image may win",
}
_Shown = tuple[str, float | None]  # name of an image, and its score


class RatingWidget:
    """Asks one rater, by buttons under the images, what a run's rating page asks.

    The search and the kernel's clicks are in different threads, and neither waits for the other: what is clicked is
    durable when the next question is there.

    Args:
        rater: name and id of the one who clicks, the same in every session of a run.
    Attributes:
        box: the widget to display.
        begun: set once there may be questions, or there will be none.
        stop: what the button Stop does.
    Raises:
        InputError: ipywidgets is not installed.
    """

    def __init__(self, rater: str = "notebook") -> None:
        self._widgets = _ipywidgets()
        self._rater = rater
        self._lock = threading.RLock()
        self._ratings: Ratings | None = None
        self._task: Task | None = None
        self._order: list[str] = []
        self._seen: tuple[Progress, bool] | None = None
        self._run = ""
        self._fresh: list[Any] = []
        self._stale: list[Any] = []
        self.begun = threading.Event()
        self.stop: Callable[[], None] = lambda: None
        self.box = self._widgets.VBox([self._text("The search is drawing the first images")])

    # What the run calls

    def show(self, ratings: Ratings) -> Callable[[], None]:
        """Begin to ask what is asked in a store. Returns what lets go of it."""
        ratings.greet(self._rater, self._rater)
        with self._lock:
            self._ratings = ratings
        ended = threading.Event()
        watch = threading.Thread(target=self._watch, args=(ended,), name="zo-dno widget", daemon=True)
        watch.start()
        self.begun.set()

        def let_go() -> None:
            ended.set()
            watch.join()
            with self._lock:
                self._ratings = self._task = None
                self._put([self._text("The search is at its end")])

        return let_go

    def step(self, step: "Step") -> None:
        """Note how far the run is."""
        with self._lock:
            self._run = f"{step.queries} of {step.planned} images scored"

    def end(self, result: "Result | None", error: BaseException | None) -> None:
        """Show what became of the run."""
        self.begun.set()
        with self._lock:
            if result is None:
                why = str(error) or type(error).__name__
                self._put([self._text("The run ended without a result"), self._message(why)])
                return
            pair = [("before", result.first), ("best", result.best)]
            images = (result.first_image, result.best_image)
            parts = [self._text(_ENDS[result.status], f"{result.queries} images scored, in result()")]
            parts += [self._message(why) for why in (result.pause, result.infeasible) if why]
            shown = [
                self._picture(png_bytes(image), _caption(label, found.reward), _NARROW)
                for image, (label, found) in zip(images, pair, strict=True)
            ]
            self._put([*parts, self._row(shown)])

    def how_far(self) -> str:
        """Say in a few words what is waited for."""
        with self._lock:
            progress = self._ratings.progress(self._rater) if self._ratings else None
        if progress is None or progress.complete:
            return "the search is drawing"
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
                button.description = str(self._order.index(other) + 1) if other in self._order else "-"
                button.button_style = "success" if other in self._order else ""
            self._send.disabled = len(self._order) < len(task.shown)

    # What is shown

    def _watch(self, ended: threading.Event) -> None:
        """Ask again whenever there is something else to say, until the run lets go."""
        while not ended.is_set():
            with self._lock:
                if self._ratings is not None:
                    try:
                        self._look(self._ratings)
                    except sqlite3.Error as error:  # such as a file that another process has locked
                        self._put([self._text("The questions cannot be read"), self._message(str(error))])
                        self._seen = None
            ended.wait(_LOOK)

    def _look(self, ratings: Ratings) -> None:
        now = (ratings.progress(self._rater), ratings.has_task(self._rater))
        if now == self._seen:
            return
        another = self._seen is None or (now[0].round, now[1]) != (self._seen[0].round, self._seen[1])
        if another or self._task is None:
            self._ask()
        else:
            self._seen = now
            self._show_progress(now[0])

    def _ask(self, message: str = "") -> None:
        """Show the next question, or that there is none."""
        assert self._ratings is not None
        self._seen = (self._ratings.progress(self._rater), self._ratings.has_task(self._rater))
        self._task, self._order = self._ratings.next_task(self._rater), []
        parts = [self._head(self._seen[0])]
        if message:
            parts.append(self._message(message))
        parts += self._waiting(self._seen[0]) if self._task is None else self._question(self._task)
        self._put([*parts, *self._foot(self._ratings)])

    def _head(self, progress: Progress) -> Any:
        self._left = self._widgets.HTML()
        layout = self._widgets.Layout(width="100%", height="0.5rem")
        self._bar = self._widgets.IntProgress(layout=layout)
        self._show_progress(progress)
        return self._widgets.VBox([self._left, self._bar])

    def _show_progress(self, progress: Progress) -> None:
        left = progress.asked - progress.answered
        words = [f"Population {progress.round + 1}", f"{left} left", self._run]
        self._left.value = " · ".join(word for word in words if word)
        self._bar.max, self._bar.value = progress.asked or 1, progress.answered

    def _question(self, task: Task) -> list[Any]:
        assert self._ratings is not None
        parts = [self._text(QUESTIONS[task.mode], f"“{task.prompt}”" if task.prompt else "")]
        width = _WIDTHS.get(len(task.shown), _NARROW)
        images = [self._image(self._ratings.png(name), width) for name in task.shown]
        skip = self._button("Skip", partial(self._answer, task, SKIPPED))
        aside = self._row([skip, self._button("Undo", partial(self._undo, task)), self._button("Stop", self._on_stop)])
        if task.mode == "rate":
            ratings = [self._button(str(n), partial(self._answer, task, float(n)), width="3rem") for n in range(11)]
            return [*parts, self._row(images), self._row(ratings), self._text("", "0 worst, 10 best"), aside]
        act = self._place if task.mode == "rank" else self._answer
        words = ["-"] * len(images) if task.mode == "rank" else [str(place + 1) for place in range(len(images))]
        self._choices = [
            self._button(word, partial(act, task, name), width="100%")
            for word, name in zip(words, task.shown, strict=True)
        ]
        cards = [self._widgets.VBox([*both]) for both in zip(images, self._choices, strict=True)]
        if task.mode == "rank":
            self._send = self._button("Send this order", lambda _: self._answer(task, [*self._order]))
            self._send.disabled = True
            return [*parts, self._row(cards), self._row([self._send]), aside]
        return [*parts, self._row(cards), aside]

    def _waiting(self, progress: Progress) -> list[Any]:
        if progress.round < 0:
            words = "The search is drawing the first images"
        elif progress.complete:
            words = "Thank you. The search is drawing the next images"
        else:
            words = "Others are at the last ones"
        buttons = [self._button("Undo", partial(self._undo, None)), self._button("Stop", self._on_stop)]
        return [self._text(words), self._row(buttons)]

    def _foot(self, ratings: Ratings) -> list[Any]:
        """Show the first image beside the best, once there is one."""
        first, best = ratings.before_and_best()
        if first is None or best is None:
            return []
        pair: list[tuple[str, _Shown]] = [("before", first), ("best so far", best)]
        shown = [
            self._picture(ratings.png(name), _caption(label, score), "6rem") for label, (name, score) in pair
        ]
        return [self._row(shown)]

    def _on_stop(self, *_: Any) -> None:
        self.stop()

    # Widgets

    def _put(self, children: list[Any]) -> None:
        """Show other widgets; those of the question before stay a while, for clicks that are on their way."""
        before, self._fresh = self._fresh, children
        self.box.children = tuple(children)
        gone, self._stale = self._stale, before
        for one in gone:
            _close(one)

    def _text(self, title: str, words: str = "") -> Any:
        heading = f"<b style='font-size: 1.2em'>{html.escape(title)}</b>" if title else ""
        below = f"<div style='opacity: .7; overflow-wrap: anywhere'>{html.escape(words)}</div>" if words else ""
        return self._widgets.HTML(f"<div style='text-align: center'>{heading}{below}</div>")

    def _message(self, words: str) -> Any:
        style = "border-left: .25rem solid #c4572b; background: #c4572b1a; padding: .3rem .6rem"
        return self._widgets.HTML(f"<div role='alert' style='{style}'>{html.escape(words)}</div>")

    def _row(self, children: Sequence[Any]) -> Any:
        layout = self._widgets.Layout(flex_flow="row wrap", justify_content="center", grid_gap="0.5rem")
        return self._widgets.HBox(list(children), layout=layout)

    def _button(self, words: str, act: Callable[..., None], width: str = "auto") -> Any:
        made = self._widgets.Button(description=words, layout=self._widgets.Layout(width=width))
        made.on_click(act)
        return made

    def _image(self, png: bytes | None, width: str) -> Any:
        return self._widgets.Image(value=png or b"", format="png", layout=self._widgets.Layout(width=width))

    def _picture(self, png: bytes | None, caption: str, width: str) -> Any:
        return self._widgets.VBox([self._image(png, width), self._text("", caption)])


def _caption(label: str, score: float | None) -> str:
    return label if score is None else f"{label} {score:.2f}"


def _close(widget: Any) -> None:
    """Let go of a widget and of all that it is made of, here and in the browser."""
    for part in (*getattr(widget, "children", ()), *(getattr(widget, name, None) for name in ("layout", "style"))):
        if part is not None:
            _close(part)
    widget.close()


def _ipywidgets() -> Any:
    try:
        return importlib.import_module("ipywidgets")
    except ImportError as error:
        raise InputError("ipywidgets must be installed to rate in a cell: pip install 'zo-dno[notebooks]'.") from error
