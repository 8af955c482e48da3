"""`rate`: a search whose images are rated by clicks in a notebook's cell, without a server."""

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from zo_dno import api
from zo_dno.combination import Combination
from zo_dno.config import read_yaml
from zo_dno.errors import InputError
from zo_dno.parts import make_reward, name_of
from zo_dno.reward import Reward
from zo_dno.rewards.human import Human
from zo_dno.run_folder import CONFIG, check_is_run
from zo_dno.running import Running
from zo_dno.search import Step
from zo_dno.types import Generator
from zo_dno.widget import RatingWidget


def rate(
    run: Generator | str | Path,
    reward: api.AnyReward | None = None,
    *,
    reward_options: Mapping[str, Any] | None = None,
    rater: str = "notebook",
    **options: Any,
) -> Running:
    """Search for images that you like, asking by a widget of a notebook's cell. Returns at once.

    The search goes on in a thread of its own, since no click arrives while a cell is being run. Others can rate the
    same run by `zo-dno rate RUN`.

    Args:
        run: the generator of a new run, or the folder of one to go on with.
        reward: `human`, or a combination with it; by default `human`, or what the run had.
        reward_options: of the reward, such as {"mode": "compare"}.
        rater: name of the one who clicks.
        options: of `optimize` for a new run, of `resume` to go on with one.
    Returns:
        the run. A cell shows its widget if its last line is the run; `result()` is what `optimize` would return, once
        the run has ended, and `stop()` ends it as Ctrl-C would.

    Raises:
        InputError: an argument does not fit, the reward asks nobody, or ipywidgets is not installed. Nothing was run.
        RunError: the run ended before it asked anything.
    """
    folder = Path(run) if isinstance(run, str | Path) else None
    if folder is not None and reward is None:
        check_is_run(folder)
        config = read_yaml(folder / CONFIG)
        reward, reward_options = config["reward"], reward_options or config.get("reward_options")
    made = make_reward("human" if reward is None else reward, reward_options)
    human, view = _human(made), RatingWidget(rater)
    human.show = view.show
    call = api.optimize if folder is None else api.resume
    own = options.pop("on_step", None)
    work = partial(call, run if folder is None else folder, reward=made, **options)  # type: ignore[arg-type]
    inspect.signature(call).bind(*work.args, **work.keywords)
    started = Running(lambda look: work(on_step=_all(look, own)), view)
    view.stop = partial(started.stop, timeout=0)
    try:
        view.begun.wait()
    except KeyboardInterrupt:
        view.stop()
        raise
    if started.failed:
        started.result()
    return started


def _human(reward: Reward) -> Human:
    """Find the one part of a reward that asks people."""
    members = [part.reward for part in reward.members] if isinstance(reward, Combination) else [reward]
    found = [one for one in members if isinstance(one, Human)]
    if len(found) != 1:
        raise InputError(
            f"reward must be human, or a combination with it once; {name_of(reward)!r} has it {len(found)} times. "
            "zo_dno.optimize takes any reward."
        )
    return found[0]


def _all(*calls: Callable[[Step], None] | None) -> Callable[[Step], None]:
    def on_step(step: Step) -> None:
        for call in calls:
            if call is not None:
                call(step)

    return on_step
