"""The distance that a search keeps from liked noise, where a rater chooses it from a ladder before the search."""

from functools import partial
from typing import Literal

from PIL import Image

from zo_dno.errors import InputError, RunError
from zo_dno.oracle.combination.reward import Combination
from zo_dno.reward import AsksDistance, Reward
from zo_dno.run.ladder import ladder
from zo_dno.run.open_run import OpenRun

ASK = "ask"
_USUAL = 0.3  # where the rater skips the choice
_EACH = 3  # images at each distance
_CHOSEN = "chosen_distance"  # fact of the run


def check_distance(distance: float | Literal["ask"], reward: Reward) -> float:
    """Check that there are raters to ask for a distance. Returns the distance, or one to build with before the choice.

    Args:
        distance: Option of the run.
        reward: Reward of the run.
    Raises:
        InputError: There is no rater.
    """
    if distance != ASK:
        return float(distance)
    if _asker(reward) is None:
        raise InputError(
            f"distance must be a number from 0 to 1 with {reward.name}, which has no raters to ask; got 'ask'. See the "
            "distances first: zo-dno ladder."
        )
    return _USUAL


def choose_distance(run: OpenRun) -> None:
    """Let a rater choose the distance of a run that asks for it, once.

    Raises:
        RunError: The run was stopped before the choice.
    """
    spec = run.spec
    if spec.options.distance != ASK:
        return
    chosen = run.ledger.get(_CHOSEN)
    if chosen is None:
        chosen = _asked(run)
        run.ledger.set({_CHOSEN: chosen})
    spec.build_strategy = partial(spec.build_strategy, distance=float(chosen))


def _asker(reward: Reward) -> AsksDistance | None:
    terms = [term.reward for term in reward.terms] if isinstance(reward, Combination) else [reward]
    return next((one for one in terms if isinstance(one, AsksDistance)), None)


def _asked(run: OpenRun) -> float:
    spec, people = run.spec, _asker(run.spec.reward)
    assert spec.near is not None
    assert people is not None
    rungs = ladder(spec.generator, spec.near, each=_EACH, seed=spec.options.seed)
    images = {rung.distance: [Image.fromarray(image) for image in rung.images] for rung in rungs}
    stop = spec.stop
    over, chosen = people.ask_distance(images, run.prompt, lambda: stop is not None and stop.called)
    if not over:
        resume = "" if run.path is None else f" Resume: zo-dno resume {run.path}"
        raise RunError(f"No distance was chosen yet, and the search begins with it.{resume}")
    return _USUAL if chosen is None else chosen
