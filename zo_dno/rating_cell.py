"""Rating by hand in a notebook, without a server: a search in a thread, and buttons that tell it what is liked."""

import html
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from zo_dno.errors import InputError, RunError
from zo_dno.ratings import Ratings
from zo_dno.result import Result
from zo_dno.stopping import Stop
from zo_dno.tasks import SKIPPED, RatingError, Task
from zo_dno.types import Generator

_LOOK = 0.2  # seconds between looks at whether there is something to say
_RATER = "notebook"
_ASKS = {
    "rate": "How good is it?",
    "compare": "Which is better?",
    "best": "Which is the best?",
    "rank": "Click them in order, the best first",
}


class RatingCell:
    """A search whose images are rated in a cell of a notebook. It begins at once, in a thread of its own.

    Show it by naming it at the end of a cell. Other cells can be run meanwhile. With `out=...` a search that was
    stopped goes on with `zo-dno resume`, and then on the rating page.

    Args:
        generator: to search the noise of.
        mode: "best" picks the best of several, "compare" one of two, "rank" puts several in order, "rate" each 0 to 10.
        reward_options: further ones of the reward `human`.
        width: of an image, in pixels.
        options: as `zo_dno.optimize` takes them.
    Raises:
        InputError: ipywidgets is not installed.
    """

    def __init__(
        self,
        generator: Generator,
        *,
        mode: str = "best",
        reward_options: Mapping[str, Any] | None = None,
        width: int = 256,
        **options: Any,
    ) -> None:
        try:
            import ipywidgets
        except ImportError as error:
            raise InputError("ipywidgets must be installed for this: pip install 'zo-dno[notebooks]'.") from error
        from zo_dno.parts import make_reward

        self._widgets, self._width = ipywidgets, width
        self._human: Any = make_reward("human", {"mode": mode, "serve": False, **(reward_options or {})})
        self._stop, self._lock = Stop(), threading.RLock()
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._task: Task | None = None
        self._order: list[str] = []
        self._seen: object = None
        self.widget = ipywidgets.VBox()
        self._search = threading.Thread(target=self._run, args=(generator, options), name="zo-dno search", daemon=True)
        self._search.start()
        threading.Thread(target=self._watch, name="zo-dno rating", daemon=True).start()

    @property
    def running(self) -> bool:
        """The search is still asking."""
        return self._search.is_alive()

    @property
    def result(self) -> Result:
        """What was found.

        Raises:
            RunError: it is not over yet, or nothing was rated.
        """
        if self.running:
            raise RunError("The search is still asking. Rate the images that it shows, or call stop().")
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def stop(self) -> None:
        """End the search without the answers that it waits for; what was rated counts."""
        for _ in range(2):  # the second does not wait for what is being asked
            self._stop()
        self._search.join()

    def _ipython_display_(self) -> None:
        from IPython.display import display

        show: Any = display
        show(self.widget)

    def _run(self, generator: Generator, options: dict[str, Any]) -> None:
        from zo_dno.api import optimize

        try:
            self._result = optimize(generator, self._human, stop=self._stop, **options)
        except BaseException as error:  # raised again where the result is asked for
            self._error = error

    def _watch(self) -> None:
        """Show what there is to say, whenever that changes."""
        while self.running:
            self._look()
            self._search.join(_LOOK)
        with self._lock:
            self._show_end()

    @property
    def _ratings(self) -> Ratings | None:
        ratings: Ratings | None = self._human.ratings
        return ratings

    def _look(self, *, again: bool = False) -> None:
        with self._lock:
            ratings = self._ratings
            if ratings is None:
                return
            ratings.greet(_RATER, _RATER)
            self._task = ratings.next_task(_RATER)
            state = (self._task, ratings.progress(_RATER))
            if again or state != self._seen:
                self._seen, self._order = state, []
                self._show(ratings)

    def _said(self, what: Any, _button: Any = None) -> None:
        with self._lock:
            if self._task is None or self._ratings is None:
                return
            self._try(partial(self._ratings.answer, _RATER, self._task.id, what))

    def _undo(self, _button: Any = None) -> None:
        with self._lock:
            if self._ratings is not None:
                self._try(partial(self._ratings.undo, _RATER))

    def _place(self, name: str, _button: Any = None) -> None:
        """Give an image the next place; the last one sends the order."""
        with self._lock:
            if self._task is None or name in self._order:
                return
            self._order.append(name)
            if len(self._order) == len(self._task.shown):
                self._said(list(self._order))
            elif self._ratings is not None:
                self._show(self._ratings)

    def _try(self, act: Callable[[], object]) -> None:
        try:
            act()
            message = ""
        except RatingError as error:
            message = str(error)
        self._look(again=True)
        if message:
            self.widget.children = (self._html(message), *self.widget.children)

    def _show(self, ratings: Ratings) -> None:
        progress, task = ratings.progress(_RATER), self._task
        left = f"Population {progress.round + 1}: {progress.asked - progress.answered} left"
        aside = [self._button("Undo", self._undo)]
        if task is None:
            rows = [self._html("The search is drawing the next images.")]
        else:
            prompt = f"<i>{html.escape(task.prompt)}</i><br>" if task.prompt else ""
            rows = [self._html(f"{prompt}<b>{_ASKS[task.mode]}</b>"), self._pictures(ratings, task)]
            if task.mode == "rate":
                ratings_row = [self._button(str(n), partial(self._said, float(n)), width="3em") for n in range(11)]
                rows.append(self._row(ratings_row))
            aside.insert(0, self._button("Skip", partial(self._said, SKIPPED)))
        bar = self._widgets.IntProgress(value=progress.answered, max=max(1, progress.asked))
        self.widget.children = (self._row([self._html(left), bar]), *rows, self._row(aside), *self._pair(ratings))

    def _pictures(self, ratings: Ratings, task: Task) -> Any:
        shown = []
        for number, name in enumerate(task.shown, start=1):
            parts = [self._picture(ratings, name)]
            if task.mode == "rank":
                placed = self._order.index(name) + 1 if name in self._order else None
                parts.append(self._button(f"place {placed}" if placed else str(number), partial(self._place, name)))
            elif task.mode != "rate":
                parts.append(self._button(str(number), partial(self._said, name)))
            shown.append(self._widgets.VBox(parts))
        return self._row(shown)

    def _pair(self, ratings: Ratings) -> list[Any]:
        first, best = ratings.before_and_best()
        if first is None or best is None:
            return []
        columns = [
            self._widgets.VBox([self._picture(ratings, name, self._width // 2), self._html(title)])
            for name, title in ((first[0], "before"), (best[0], f"best so far {best[1]:.2f}"))
        ]
        return [self._row(columns)]

    def _show_end(self) -> None:
        if self._error is not None:
            self.widget.children = (self._html(f"It ended: {html.escape(str(self._error))}"),)
            return
        found = self.result
        said = f"{found.status} after {found.queries} images: {found.best.reward:.2f} {html.escape(found.unit)}"
        from PIL import Image

        from zo_dno.images import png_bytes

        pictures = [
            self._widgets.VBox([self._image(png_bytes(Image.fromarray(one.image)), self._width), self._html(title)])
            for one, title in ((found.first, "before"), (found.best, "best"))
        ]
        self.widget.children = (self._html(said), self._row(pictures))

    def _picture(self, ratings: Ratings, name: str, width: int | None = None) -> Any:
        return self._image(ratings.png(name) or b"", width or self._width)

    def _image(self, png: bytes, width: int) -> Any:
        return self._widgets.Image(value=png, format="png", width=width)

    def _button(self, text: str, act: Callable[..., None], width: str = "auto") -> Any:
        made = self._widgets.Button(description=text, layout={"width": width})
        made.on_click(act)
        return made

    def _row(self, parts: list[Any]) -> Any:
        return self._widgets.HBox(parts, layout={"flex_flow": "row wrap"})

    def _html(self, text: str) -> Any:
        return self._widgets.HTML(text)
