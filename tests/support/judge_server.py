"""The server of transformers as a process of its own, offline."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

_PATIENCE = 300.0  # seconds for it to come up


@contextmanager
def transformers_serve(model: Path, home: Path) -> Iterator[str]:
    """Serve a model's folder; yields the base of its API. `home` takes its log, and stands for the Hub's cache."""
    (home / "hub").mkdir(parents=True)  # without it the server answers some pages with 500
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HOME": str(home), "OMP_NUM_THREADS": "1"}
    program = Path(sys.executable).with_name("transformers")
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"]
    log = home / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            [program, "serve", str(model), *options], env=os.environ | offline, stdout=file, stderr=subprocess.STDOUT
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def _wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until and process.poll() is None:
        try:
            if httpx2.get(url, trust_env=False).status_code == 200:
                return
        except httpx2.TransportError:
            time.sleep(0.1)
    raise RuntimeError(f"the server did not come up: {log.read_text()[-2000:]}")
