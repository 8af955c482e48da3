"""The door of pages with forms: the headers of what they send, and what is refused before it is parsed."""

from urllib.parse import urlsplit

from fastapi import Request
from fastapi.responses import HTMLResponse, Response

from zo_dno.web.rating_sessions import Guard
from zo_dno.web.starlette_body import keep_body

_MAX_FORM = 16 * 2**10  # bytes


def page_headers(frame_ancestors: str) -> dict[str, str]:
    """Return the headers of a page and its files.

    Args:
        frame_ancestors: Origins of pages that may show it in a frame, as a Content-Security-Policy has them.
    """
    return {
        "Content-Security-Policy": "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
        f"connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {frame_ancestors}",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",  # "no-referrer" would take the origin from our own forms, too
        "Cache-Control": "no-store",
    }


async def refusal(request: Request, guard: Guard, public_origin: str = "") -> Response | None:
    """Refuse forms that are too many, too large or from another site, before they are parsed.

    Args:
        request: Request of a form, or another one, which is not refused.
        guard: Sessions and rate limits of the page.
        public_origin: Origin of the page behind a proxy, whose forms are accepted, too.
    """
    if request.method != "POST":
        return None
    host = request.client.host if request.client else ""
    if not guard.allows(guard.rater(request.cookies.get(guard.cookie)) or host):
        return HTMLResponse("Too many forms; wait a moment.", 429, {"Retry-After": "1"})
    origin = request.headers.get("origin")
    own = origin is None or _is_origin_of(request.headers.get("host"), origin)
    if not own and (not public_origin or origin != public_origin):
        return HTMLResponse("This form was sent from another page.", 403)
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > _MAX_FORM:
            return HTMLResponse(f"A form is at most {_MAX_FORM} bytes.", 413)
    keep_body(request, bytes(content))
    return None


def _is_origin_of(host: str | None, origin: str) -> bool:
    try:
        return bool(host) and urlsplit(origin).netloc == host
    except ValueError:
        return False
