"""The wall-clock seconds of a search by phase, over all its sessions."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from zo_dno.generators.renderer import Renderer
from zo_dno.storage.ledger import PopulationRow

_PHASES = ("generate", "score", "strategy")


class Stopwatch:
    """Measures the phases of a search; rendering and scoring overlap, and each second counts once.

    Args:
        renderer: Renderer whose busy time counts as "generate".
    Attributes:
        seconds: Seconds by phase; "total" and "other" from `stop` on.
    """

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._started = time.perf_counter()
        self._lap_from: tuple[float, float, float] | None = None

    @property
    def elapsed(self) -> float:
        """Seconds of this session and of those before it."""
        return self.seconds["earlier"] + time.perf_counter() - self._started

    @property
    def in_phases(self) -> float:
        """Seconds of all phases together."""
        return sum(self.seconds[name] for name in _PHASES)

    def recall(self, row: PopulationRow) -> None:
        """Continue from the times in a population's row."""
        self.seconds["earlier"] = max(self.seconds["earlier"], row.seconds)
        for phase in _PHASES:
            self.seconds[phase] = max(self.seconds[phase], getattr(row, f"{phase}_seconds"))

    def stamped(self, row: PopulationRow) -> PopulationRow:
        """Return a population's row with the present times."""
        generate, score, strategy = (self.seconds[phase] for phase in _PHASES)
        return replace(
            row, seconds=self.elapsed, generate_seconds=generate, score_seconds=score, strategy_seconds=strategy
        )

    def stop(self) -> None:
        """Set the total, and the rest that no phase accounts for."""
        self.seconds["total"] = self.elapsed
        self.seconds["other"] = self.seconds["total"] - self.in_phases

    @contextmanager
    def strategy(self) -> Iterator[None]:
        """Count the time inside as the strategy's."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds["strategy"] += time.perf_counter() - started

    @contextmanager
    def scoring(self) -> Iterator[None]:
        """Count the renderer's time inside as "generate", and the rest but the strategy's as "score"."""
        self._lap_from = self._now()
        try:
            yield
        finally:
            self.lap()
            self._lap_from = None

    def lap(self) -> None:
        """Bring the times up to date inside of `scoring`; outside of it this changes nothing."""
        if self._lap_from is None:
            return
        started, busy, strategy = self._lap_from
        self._lap_from = self._now()
        rendering = self._lap_from[1] - busy
        seconds = self._lap_from[0] - started - (self._lap_from[2] - strategy)
        self.seconds["generate"] += min(rendering, seconds)
        self.seconds["score"] += max(0.0, seconds - rendering)

    def _now(self) -> tuple[float, float, float]:
        return time.perf_counter(), self._renderer.busy, self.seconds["strategy"]
