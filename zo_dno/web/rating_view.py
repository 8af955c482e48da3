"""The rating page as its raters see it: a task, a wait, the end, or the reason of a refusal."""

import base64
import json
import struct
import time
from collections import OrderedDict

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, select_autoescape

from zo_dno.judges.closing_duel import duels, what_duels_say
from zo_dno.judges.distance_ladder import rungs_of, what_ladder_says
from zo_dno.judges.plackett_luce import agreement
from zo_dno.judges.rated_run import RatedRun, RunEnd
from zo_dno.judges.rating_store import RatingStore
from zo_dno.judges.rating_summary import awaited, in_words, sentences
from zo_dno.judges.rating_tasks import HEADINGS, Rating
from zo_dno.judges.self_agreement import in_sentences, self_agreement
from zo_dno.web.phone_code import has_codes
from zo_dno.web.rating_sessions import Guard

_NOTICES = 1000  # raters whose message is kept until their next page
_PRESENT = 4.0  # seconds after its last look in which a page counts as open
_LOOK = 0.05


class RatingView:
    """What a rater of the page sees.

    Args:
        store: Ratings of the run.
        guard: Sessions and forms of the raters.
        run: The run whose images are rated.
    Attributes:
        phone: Address of the page for a phone; empty if none can reach it.
    """

    def __init__(self, store: RatingStore, guard: Guard, run: RatedRun) -> None:
        self.phone = ""
        self.store, self.guard, self._run = store, guard, run
        loader = PackageLoader("zo_dno.web", ".")
        self._templates = Environment(loader=loader, autoescape=select_autoescape(), trim_blocks=True)
        self._notices: OrderedDict[str, str] = OrderedDict()
        self._over = False
        self._looked: dict[str, float] = {}  # when each rater's page last asked for the state
        self._got_end: set[str] = set()
        self._has_end: set[str] = set()  # whose page has loaded the end, style and script included

    def rater(self, request: Request) -> str:
        """Return the rater of a request's session.

        Raises:
            HTTPException: The request has no session.
        """
        rater = self.guard.rater(request.cookies.get(self.guard.cookie))
        if rater is None:
            raise HTTPException(401, "Open the page by the link that the search printed: it holds the token.")
        return rater

    def serial(self, rater: str, proof: str) -> int:
        """Return the serial of a form.

        Raises:
            HTTPException: The form was not made for the rater.
        """
        serial = self.guard.serial(rater, proof)
        if serial is None:
            raise HTTPException(403, "This form was not made by this page.")
        return serial

    def tell(self, rater: str, message: str) -> None:
        """Show a message on the rater's next page."""
        self._notices[rater] = message
        while len(self._notices) > _NOTICES:
            self._notices.popitem(last=False)

    def looked(self, rater: str) -> str:
        """Return the state to a rater's page, which compares it with its own to know when to reload."""
        self._looked[rater] = time.monotonic()
        if rater in self._got_end:
            self._has_end.add(rater)
        return self.state(rater)

    def state(self, rater: str) -> str:
        """Return the state of what a rater sees, as JSON."""
        progress = self.store.progress(rater)
        state = {"phase": self._phase(rater), "round": progress.rating_round, "given": progress.given}
        return json.dumps(state | {"undo": self.store.can_undo(rater)})

    def farewell(self, patience: float) -> None:
        """Show the end to the pages that are open, and wait until they have it.

        Args:
            patience: Seconds to wait at most.
        """
        self._over, until = True, time.monotonic() + patience
        while time.monotonic() < until and self._are_waiting():
            time.sleep(_LOOK)

    def page(self, rater: str) -> HTMLResponse:
        """Return the page that the rater sees now."""
        name, serial = self.store.greet(rater)
        state = self.state(rater)  # first: any later change makes a waiting page reload
        phase, ratings = json.loads(state)["phase"], self.store.ratings()
        task = self.store.next_task(rater) if phase == "task" else None
        if phase == "task" and task is None:  # another rater was faster
            phase = "wait"
        progress, searching = self.store.progress(rater), self._run.is_searching()
        work = self.store.work(progress, self._run.plan())
        page = self._templates.get_template(f"rating_{phase}.html").render(
            state=state,
            phase=phase,
            last=self._over,
            task=task,
            heading=task and HEADINGS[task.mode],
            rungs=rungs_of(self.store, task.shown) if task is not None and task.mode == "distance" else [],
            progress=progress,
            work=work,
            awaited=awaited(progress, work, searching=searching),
            undo=self.store.can_undo(rater),
            proof=self.guard.proof(rater, serial),
            rater=name,
            message=self._notices.pop(rater, ""),
            run=self._run.name,
            phone=bool(self.phone) and has_codes(),
            agreement=_agreement(ratings),
            size=self._size,
            searching=searching,
            **(self._ended(ratings, rater) if phase == "end" else self._pair(ratings)),
        )
        if phase == "end":
            self._got_end.add(rater)
        return HTMLResponse(page)

    def refused(self, error: HTTPException) -> HTMLResponse:
        """Return the page that says why a request is refused."""
        page = self._templates.get_template("refused.html").render(reason=error.detail)
        return HTMLResponse(page, error.status_code)

    def _phase(self, rater: str) -> str:
        if self._over:
            return "end"
        if self.store.has_task(rater):
            return "task"
        return "wait" if self._run.is_searching() or self._run.end() is None else "end"

    def _are_waiting(self) -> bool:
        since = time.monotonic() - _PRESENT
        return any(looked > since and rater not in self._has_end for rater, looked in [*self._looked.items()])

    def _pair(self, ratings: list[Rating]) -> dict[str, object]:
        """Return the first and the best image so far, each with what raters said of it."""
        first, best = self.store.first_and_best()
        if first is None or best is None:
            return {"first": None, "best": None}
        scores = self.store.scores()
        settled = [one.images for one in self.store.rounds() if any(name in scores for name in one.images)]
        said = {name: in_words(ratings, name) for name, _ in (first, best)}
        is_new = best[0] != first[0] and bool(settled) and best[0] in settled[-1]
        return {"first": first[0], "best": best[0], "said": said, "is_new": is_new}

    def _ended(self, ratings: list[Rating], rater: str) -> dict[str, object]:
        """Return the outcome of the run, or of its ratings where the run left none, and what a rater is told."""
        end = self._run.end() or self._end_by_ratings()
        if end is None:
            return {"end": None}
        pictures = [_address(png) for png in (end.first_png, end.best_png)]
        sizes = [_size(png) for png in (end.first_png, end.best_png)]
        themselves = self_agreement(self.store.repeats(), ratings)
        said = [
            *what_ladder_says(self.store),
            *what_duels_say(duels(self.store, end.best)),
            *sentences(ratings, end.first, end.best),
            *end.words,
        ]
        said += in_sentences(themselves, self.store.names(), you=rater)
        return {"end": end, "pictures": pictures, "sizes": sizes, "sentences": said}

    def _end_by_ratings(self) -> RunEnd | None:
        first, best = self.store.first_and_best()
        files = [self.store.png(one[0]) for one in (first, best) if one is not None]
        if first is None or best is None or files[0] is None or files[1] is None:
            return None
        return RunEnd("The search has ended", first[0], best[0], files[0], files[1])

    def _size(self, name: str) -> tuple[int, int]:
        return _size(self.store.png(name) or b"")


def _address(png: bytes) -> str:
    """Return a PNG file as a data URL, which stays when the server is gone."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _size(png: bytes) -> tuple[int, int]:
    """Return width and height of a PNG file, from its header; (1, 1) where it has none."""
    if not png.startswith(b"\x89PNG") or len(png) < 24:
        return 1, 1
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def _agreement(ratings: list[Rating]) -> str:
    """Describe how far the raters agree."""
    agree, several = agreement((one.rater, one.order) for one in ratings if one.order is not None)
    if several:
        return f"raters agree on {agree} of {several} pairs that several of them judged"
    votes: dict[int, list[float]] = {}
    for one in ratings:
        if one.value is not None:
            votes.setdefault(one.task, []).append(one.value)
    spreads = [max(values) - min(values) for values in votes.values() if len(values) > 1]
    return f"raters differ by {sum(spreads) / len(spreads):.1f} on average" if spreads else ""
