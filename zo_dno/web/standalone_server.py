"""A server of a Python function as a reward, of Python 3.8 or later and Pillow alone.

    python server.py my_rewards:score --port 8011
    zo-dno run ... --reward http --reward-option url=http://127.0.0.1:8011/score

The function is called as `score(images, prompts)`, or as `score(images)` if it has one parameter, with PIL images in
RGB, and returns a list: for each image a number, or a mapping with `value` and any of `error`, `kind`, `raw`, `cost`
and `tokens`. Its attributes `unit`, `version`, `batch` (most images in one call, by default 1) and `range` (lowest and
highest value) describe it. It may be a coroutine function. A class is called once, with the options `--option
KEY=VALUE`, and makes the function.

If the environment variable ZO_DNO_TOKEN is set, clients must send its value as their token.
"""

from __future__ import annotations  # Python 3.8 reads the annotations of later ones

import argparse
import contextlib
import hmac
import importlib
import ipaddress
import json
import os
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Callable, NoReturn  # noqa: UP035, as Python 3.8 has them

from zo_dno.web.door import MAX_BODY, MAX_WAITING, OPEN_PATHS, Body, RefusedError, decoded, one_line, read_request
from zo_dno.web.function_scores import FunctionScores

ZO_DNO = "source"  # version of zo-dno that wrote this file
_TOKEN = "ZO_DNO_TOKEN"  # environment variable of the token
_OWN_NAMES = ("127.0.0.1", "localhost", "[::1]")  # host names that a server on loopback accepts
_CHUNK = 2**16  # bytes read at once


class RewardServer(ThreadingHTTPServer):
    """Serves a function.

    Args:
        scores: Scores of the function.
        host: Address to listen on.
        port: Port to listen on; 0 takes any free one.
        token: Token that requests must bring; "" requires none.
        most_images: Most images in one request.
        in_flight: Most requests that are scored at once.
    """

    daemon_threads = True
    request_queue_size = 1024

    def __init__(
        self,
        scores: FunctionScores,
        host: str,
        port: int,
        *,
        token: str = "",
        most_images: int = 64,
        in_flight: int = 1,
    ) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.scores, self.token, self.most_images = scores, token, most_images
        self.slots, self.lock, self.waiting = threading.BoundedSemaphore(in_flight), threading.Lock(), 0
        self.local = is_loopback(host)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)  # HTTPServer would also look its own name up
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    @property
    def url(self) -> str:
        """Address of the server."""
        host = str(self.server_address[0])
        name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
        return f"http://{f'[{name}]' if ':' in name else name}:{self.server_port}"

    def enter(self) -> bool:
        """Count a request that waits; False if there are too many."""
        with self.lock:
            free = self.waiting < MAX_WAITING
            self.waiting += free
            return free

    def leave(self) -> None:
        """Count a request less."""
        with self.lock:
            self.waiting -= 1

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay silent about connections that the other side closed."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    server: RewardServer  # pyright: ignore[reportIncompatibleVariableOverride], the class that makes it
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "zo-dno", ""
    timeout = 60  # seconds without a byte

    def do_GET(self) -> None:
        self._respond()

    do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_GET  # noqa: N815, the library's names

    def _respond(self) -> None:
        self._left, headers = 0, {}
        try:
            self._left = self._length()
            status, body = 200, self._called()
        except RefusedError as refusal:
            status, body, headers = refusal.status, {"detail": refusal.detail}, refusal.headers
        self._drain()
        content = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": str(len(content)), **headers}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def _called(self) -> dict[str, Any]:
        path = self.path.partition("?")[0]
        if self.server.local and _without_port(self.headers.get("Host") or "") not in _OWN_NAMES:
            raise RefusedError(400, "Invalid host header")  # a name of another site that resolves to this machine
        sent, token = (self.headers.get("Authorization") or "").encode(), self.server.token
        if token and path not in OPEN_PATHS and not hmac.compare_digest(sent, f"Bearer {token}".encode()):
            raise RefusedError(401, "the token is missing or wrong")
        paths: dict[str, tuple[str, Callable[[], dict[str, Any]]]] = {
            "/health": ("GET", lambda: {"status": "ok"}),
            "/version": ("GET", self._version),
            "/score": ("POST", self._score),
        }
        if path not in paths:
            raise RefusedError(404, "Not Found")
        method, called = paths[path]
        if self.command != method:
            raise RefusedError(405, "Method Not Allowed")
        return called()

    def _version(self) -> dict[str, Any]:
        scores = self.server.scores
        about = {"unit": scores.unit, "settings": scores.options, "most_images": self.server.most_images}
        return {**scores.identity, **about, "zo_dno": ZO_DNO}

    def _score(self) -> dict[str, Any]:
        if not self.server.enter():
            raise RefusedError(503, "too many calls are waiting", 1)
        try:
            images, prompts = read_request(self._body(), self.server.most_images)
            with self.server.slots:
                scores = self.server.scores.score(decoded(images), prompts)
        finally:
            self.server.leave()
        return {"scores": scores, "reward": self.server.scores.identity}

    def _length(self) -> int:
        """Return the length that the headers name."""
        length = self.headers.get("Content-Length") or "0"
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self.close_connection = True
            raise RefusedError(411, "expected a Content-Length")
        return int(length)

    def _body(self) -> bytes:
        body = Body(self.headers.get("Content-Type") or "", self.headers.get("Content-Encoding") or "")
        while self._left:
            body.add(self._read())
        return body.content()

    def _read(self) -> bytes:
        chunk = self.rfile.read(min(_CHUNK, self._left))
        if not chunk:
            raise ConnectionError("the request ended before its length")
        self._left -= len(chunk)
        return chunk

    def _drain(self) -> None:
        """Read the rest of a refused request, so that its sender comes to read the reason."""
        if self._left > MAX_BODY:
            self.close_connection = True
            return
        while self._left:
            self._read()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


