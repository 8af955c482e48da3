"""The cost of the ledger: writing rows, a whole run of 10,000 queries, replaying it, and the size of the file."""

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import zo_dno
from benchmarks.tables import show
from zo_dno.noise.space import NoiseLayout
from zo_dno.storage.ledger import Ledger, QueryRow

ROW_ALLOWED_MS, SHARE_ALLOWED, REPLAY_ALLOWED_SECONDS = 0.2, 0.05, 60
REPLAYED = ("random_search", "zo_sgd", "hill_climb", "snes")


class Slice:
    """Draws 8x8 images from the first 192 numbers of z, so that only the search and the ledger take time."""

    model, prompt, nfe = "slice", "a slice", 1

    def __init__(self, d: int) -> None:
        self.layout = NoiseLayout(((d,),))

    def __call__(self, z: torch.Tensor) -> torch.Tensor:
        return (torch.sigmoid(z[:, :192]) * 255).round().to(torch.uint8).reshape(-1, 8, 8, 3)


class Watch:
    """Adds up the time spent in the ledger."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __enter__(self) -> "Watch":
        self._put = Ledger.put

        def timed(ledger: Ledger, *arguments: Any, **named: Any) -> None:
            started = time.perf_counter()
            self._put(ledger, *arguments, **named)
            self.seconds += time.perf_counter() - started

        Ledger.put = timed  # type: ignore[assignment, method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        Ledger.put = self._put  # type: ignore[method-assign]


def milliseconds_a_row(row: QueryRow, folder: Path, rows: int, batch: int) -> float:
    ledger = Ledger(folder / "rows.db")
    started = time.perf_counter()
    for first in range(0, rows, batch):
        ledger.put([replace(row, id=first + i) for i in range(batch)])
    ledger.close()
    return 1000 * (time.perf_counter() - started) / rows


def run(strategy: str, d: int, queries: int, folder: Path) -> tuple[float, float]:
    """Search; returns seconds in all and in the ledger."""
    started = time.perf_counter()
    with Watch() as watch:
        zo_dno.optimize(Slice(d), "brightness", strategy, queries=queries, keep_images=10**6, out=folder)
    return time.perf_counter() - started, watch.seconds


def replay(d: int, folder: Path) -> float:
    started = time.perf_counter()
    zo_dno.resume(folder, generator=Slice(d))
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=10_000)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rows, figures = [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        sizes = {}
        for d in (192, 16_384):
            whole, ledger = run("random_search", d, options.queries, folder / f"{d}")
            sizes[d] = (folder / f"{d}" / "ledger.db").stat().st_size / 1e6
            rows.append([f"run of {options.queries}, d = {d}: ledger's share", ledger / whole, SHARE_ALLOWED])
            rows.append([f"ledger.db in MB, d = {d}", sizes[d], ""])
            figures[f"share_{d}"] = ledger / whole
        row = Ledger(folder / "192" / "ledger.db", read_only=True).queries()[0]
        figures["row_ms"] = milliseconds_a_row(row, folder, options.queries, 16)
        rows.append(["ms a row, batches of 16", figures["row_ms"], ROW_ALLOWED_MS])
        for strategy in REPLAYED:
            path = folder / strategy
            if strategy == "random_search":
                path = folder / "16384"
            else:
                run(strategy, 16_384, options.queries, path)
            figures[f"replay_{strategy}"] = replay(16_384, path)
            rows.append(
                [f"seconds to replay {strategy}, d = 16,384", figures[f"replay_{strategy}"], REPLAY_ALLOWED_SECONDS]
            )
    figures["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows.append(["peak memory of all of this in MB", figures["peak_mb"], ""])
    show(f"{options.threads} threads", ["", "measured", "at most"], rows, figures | {"ledger_mb": sizes})


if __name__ == "__main__":
    main()
