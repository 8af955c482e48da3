"""A reverse proxy in this process, as nginx is set up in front of a page: under another address, with a path."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx2

_HOP = {"connection", "transfer-encoding", "keep-alive", "host", "content-length", "content-encoding"}


@contextmanager
def proxied(path, *, keeps_path=False, keeps_host=False):
    """Serve another server below a path. Yields the public address, and a function that takes the other's address.

    Args:
        path: Path of the public address, such as /rate.
        keeps_path: Whether requests reach the server with that path.
        keeps_host: Whether they have the public host's name.
    """
    upstream, client = [""], httpx2.Client(trust_env=False)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            there = self.path if keeps_path else self.path.removeprefix(path)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP}
            if keeps_host:
                headers["host"] = self.headers["host"]
            known = self.path.startswith(path)
            got = client.request(self.command, upstream[0] + there, headers=headers, content=body) if known else None
            content = b"not the page" if got is None else got.content
            self.send_response(404 if got is None else got.status_code)
            for name, value in [] if got is None else got.headers.multi_items():
                if name.lower() not in _HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _pass  # noqa: N815

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}{path}", lambda address: upstream.__setitem__(0, address)
    server.shutdown()
    server.server_close()
    client.close()