def _without_port(host: str) -> str:
    name, _, port = host.rpartition(":")
    return name if port.isdigit() else host


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def imported(name: str, options: dict[str, Any]) -> Callable[..., Any]:
    """Import a function, or make it of a class.

    Raises:
        ValueError: The name or an option does not fit.
    """
    module, _, attribute = name.partition(":")
    if not attribute or module.endswith(".py"):
        raise ValueError(f"reward must be package.module:function, without .py; got {one_line(name, 200)}")
    sys.path.insert(0, os.getcwd())
    try:
        found = getattr(importlib.import_module(module), attribute)
        if isinstance(found, type):
            found = found(**options)
        elif options:
            raise ValueError(f"option must be left out with a function; got {', '.join(options)}")
    except Exception as error:
        raise ValueError(f"{name} could not be made: {one_line(f'{type(error).__name__}: {error}')}") from error
    if not callable(found):
        raise ValueError(f"{name} must be a function; got {one_line(repr(found), 200)}")
    return found  # type: ignore[no-any-return]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"Error: {message}\n")


def main() -> None:
    """Serve until Ctrl-C."""
    parser = _Parser(description="Serve a Python function as a reward at POST /score.")
    parser.add_argument("reward", help="package.module:function, or the class of a function")
    parser.add_argument("--port", type=int, default=8011, help="port to listen on; 0 takes any free one")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; any but loopback needs a token")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="option of a class")
    parser.add_argument("--in-flight", type=int, default=1, help="most requests that are scored at once")
    parser.add_argument("--most-images", type=int, default=64, help="most images in one request")
    parser.add_argument("--timeout", type=float, help="longest time of one call in seconds")
    given = parser.parse_args()
    if min(given.in_flight, given.most_images) < 1 or (given.timeout is not None and given.timeout <= 0):
        parser.error("in-flight and most-images must be at least 1, timeout above 0")
    token = os.environ.get(_TOKEN, "")
    if not token and not is_loopback(given.host):
        parser.error(
            f"host {given.host} can be reached from other machines, so a token must be set: export {_TOKEN}=..."
        )
    try:
        options = dict(_pair(text) for text in given.option)
        scores = FunctionScores(imported(given.reward, options), given.reward.partition(":")[2], options, given.timeout)
        numbers = {"most_images": given.most_images, "in_flight": given.in_flight}
        server = RewardServer(scores, given.host, given.port, token=token, **numbers)
    except (ValueError, OSError, OverflowError) as error:
        parser.error(str(error))
    print(f"{scores.name} ({scores.unit}) at {server.url}/score", flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        server.serve_forever()


def _pair(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise ValueError(f"option must be KEY=VALUE; got {one_line(text, 200)}")
    try:
        return key, json.loads(value)
    except (ValueError, RecursionError):
        return key, value


if __name__ == "__main__":
    main()
