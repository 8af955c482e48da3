"""The page that watches runs: its server, its addresses, and its forms that stop and resume a run."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Form, HTTPException, Request
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool

from zo_dno.errors import InputError
from zo_dno.watch.board import Board
from zo_dno.watch.pictures import picture
from zo_dno.watch.process import Processes
from zo_dno.web.page_door import page_headers, refusal
from zo_dno.web.rating_sessions import Guard, page_token
from zo_dno.web.server import WebServer

_HERE = Path(__file__).parent
_HEADERS = page_headers("'none'")
_MOST_STREAMS = 16  # pages that are sent changes; further ones ask for them
_PAUSE, _BEAT = 1.0, 15  # seconds between two looks; looks between two signs of life
_A_DAY = 24 * 3600
_Reader = Callable[[Request], str]


class WatchPage:
    """The server of the page, in this process, on loopback: it can stop processes.

    Args:
        folders: Folders of runs, of groups of runs, or above them.
        port: Port to listen on; 0 takes any free one.
    Attributes:
        link: Address of the page with its token.
    Raises:
        InputError: The port cannot be listened on.
    """

    def __init__(self, folders: Sequence[Path], *, port: int = 0) -> None:
        token = page_token(None)
        self._server = WebServer(watch_app(folders, token, is_ending=lambda: self._server.is_ending), port=port)
        self.link = f"{self._server.url}/?token={token}"
        self.run, self.start, self.stop = self._server.run, self._server.start, self._server.stop


def watch_app(
    folders: Sequence[Path],
    token: str,
    processes: Processes | None = None,
    is_ending: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """Build the page as an ASGI application.

    Args:
        folders: Folders of runs, of groups of runs, or above them.
        token: Token of the link.
        processes: The runs' processes.
        is_ending: Function that tells whether the server is ending, and streams must end.
    """
    app = FastAPI(openapi_url=None)
    guard, processes = Guard(token), processes or Processes()
    loader = PackageLoader("zo_dno.watch", ".")
    templates = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    board = Board(folders, templates, processes)

    @app.middleware("http")
    async def protect(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
        response = await refusal(request, guard) or await call_next(request)
        response.headers.update({**_HEADERS, **_cached(request, response)})
        return response

    @app.exception_handler(HTTPException)
    def refuse(_: Request, error: HTTPException) -> HTMLResponse:
        return HTMLResponse(templates.get_template("refused.html").render(reason=error.detail), error.status_code)

    def reader(request: Request) -> str:
        """Return the session of a request."""
        found = guard.rater(request.cookies.get(guard.cookie))
        if found is None:
            raise HTTPException(401, "Open the page by the link that `zo-dno watch` printed: it holds the token.")
        return found

    def show(session: str) -> HTMLResponse:
        page = templates.get_template("watch.html").render(
            cards=board.cards(), left_out=board.left_out, folders=[*map(str, folders)], proof=guard.proof(session, 0)
        )
        return HTMLResponse(page)

    @app.get("/", response_model=None)
    def enter(request: Request, token: str = "") -> Response:
        if not token:
            return show(reader(request))
        if not guard.admits(token):
            raise HTTPException(401, "The token in this link is not this page's.")
        response = RedirectResponse("./", 303)  # so that the token leaves the address bar
        response.set_cookie(guard.cookie, guard.new_session(), max_age=_A_DAY, httponly=True, samesite="lax")
        return response

    _add_forms(app, board, processes, guard, reader)
    _add_changes(app, board, reader, is_ending)
    _add_files(app, board, reader)
    return app


def _add_forms(app: FastAPI, board: Board, processes: Processes, guard: Guard, reader: _Reader) -> None:
    """Add the form whose buttons stop and resume a run or a group."""

    @app.post("/act", response_model=None)
    def act(
        session: Annotated[str, Depends(reader)],
        proof: Annotated[str, Form()] = "",
        stop: Annotated[str, Form()] = "",
        resume: Annotated[str, Form()] = "",
    ) -> Response:
        if guard.serial(session, proof) is None:
            raise HTTPException(403, "This form was not made by this page.")
        folder = board.folder(stop or resume)
        if folder is None:
            raise HTTPException(404, "There is no such run on this page.")
        try:
            (processes.stop if stop else processes.resume)(folder)
        except (InputError, OSError) as error:
            board.tell(folder, str(error))
        else:
            board.tell(folder, "")
        return RedirectResponse("./", 303)


def _add_changes(app: FastAPI, board: Board, reader: _Reader, is_ending: Callable[[], bool]) -> None:
    """Add the state of the cards, once and as a stream of its changes, and each card."""
    streams = 0

    async def changes() -> AsyncIterator[str]:
        nonlocal streams
        streams += 1
        try:
            sent, quiet = "", 0
            while not is_ending():
                state = json.dumps(await run_in_threadpool(board.state))
                quiet = 0 if state != sent else quiet + 1
                if state != sent:
                    yield f"data: {state}\n\n"
                elif quiet % _BEAT == 0:
                    yield ": \n\n"
                sent = state
                await asyncio.sleep(_PAUSE)
        finally:
            streams -= 1

    @app.get("/changes", response_model=None)
    async def stream(_: Annotated[str, Depends(reader)]) -> Response:
        if streams >= _MOST_STREAMS:
            raise HTTPException(503, "Too many pages are open.")
        return StreamingResponse(changes(), media_type="text/event-stream")

    @app.get("/state", response_model=None)
    def state(_: Annotated[str, Depends(reader)]) -> Response:
        return JSONResponse(board.state())

    @app.get("/card/{key}", response_model=None)
    def card(key: str, _: Annotated[str, Depends(reader)]) -> Response:
        html = board.cards().get(key)
        if html is None:
            raise HTTPException(404, "There is no such run on this page.")
        return HTMLResponse(html)


def _add_files(app: FastAPI, board: Board, reader: _Reader) -> None:
    """Add the pictures, the style and the script of the page."""

    @app.get("/image/{key}/{name}.png", response_model=None)
    def image(key: str, name: str, _: Annotated[str, Depends(reader)]) -> Response:
        folder = board.shows(key, name)
        png = None if folder is None else picture(folder, name)
        if png is None:
            raise HTTPException(404, "There is no such image.")
        return Response(png, media_type="image/png")

    for file in ("watch.css", "watch.js"):
        app.get(f"/{file}")(lambda path=_HERE / file: FileResponse(path))


def _cached(request: Request, response: Response) -> dict[str, str]:
    """Return the header by which a browser keeps a picture, whose address names its content."""
    is_picture = request.url.path.startswith("/image/") and response.status_code == 200
    return {"Cache-Control": f"private, max-age={_A_DAY}, immutable"} if is_picture else {}
