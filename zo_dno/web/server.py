"""A web server in this process, on loopback by default, and never open to other machines without a token."""

import ipaddress
import os
import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from zo_dno.errors import InputError, sentence
from zo_dno.oracle.http_client import key_from

TOKEN = "ZO_DNO_TOKEN"
OWN_NAMES = ["127.0.0.1", "localhost", "[::1]"]  # host names that a server on loopback accepts


class WebServer:
    """Serves an ASGI application.

    Args:
        app: ASGI application to serve.
        host: Address to listen on.
        port: Port to listen on; 0 takes any free one.
        names: Further host names that a server on loopback accepts, such as that of a proxy.
    Raises:
        InputError: The address cannot be listened on.
    """

    def __init__(self, app: Any, host: str = "127.0.0.1", port: int = 0, *, names: Sequence[str] = ()) -> None:
        import uvicorn
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        self._socket = _listening(host, port)  # connections are queued from now on, before the server starts
        self.host, self.port = host, int(self._socket.getsockname()[1])
        if is_loopback(host):  # refuses DNS names that resolve to this machine
            app = TrustedHostMiddleware(app, [*OWN_NAMES, *names], www_redirect=False)
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, timeout_graceful_shutdown=2, server_header=False
        )
        self._server: uvicorn.Server = uvicorn.Server(config)
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Address of the server, such as http://127.0.0.1:8000."""
        return url_of(self.host, self.port)

    @property
    def is_ending(self) -> bool:
        """Whether the server waits for its last responses, which streams without an end should then end."""
        return self._server.should_exit

    def run(self) -> None:
        """Serve until Ctrl-C."""
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Serve in another thread until `stop`."""
        self._thread = threading.Thread(target=self._serve, name="zo-dno web", daemon=True)
        try:
            self._thread.start()
        except BaseException:  # Ctrl-C, and the caller will not know that it has started
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the server that `start` started."""
        if self._thread is not None:
            self._server.should_exit = True
            with suppress(RuntimeError):  # Ctrl-C came before the thread began
                self._thread.join(timeout=5)
        self._socket.close()

    def _serve(self) -> None:
        if not self._server.should_exit:
            self.run()


def url_of(host: str, port: int) -> str:
    """Return the address by which clients reach a server, such as http://127.0.0.1:8000."""
    name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(host, host)
    return f"http://{f'[{name}]' if ':' in name else name}:{port}"


def free_port(host: str, port: int) -> int:
    """Return the port, for servers that accept no socket; for 0, any free one.

    Raises:
        InputError: The address cannot be listened on.
    """
    with _listening(host, port) as found:
        return int(found.getsockname()[1])


def _listening(host: str, port: int) -> socket.socket:
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, port))
        found.listen(1024)
    except (OSError, OverflowError) as error:
        found.close()
        raise InputError(f"host and port must be free to listen on; {host}:{port}: {sentence(str(error))}") from error
    return found


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def token_for(host: str, variable: str = TOKEN) -> str:
    """Read the token that clients must bring; on loopback it may be missing.

    Raises:
        InputError: Other machines can reach the address, and there is no token.
    """
    if os.environ.get(variable):
        return key_from(variable)
    if not is_loopback(host):
        raise InputError(
            f"host {host} can be reached from other machines, so a token must be set; got none. Set it here and "
            f"where the reward is asked: export {variable}=$(openssl rand -hex 32)"
        )
    return ""
