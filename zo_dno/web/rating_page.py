"""The rating page: its server, its addresses and forms, and what is refused before it is parsed."""

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response

from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.judges.rated_run import RatedRun
from zo_dno.judges.rating_store import RatingStore
from zo_dno.judges.rating_tasks import SKIPPED, RatingError
from zo_dno.web.below_path import BelowPath
from zo_dno.web.page_door import page_headers, refusal
from zo_dno.web.phone_code import phone_code
from zo_dno.web.rating_sessions import Guard, page_token
from zo_dno.web.rating_view import RatingView
from zo_dno.web.server import WebServer, is_loopback

_HERE = Path(__file__).parent
_MAX_NAME = 40  # characters
_FAREWELL = 4.0  # seconds for open pages to load the end, before their server stops
_A_YEAR = 365 * 24 * 3600
_IMAGE = re.compile(r"[0-9a-f]{64}")
_OWN = re.compile(r"https?://(localhost|127\.0\.0\.1)(:\d+)?")  # origins on this machine
_HEADERS = page_headers("'self' http://localhost:* http://127.0.0.1:*")  # a notebook's cell


class Page:
    """The server of a run's rating page, in this process.

    Args:
        store: Ratings of the run.
        folder: Folder of the run; None if it has none.
        run: The run whose images are rated; by default one that is searching.
        host: Address to listen on.
        port: Port to listen on; 0 takes any free one.
        public_url: Address by which browsers reach the page through a proxy, such as https://example.org/rate/.
    Attributes:
        link: Address of the page with its token.
        mark: Random text that identifies this server; it is not secret.
        app: The page as an ASGI application.
    Raises:
        InputError: The address cannot be listened on.
    """

    def __init__(
        self,
        store: RatingStore,
        folder: Path | None = None,
        run: RatedRun | None = None,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        public_url: str = "",
    ) -> None:
        token, self.mark = page_token(folder), secrets.token_hex(8)
        public = _checked_public(public_url)
        view = RatingView(store, Guard(token), run or RatedRun())
        self.app: Any = _app(view, self.mark, origin_of(public))
        if path := urlsplit(public).path.rstrip("/"):
            self.app = BelowPath(self.app, path)
        self._server = WebServer(self.app, host, port, names=[urlsplit(public).hostname or ""] if public else [])
        view.phone = public or ("" if is_loopback(host) else f"{self._server.url}/")
        self.link = f"{public or self._server.url + '/'}?token={token}"
        self.run, self.start, self.stop = self._server.run, self._server.start, self._server.stop
        self._view = view

    def farewell(self) -> None:
        """Show the end of the search to the pages that are open, and wait until they have it, for some seconds."""
        self._view.farewell(_FAREWELL)


def page_app(
    store: RatingStore,
    token: str,
    run: RatedRun | None = None,
    mark: str = "",
    *,
    public_origin: str = "",
) -> FastAPI:
    """Build the rating page as an ASGI application.

    Args:
        store: Ratings of the run.
        token: Token of the link.
        run: The run whose images are rated; by default one that is searching.
        mark: Text by which a notebook on this machine recognises the server.
        public_origin: Origin of the page behind a proxy, such as https://example.org, whose forms are accepted, too.
    """
    return _app(RatingView(store, Guard(token), run or RatedRun()), mark, public_origin)


