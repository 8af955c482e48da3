import starlette
from starlette.applications import Starlette
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.responses import Response
from starlette.routing import Route
from starlette.testclient import TestClient

from zo_dno.web.starlette_body import keep_body


def test_a_body_that_a_middleware_read_reaches_the_application():
    async def echo(request):
        return Response(await request.body())

    async def read(request, call_next):
        keep_body(request, b"".join([chunk async for chunk in request.stream()]))
        return await call_next(request)

    app = BaseHTTPMiddleware(Starlette(routes=[Route("/", echo, methods=["POST"])]), read)
    with TestClient(app) as client:
        seen = client.post("/", content=b"a form").content
    assert seen == b"a form", f"Starlette {starlette.__version__} no longer keeps a body in Request._body"
