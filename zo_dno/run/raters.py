"""The people behind a run's scores: what they are asked at its end, and what their own answers say of them."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from PIL import Image

from zo_dno.errors import RunError
from zo_dno.oracle.combination.reward import Combination
from zo_dno.reward import AsksPeople, Reward
from zo_dno.run.by_choices import by_strength
from zo_dno.run.open_run import OpenRun
from zo_dno.search.archive import Archive
from zo_dno.search.loop import Search


def ask_people_at_the_end(run: OpenRun, search: Search) -> None:
    """Let the raters compare the winner with the first image and with the second best, unless the run is cut short.

    Ctrl-C ends that alone, since the search is over. Without one of the images, which may be gone, it is left out.
    """
    people, stop, best = people_of(run.spec.reward), run.spec.stop, search.archive.best
    if people is None or best is None or not best.feasible or search.status not in ("finished", "target"):
        return
    others = [search.archive.first, *by_strength(search)]
    rivals = {one.sha256: one for one in others if one is not None and one.sha256 != best.sha256}
    first = [name for name in rivals if others[0] is not None and name == others[0].sha256]
    second = [name for name in rivals if name not in first][:1]
    with suppress(KeyboardInterrupt, RunError):
        images = {best.sha256: best.image, **{name: rivals[name].image for name in (*first, *second)}}
        people.ask_at_the_end(
            {name: Image.fromarray(image) for name, image in images.items()},
            run.prompt,
            lambda: stop is not None and stop.called,
        )


def what_raters_said(reward: Reward, archive: Archive) -> Mapping[str, Any]:
    """Return what is to be known of the raters of a run; empty where no person rated."""
    people = people_of(reward)
    return {} if people is None or archive.best is None else people.about_raters(archive.best.sha256)


def people_of(reward: Reward) -> AsksPeople | None:
    """Find the reward that asks people: the reward itself, or a term of a combination."""
    terms = [term.reward for term in reward.terms] if isinstance(reward, Combination) else [reward]
    return next((one for one in terms if isinstance(one, AsksPeople)), None)