def _app(view: RatingView, mark: str, public_origin: str) -> FastAPI:
    app = FastAPI(openapi_url=None)

    @app.middleware("http")
    async def protect(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await refusal(request, view.guard, public_origin) or await call_next(request)
        response.headers.update(_HEADERS)
        return response

    @app.exception_handler(HTTPException)
    def refuse(_: Request, error: HTTPException) -> HTMLResponse:
        return view.refused(error)

    _add_page(app, view)
    _add_forms(app, view)
    _add_files(app, view, mark)
    return app


def _add_page(app: FastAPI, view: RatingView) -> None:
    """Add the page itself, and the state by which an open page knows when to reload."""
    guard, store = view.guard, view.store

    @app.get("/", response_model=None)
    def show(request: Request, token: str = "", name: str = "", session: str = "") -> Response:
        if not token and not session:
            return view.page(view.rater(request))
        if not (guard.admits(token) if token else guard.rater(session)):
            raise HTTPException(401, "The token in this link is not this run's.")
        session = session or request.cookies.get(guard.cookie, "")  # one rater in all windows of a browser
        session = session if guard.rater(session) else guard.new_session()
        store.greet(guard.rater(session) or "", name[:_MAX_NAME].strip())
        response = RedirectResponse("./", 303)  # so that the token leaves the address bar
        response.set_cookie(guard.cookie, session, max_age=_A_YEAR, httponly=True, samesite="lax")
        return response

    @app.get("/state")
    def state(rater: Annotated[str, Depends(view.rater)]) -> PlainTextResponse:
        return PlainTextResponse(view.looked(rater), media_type="application/json")


def _add_forms(app: FastAPI, view: RatingView) -> None:
    """Add the addresses of the page's forms: a rating, taking the last one back, a name."""
    store = view.store

    @app.post("/answer", response_model=None)
    async def submit(request: Request, rater: Annotated[str, Depends(view.rater)]) -> Response:
        form = {key: value for key, value in (await request.form()).items() if isinstance(value, str)}
        serial = view.serial(rater, form.get("proof", ""))
        try:
            store.rate(rater, _integer(form.get("task", "")), _rating(form), serial)
        except RatingError as error:
            view.tell(rater, str(error))  # on the next page: one that answers the form would be in the way of Back
        return RedirectResponse("./", 303)

    @app.post("/undo", response_model=None)
    def undo(rater: Annotated[str, Depends(view.rater)], proof: Annotated[str, Form()] = "") -> Response:
        try:
            store.undo(rater, view.serial(rater, proof))
        except RatingError as error:
            view.tell(rater, str(error))
        return RedirectResponse("./", 303)

    @app.post("/name", response_model=None)
    def rename(
        rater: Annotated[str, Depends(view.rater)],
        proof: Annotated[str, Form()] = "",
        name: Annotated[str, Form()] = "",
    ) -> Response:
        view.serial(rater, proof)
        store.greet(rater, name[:_MAX_NAME].strip())
        return RedirectResponse("./", 303)


def _add_files(app: FastAPI, view: RatingView, mark: str) -> None:
    """Add the images, the style and the script of the page, and the server's mark."""

    @app.get("/image/{name}.png")
    def image(name: str, rater: Annotated[str, Depends(view.rater)]) -> Response:
        png = view.store.png(name) if _IMAGE.fullmatch(name) else None
        if png is None:
            raise HTTPException(404, "There is no such image.")
        return Response(png, media_type="image/png")

    @app.get("/phone.svg", dependencies=[Depends(view.rater)])
    def phone(request: Request) -> Response:
        """Return the code of a link by which the rater is the same one on a phone."""
        svg = phone_code(f"{view.phone}?session={request.cookies[view.guard.cookie]}") if view.phone else None
        if svg is None:
            raise HTTPException(404, "There is no code for phones.")
        return Response(svg, media_type="image/svg+xml")

    for file in ("rating_page.css", "rating_page.js"):
        app.get(f"/{file}")(lambda path=_HERE / file: FileResponse(path))

    @app.get("/here")
    def here(request: Request) -> PlainTextResponse:
        """Return the server's mark to pages on this machine, such as a notebook."""
        origin = request.headers.get("origin", "")
        allowed = {"Access-Control-Allow-Origin": origin, "Vary": "Origin"} if _OWN.fullmatch(origin) else {}
        return PlainTextResponse(mark, headers=allowed)


def origin_of(url: str) -> str:
    """Return the origin of a URL, as browsers send it: without the scheme's own port; empty for none."""
    parts = urlsplit(url)
    if not parts.hostname:
        return ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = "" if parts.port in (None, {"http": 80, "https": 443}.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}"


def _checked_public(url: str) -> str:
    """Return the public URL of a page with a slash at its end.

    Raises:
        InputError: The text is no URL of a page.
    """
    if url and not _is_address(url):
        raise InputError(f"public_url must be an address such as https://example.org/rate/; got {one_line(url)!r}.")
    return url and url.rstrip("/") + "/"


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # of brackets that do not close, or a port that is none
        return False
    plain = not (parts.query or parts.fragment or parts.username or parts.password)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and plain


def _rating(form: Mapping[str, str]) -> str | float | list[str]:
    """Read the rating in a form: a skip, a number, a choice or an order."""
    if "skip" in form:
        return SKIPPED
    if "rating" in form:
        return float(_integer(form["rating"]))
    if "choice" in form:
        return form["choice"]
    if "likes" in form:
        return [key.removeprefix("like-") for key in form if key.startswith("like-")]
    if "order" in form:
        return form["order"].split()
    places = sorted((value, key.removeprefix("place-")) for key, value in form.items() if key.startswith("place-"))
    if len({value for value, _ in places}) < len(places):
        raise RatingError("Every image needs a place of its own.")
    return [name for _, name in places]


def _integer(text: str) -> int:
    if not re.fullmatch(r"\d{1,9}", text):
        raise RatingError("This form is not complete.")
    return int(text)
