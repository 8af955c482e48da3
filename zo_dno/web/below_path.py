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
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        if scope["path"] == self._path:  # its relative addresses need the slash, and its query may hold the token
            query = scope["query_string"].decode("latin-1")
            return await RedirectResponse(f"{self._path}/{'?' if query else ''}{query}", 307)(scope, receive, send)
        if scope["path"].startswith(f"{self._path}/"):
            path = scope["path"].removeprefix(self._path)
            scope = {**scope, "path": path, "raw_path": path.encode()}
        return await self._app(scope, receive, send)
