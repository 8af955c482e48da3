"""A simulated rater on a run's real page, who follows a function of the images that the page shows."""

import io
import re
import threading
import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

import httpx2
import numpy as np
from PIL import Image

_FIELD = re.compile(r'<input type="hidden" name="(proof|task)" value="([^"]*)"')
_SHOWN = re.compile(r'src="image/([0-9a-f]{64})\.png" alt="(?:the image to rate|image \d+)"')
_LOOK = 0.02  # seconds between looks while there is nothing to rate

Utility = Callable[[Sequence[Image.Image]], Sequence[float]]


class SimulatedRater(threading.Thread):
    """Picks the image of the highest utility of those that the page shows together, mostly.

    Args:
        link: Link of the page.
        utility: Function of images; the rater prefers the highest value.
        flipped: Share of the choices that are another image instead.
        seed: Seed of the choices that are flipped.
        patient: Whether the rater waits for a page that is gone to come back, until it is stopped.
    Attributes:
        clicks: Number of choices made.
    """

    def __init__(
        self, link: str, utility: Utility, *, flipped: float = 0.0, seed: int = 0, patient: bool = False
    ) -> None:
        super().__init__(daemon=True)
        self.clicks = 0
        self._patient = patient
        self._link, self._utility, self._flipped = link, utility, flipped
        self._rng, self._known = np.random.default_rng(seed), dict[str, float]()
        self._stopped = threading.Event()

    def run(self) -> None:
        """Rate until the page is gone."""
        parts = urlsplit(self._link)
        base = f"{parts.scheme}://{parts.netloc}"
        with httpx2.Client(base_url=base, trust_env=False, follow_redirects=True) as client:
            page = ""
            while not self._stopped.is_set():
                try:
                    page = self._next(client, page) if page else client.get(self._link).text
                except httpx2.TransportError:  # the run has ended, and its page with it
                    if not self._patient:
                        return
                    page = ""
                    time.sleep(0.1)

    def stop(self) -> None:
        """Rate no more."""
        self._stopped.set()
        self.join()

    def _next(self, client: httpx2.Client, page: str) -> str:
        fields, shown = dict(_FIELD.findall(page)), _SHOWN.findall(page)
        if "task" not in fields or not shown:
            time.sleep(_LOOK)
            return client.get("/").text
        for name in shown:
            if name not in self._known:
                image = Image.open(io.BytesIO(client.get(f"/image/{name}.png").raise_for_status().content))
                self._known[name] = float(self._utility([image])[0])
        response = client.post("/answer", data=fields | {"choice": self._choice(shown)})
        if response.status_code == 429:  # no person is that fast
            time.sleep(1)
            return client.get("/").text
        response.raise_for_status()
        self.clicks += 1
        return response.text

    def _choice(self, shown: Sequence[str]) -> str:
        best, *others = sorted(shown, key=lambda name: -self._known[name])
        return others[self._rng.integers(len(others))] if self._rng.random() < self._flipped else best


def knock_out(utilities: Sequence[float], together: int, *, flipped: float, seed: int) -> tuple[int, int]:
    """Find the best of images as a person would without a search: the winner of each group stays.

    Returns:
        (which image is left, clicks).
    """
    rng, clicks = np.random.default_rng(seed), 0
    left = [int(place) for place in rng.permutation(len(utilities))]
    while len(left) > 1:
        groups = [left[start : start + together] for start in range(0, len(left), together)]
        left = []
        for group in groups:
            best, *others = sorted(group, key=lambda place: -utilities[place])
            clicks += bool(others)
            flip = bool(others) and rng.random() < flipped
            left.append(others[rng.integers(len(others))] if flip else best)
    return left[0], clicks
