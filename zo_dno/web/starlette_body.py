"""The private attribute of Starlette in use: where a request keeps a body that was read."""

from starlette.requests import Request


def keep_body(request: Request, content: bytes) -> None:
    """Hand a middleware's copy of the body on to the application, which cannot read the stream a second time."""
    request._body = content
