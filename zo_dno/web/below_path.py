"""An application that also responds below a path, for proxies that keep the path of their public address."""

from typing import Any

from starlette.responses import RedirectResponse


class BelowPath:
    """Serves an application at "/" and below a path.

    Args:
        app: ASGI application.
        path: Path of the public address, such as /rate, without a slash at its end.
    """

    def __init__(self, app: Any, path: str) -> None:
        self._app, self._path = app, path

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Handle a request."""
        app, path = self._app, scope.get("path", "")
        if path == self._path:  # relative addresses need the slash, and the query may hold the token
            query = scope["query_string"].decode("latin-1")
            app = RedirectResponse(f"{path}/{'?' if query else ''}{query}", 307)
        elif path.startswith(f"{self._path}/"):
            below = path.removeprefix(self._path)
            scope = {**scope, "path": below, "raw_path": below.encode()}
        await app(scope, receive, send)
