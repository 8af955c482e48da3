"""How busy a pool's actors are: the seconds their calls took, and the figures as metrics of Ray."""

import time
from typing import Protocol


class Figures(Protocol):
    """The figures of an actor pool."""

    @property
    def what(self) -> str:
        """Name of the actors."""
        ...

    @property
    def alive(self) -> int:
        """Number of actors that take calls."""
        ...

    @property
    def in_flight(self) -> int:
        """Number of calls in flight."""
        ...

    @property
    def utilisation(self) -> float:
        """Share of the actors' time that calls took, from 0 to 1."""
        ...


class Gauges:
    """Figures of an actor pool as metrics of Ray, updated at most twice a second."""

    def __init__(self, figures: Figures) -> None:
        from ray.util.metrics import Gauge

        self._figures, self._due = figures, 0.0
        described = {
            "alive": "actors that take calls",
            "in_flight": "calls in flight",
            "utilisation": "share of the actors' time that calls took",
        }
        self._gauges = {name: Gauge(f"zo_dno_{name}", what, tag_keys=("pool",)) for name, what in described.items()}

    def show(self) -> None:
        """Update the metrics if the last update is half a second old."""
        now = time.monotonic()
        if now < self._due:
            return
        self._due = now + 0.5
        for name, gauge in self._gauges.items():
            gauge.set(getattr(self._figures, name), {"pool": self._figures.what})


class Usage:
    """Seconds that calls took, summed over all calls."""

    def __init__(self) -> None:
        self._started = self._since = time.monotonic()
        self._count, self._seconds = 0, 0.0

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def change(self, by: int) -> None:
        """Note that a call began, +1, or ended, -1."""
        self._seconds, self._since = self.seconds(), time.monotonic()
        self._count += by

    def seconds(self) -> float:
        """Return the sum so far, calls in flight included."""
        return self._seconds + self._count * (time.monotonic() - self._since)
