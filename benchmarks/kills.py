"""Kills of runs at random instants, and their resumption: is anything lost, or paid for twice?

A toy generator, a paid reward in a server process that counts its calls, three calls in flight. A run is killed with
SIGKILL at an instant drawn over the length of an uninterrupted one, then resumed, and compared with it.
"""

import contextlib
import hashlib
import http.server
import io
import json
import multiprocessing
import random
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

import zo_dno
from zo_dno.call_policy import CallPolicy
from zo_dno.noise.space import NoiseLayout
from zo_dno.rng import stream
from zo_dno.storage.ledger import Ledger
from zo_dno.types import Score

STRATEGIES = ("random_search", "zo_sgd", "hill_climb", "cmaes", "snes", "nevergrad")
QUERIES, IN_FLIGHT, SECONDS_A_CALL = 60, 3, 0.06
PICTURES = ("first.png", "best.png", "strip.png", "progress.png")


class Toy:
    """Draws 8x8 images as a squashed random linear map of z."""

    model, prompt, nfe = "toy", "a toy", 2
    layout = NoiseLayout(((3, 4, 4),))

    def __init__(self) -> None:
        self._map = torch.randn(48, 8 * 8 * 3, generator=stream(7, "toy")) / 48**0.5

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return (torch.sigmoid(z @ self._map) * 255).round().to(torch.uint8).reshape(-1, 8, 8, 3)


class Paid(zo_dno.Reward):
    """Asks the counting server, which charges for every call."""

    name, unit = "paid", "points"
    policy = CallPolicy(price=0.01, in_flight=IN_FLIGHT, first_wait=0.01)

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, images: Any, prompts: Any) -> list[Any]:
        (image,) = images
        file = io.BytesIO()
        image.save(file, "PNG")
        with urllib.request.urlopen(self.url, data=file.getvalue(), timeout=30) as response:
            answer = json.load(response)
        if answer["score"] is None:
            return [Score(float("nan"), error="the judge passes", kind="passed")]
        return [answer["score"]]


class _Judge(http.server.BaseHTTPRequestHandler):
    """Counts a call, takes its time, and answers what the image alone decides; one in nine has no score."""

    protocol_version = "HTTP/1.1"
    log = Path()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        name = hashlib.sha256(body).hexdigest()
        with self.log.open("a") as file:
            file.write(f"{name}\n")
        time.sleep(SECONDS_A_CALL)
        number = int(name[:8], 16)
        content = json.dumps({"score": None if number % 9 == 0 else number % 1000 / 100}).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):  # the client may be dead
            self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextlib.contextmanager
def judge(log: Path) -> Iterator[str]:
    """Run the counting server in a process of its own; yields its address."""
    command = [sys.executable, "-m", "benchmarks.kills", str(log)]
    root = Path(__file__).parents[1]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def serve(log: Path) -> None:
    _Judge.log = log
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Judge)
    print(f"http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()


def work(folder: Path, strategy: str, url: str) -> None:
    """Start a run, or resume it."""
    torch.set_num_threads(1)
    generator, reward = Toy(), Paid(url)
    if (folder / "config.yaml").exists():
        zo_dno.resume(folder, generator=generator, reward=reward)
    else:
        options = {"population": 8}
        zo_dno.optimize(generator, reward, strategy, queries=QUERIES, seed=4, strategy_options=options, out=folder)


def started(folder: Path, strategy: str, url: str) -> Any:
    """Start it in a process of its own, forked from one that has imported everything."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.kills"])
    process = context.Process(target=work, args=(folder, strategy, url))
    process.start()
    return process


def finished(folder: Path, strategy: str, url: str) -> float:
    """Run to the end; returns the seconds it took."""
    begin = time.monotonic()
    process = started(folder, strategy, url)
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"the run in {folder} ended with exit code {process.exitcode}")
    return time.monotonic() - begin


@dataclass(frozen=True)
class Outcome:
    """What a killed run came to, beside the uninterrupted one.

    Attributes:
        recorded: answers in the ledger when it was killed.
        repeated: calls made for an image that had been called for before the kill.
        asked_again: of them, for an image whose answer was recorded.
        same: names of what equals the uninterrupted run's.
    """

    strategy: str
    recorded: int
    repeated: int
    asked_again: int
    same: tuple[str, ...]

    @property
    def holds(self) -> bool:
        """Nothing lost, nothing paid twice but what was in flight."""
        return self.repeated <= IN_FLIGHT and not self.asked_again and set(self.same) == set(EVERYTHING)


EVERYTHING = ("result", "ledger", *PICTURES)


def kill_and_go_on(strategy: str, reference: Path, folder: Path, url: str, log: Path, instant: float) -> Outcome:
    """Kill a run so many seconds after its start, resume it, and compare."""
    log.write_text("", encoding="utf-8")
    process = started(folder, strategy, url)
    process.join(instant)
    process.kill()
    process.join()
    before = Counter(log.read_text(encoding="utf-8").split())
    recorded = _recorded(folder)
    finished(folder, strategy, url)
    after = Counter(log.read_text(encoding="utf-8").split()) - before
    again = {name: count for name, count in after.items() if name in before}
    return Outcome(
        strategy,
        len(recorded),
        sum(again.values()),
        sum(count for name, count in again.items() if name in recorded),
        tuple(name for name in EVERYTHING if _content(folder, name) == _content(reference, name)),
    )


def _recorded(folder: Path) -> set[str]:
    """Name the images whose answers the ledger holds as the server does: by their PNG files."""
    from PIL import Image

    if not (folder / "ledger.db").exists():
        return set()
    names = set()
    for row in Ledger(folder / "ledger.db", read_only=True).all_queries():
        if row.completed and not row.cached:
            file = io.BytesIO()
            Image.open(folder / "images" / f"{row.image}.png").save(file, "PNG")
            names.add(hashlib.sha256(file.getvalue()).hexdigest())
    return names


def _content(folder: Path, name: str) -> Any:
    if name == "result":
        result = json.loads((folder / "result.json").read_text())
        return {key: value for key, value in result.items() if key not in ("seconds", "cost")}
    if name == "ledger":
        ledger = Ledger(folder / "ledger.db", read_only=True)
        rows = [replace(row, seconds=0, attempts=0, cost=0) for row in ledger.all_queries()]
        populations = [(row.stage, row.number, row.first_id, row.size, row.noise) for row in ledger.populations()]
        return rows, populations, ledger.artifacts()
    return (folder / name).read_bytes()


def trials(strategies: list[str], kills: int, folder: Path, seed: int = 0) -> list[Outcome]:
    """Kill each strategy's run so many times, every time a fresh one."""
    instants, outcomes, log = random.Random(seed), [], folder / "calls.txt"
    log.touch()
    with judge(log) as url:
        for strategy in strategies:
            reference = folder / f"{strategy}-whole"
            seconds = finished(reference, strategy, url)
            for number in range(kills):
                instant = instants.uniform(0, seconds)
                outcomes.append(kill_and_go_on(strategy, reference, folder / f"{strategy}-{number}", url, log, instant))
    return outcomes


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
