"""Rating in a notebook's cell, without a server: a search in a thread, and buttons that rate its images."""

import inspect
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.errors import InputError, RunError
from zo_dno.judges.rated_run import Plan, RatedRun
from zo_dno.oracle.combination.reward import Combination
from zo_dno.results.rated_folder import RatedFolder
from zo_dno.reward import Reward
from zo_dno.rewards.human import Human
from zo_dno.run.cancellation import Stop
from zo_dno.storage.atomic import read_yaml
from zo_dno.storage.images import png_bytes
from zo_dno.storage.run_folder import CONFIG, check_is_run
from zo_dno.storage.signature import check_trusted
from zo_dno.types import Generator
from zo_dno.ui.rating_widget import RatingWidget

if TYPE_CHECKING:
    from zo_dno.results.result import Result
    from zo_dno.run.optimize import AnyReward

_ENDS = {
    "finished": "Finished",
    "target": "The target is reached",
    "interrupted": "Stopped",
    "paused": "Paused",
    "infeasible": "Finished, but no image can win",
}


class RatingCell:
    """A search whose images are rated in a notebook's cell. It begins at once, in another thread.

    The name at the end of a cell shows it. Other cells can run meanwhile. If the kernel ends, the run can be resumed
    as after a kill. Other people can rate the same run on the page of `zo-dno rate RUN`.

    Args:
        run: Generator of a new run, or folder of a run to resume.
        mode: Kind of rating: "best" picks the best of several, "compare" one of two, "rank" orders several, "like"
            marks any number, "rate" gives each 0 to 10; by default the reward's own.
        reward: Combination that includes `human`; by default `human` alone, or the reward of the folder's run.
        reward_options: Further options of the reward.
        rater: Name of the rater, the same in every session of a run.
        width: Width of an image, in pixels; by default several fit side by side.
        options: Options of `zo_dno.optimize`, or of `zo_dno.resume` for a folder.
    Raises:
        InputError: ipywidgets is not installed, or an argument does not fit. Nothing was run.
        RunError: The run ended before the first task.
    """

    def __init__(
        self,
        run: Generator | str | Path,
        *,
        mode: str | None = None,
        reward: "AnyReward | None" = None,
        reward_options: Mapping[str, Any] | None = None,
        rater: str = "notebook",
        width: int | None = None,
        **options: Any,
    ) -> None:
        from zo_dno.run.optimize import optimize, resume
        from zo_dno.search.progress import both

        folder = Path(run) if isinstance(run, str | Path) else None
        self._view = RatingWidget(rater, width)
        self._view.stop = self._stop = options.pop("stop", None) or Stop()
        made = _reward(folder, mode, reward, reward_options or {}, trust=options.get("trust", False))
        _human(made).show = self._view.show
        kept = folder or options.get("out")
        self._view.run = _NotKept(made, options) if kept is None else RatedFolder(Path(kept))
        call: Callable[..., Result] = optimize if folder is None else resume
        on_step = both(self._view.step, options.pop("on_step", None))
        begin = partial(
            call, run if folder is None else folder, reward=made, stop=self._stop, on_step=on_step, **options
        )
        inspect.signature(call).bind(*begin.args, **begin.keywords)
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._search = threading.Thread(target=self._run, args=(begin,), name="zo-dno search", daemon=True)
        self._search.start()
        self._wait_for_first_task()

    @property
    def widget(self) -> Any:
        """Widget that a notebook shows."""
        return self._view.box

    @property
    def running(self) -> bool:
        """Whether the search is running."""
        return self._search.is_alive()

    @property
    def result(self) -> "Result":
        """Result of the run.

        Raises:
            RunError: The search is running, or nothing was rated.
            Exception: The search raised it.
        """
        if self.running:
            raise RunError(f"The search is not over: {self._view.how_far()}. Rate the images, or call stop().")
        if isinstance(self._error, KeyboardInterrupt):
            raise RunError("The search was stopped before there was a result.") from self._error
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def stop(self) -> None:
        """Stop the search without the ratings that it waits for; the ratings so far count and are kept in the folder.

        Requests of other rewards that are in flight are awaited, unless this is interrupted and called again.
        """
        self._stop()
        self._search.join()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    def _run(self, begin: "Callable[[], Result]") -> None:
        try:
            self._result = begin()
        except BaseException as error:  # raised again by `result`
            self._error = error
            self._view.end("The run ended without a result", alerts=[str(error) or type(error).__name__])
        else:
            _show_end(self._view, self._result)

    def _wait_for_first_task(self) -> None:
        """Wait until tasks may come. Options that do not fit fail before that, and are raised here."""
        try:
            self._view.begun.wait()
        except KeyboardInterrupt:
            self._stop()
            raise
        if self._error is not None:
            self._search.join()
            _ = self.result


class _NotKept(RatedRun):
    """A run without a folder.

    Args:
        reward: Reward of the run.
        options: Options of `zo_dno.optimize`.
    """

    def __init__(self, reward: Reward, options: Mapping[str, Any]) -> None:
        self._queries, self._exact = options.get("queries"), isinstance(reward, Human) and not options.get("require")

    def plan(self) -> Plan | None:
        return Plan(self._queries, exact=self._exact) if isinstance(self._queries, int) else None


def _reward(
    folder: Path | None, mode: str | None, reward: "AnyReward | None", options: Mapping[str, Any], *, trust: bool
) -> Reward:
    from zo_dno.run.make_reward import make_reward

    if folder is not None and reward is None:
        check_is_run(folder)
        config = read_yaml(folder / CONFIG)
        check_trusted(folder, config, trust=trust, without=("model", "strategy", "space", "held_out"))
        reward, options = config["reward"], {**config.get("reward_options", {}), **options}
    return make_reward("human" if reward is None else reward, {**options, **({} if mode is None else {"mode": mode})})


def _human(reward: Reward) -> Human:
    """Find the one `human` reward in a reward."""
    terms = [term.reward for term in reward.terms] if isinstance(reward, Combination) else [reward]
    found = [one for one in terms if isinstance(one, Human)]
    if len(found) != 1:
        name = type(reward).name if isinstance(reward, Combination) else reward.name
        raise InputError(
            f"reward must be human, or a combination with it once; {name!r} has it {len(found)} times. "
            "zo_dno.optimize takes any reward."
        )
    return found[0]


def _show_end(view: RatingWidget, result: "Result") -> None:
    first, best = result.first.reward, result.best.reward
    view.end(
        _ENDS[result.status],
        " ".join([f"{result.queries} images scored; see `result`.", *result.raters.get("words", ())]),
        [why for why in (result.pause, result.infeasible) if why],
        [("before", first, png_bytes(result.first_image)), ("best", best, png_bytes(result.best_image))],
    )
