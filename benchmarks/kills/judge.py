"""A server in a process of its own that scores images, takes its time, and counts its requests."""

import contextlib
import hashlib
import http.server
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SECONDS_A_CALL = 0.03
_ROOT = Path(__file__).parents[2]


def name_of(png: bytes) -> str:
    """Return the name that the server has for an image."""
    return hashlib.sha256(png).hexdigest()


def score_of(name: str) -> float | None:
    """Score an image by its name alone; one in nine has no score."""
    number = int(name[:8], 16)
    return None if number % 9 == 0 else number % 1000 / 100


def count_of(log: Path) -> Counter[str]:
    """Count the calls in a trial's log so far, by the name of their image."""
    return Counter(log.read_text(encoding="ascii").split() if log.exists() else ())


class _Judge(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    logs = Path()

    def do_POST(self) -> None:
        name = name_of(self.rfile.read(int(self.headers["content-length"])))
        with (self.logs / self.path.strip("/")).open("a", encoding="ascii") as file:
            file.write(f"{name}\n")
        time.sleep(SECONDS_A_CALL)
        content = json.dumps({"score": score_of(name)}).encode()
        with contextlib.suppress(ConnectionError):  # the client may be dead
            self.send_response(200)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that were killed while they sent."""


@contextlib.contextmanager
def judge(logs: Path) -> Iterator[str]:
    """Run the server; yields its address, under which every file of `logs` has a path."""
    command = [sys.executable, "-m", "benchmarks.kills.judge", str(logs)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=_ROOT) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def main() -> None:
    _Judge.logs = Path(sys.argv[1])
    server = _Server(("127.0.0.1", 0), _Judge)
    print(f"http://127.0.0.1:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
