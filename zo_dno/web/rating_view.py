"""The rating page as its raters see it: their tasks, the progress of the round, and the reason of a refusal."""

import json
from collections.abc import Callable

from fastapi import HTTPException, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment, PackageLoader, select_autoescape

from zo_dno.judges.plackett_luce import agreement
from zo_dno.judges.rating_store import RatingStore
from zo_dno.judges.rating_tasks import HEADINGS
from zo_dno.web.rating_sessions import Guard


class RatingView:
    """What a rater of the page sees.

    Args:
        store: Ratings of the run.
        guard: Sessions and forms of the raters.
        is_searching: Function that tells whether the search runs and will use the ratings.
    """

    def __init__(self, store: RatingStore, guard: Guard, is_searching: Callable[[], bool]) -> None:
        self.store, self.guard, self._is_searching = store, guard, is_searching
        loader = PackageLoader("zo_dno.web", ".")
        self._templates = Environment(loader=loader, autoescape=select_autoescape(), trim_blocks=True)

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

    def state(self, rater: str) -> str:
        """Return the state that a waiting page compares with its own, to know when to reload."""
        progress = self.store.progress(rater)
        return json.dumps([progress.rating_round, progress.given, self.store.has_task(rater), self._is_searching()])

    def page(self, rater: str, message: str = "", status: int = 200) -> HTMLResponse:
        """Return the page with the rater's next task."""
        name, serial = self.store.greet(rater)
        state = self.state(rater)  # first: any later change makes a waiting page reload
        page = self._templates.get_template("rating_page.html").render(
            state=state,
            task=self.store.next_task(rater),
            headings=HEADINGS,
            progress=self.store.progress(rater),
            proof=self.guard.proof(rater, serial),
            rater=name,
            message=message,
            searching=self._is_searching(),
            agreement=_agreement(self.store),
            **dict(zip(("first", "best"), self.store.first_and_best(), strict=True)),
        )
        return HTMLResponse(page, status)

    def refused(self, error: HTTPException) -> HTMLResponse:
        """Return the page that says why a request is refused."""
        page = self._templates.get_template("refused.html").render(reason=error.detail)
        return HTMLResponse(page, error.status_code)


def _agreement(store: RatingStore) -> str:
    """Describe how far the raters agree."""
    ratings = store.ratings()
    agree, several = agreement((one.rater, one.order) for one in ratings if one.order is not None)
    if several:
        return f"raters agree on {agree} of {several} pairs that several of them judged"
    votes: dict[int, list[float]] = {}
    for one in ratings:
        if one.value is not None:
            votes.setdefault(one.task, []).append(one.value)
    spreads = [max(values) - min(values) for values in votes.values() if len(values) > 1]
    return f"raters differ by {sum(spreads) / len(spreads):.1f} on average" if spreads else ""
