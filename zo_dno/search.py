"""The loop: ask for noise, draw it, score it, write it down, tell the strategy."""

import hashlib
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from zo_dno.archive import Archive, Found
from zo_dno.budget import Budget
from zo_dno.errors import InputError
from zo_dno.ledger import Ledger, Query
from zo_dno.objective import Objective, Plausibility
from zo_dno.strategy import Strategy, UsesRegularizer
from zo_dno.types import Candidates, Generator, Score

if TYPE_CHECKING:
    from zo_dno.reward import Reward

Status = Literal["finished", "target", "interrupted", "infeasible"]


class Asks(Protocol):
    """Whoever asks the reward: this process, or actors."""

    reward: "Reward"

    def ask(self, images: np.ndarray, prompts: Sequence[str]) -> list[Score]: ...


@dataclass(frozen=True, slots=True)
class Step:
    """What a watcher is shown after every population; `median_log_prob` is that population's."""

    stage: str
    queries: int
    planned: int
    failed: int
    best: Found | None
    median_log_prob: float
    sigma: float | None
    images_per_second: float


@dataclass(slots=True)
class Search:
    """One search: the parts, and what came of them.

    Args:
        target: stop when an eligible candidate's reward reaches it.
        stage: what the ledger calls these queries.
        on_step: called after every population.
    """

    generator: Generator
    oracle: Asks
    strategy: Strategy
    objective: Objective
    budget: Budget
    ledger: Ledger
    archive: Archive
    prompt: str = ""
    target: float | None = None
    stage: str = "search"
    on_step: Callable[[Step], None] | None = None

    status: Status = "finished"
    queries: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    _populations: int = 0

    @property
    def failed(self) -> int:
        """Number of queries without a score."""
        return self.failures.total()

    def run(self) -> None:
        """Search until the budget is spent, the target is reached or somebody presses Ctrl-C."""
        started = time.perf_counter()
        regularized = not isinstance(self.strategy, UsesRegularizer)
        if isinstance(self.strategy, UsesRegularizer) and self.objective.gamma > 0:
            self.strategy.use_regularizer(self.objective.regularizer)
        try:
            while self.status == "finished" and (left := self.budget.left(self.queries)):
                self._population(left, regularized)
        except KeyboardInterrupt:
            self.status = "interrupted"
        best = self.archive.best
        if self.status == "finished" and best is not None and not best.eligible:
            self.status = "infeasible"
        self.seconds["total"] = time.perf_counter() - started
        known = sum(self.seconds[name] for name in ("generate", "score", "strategy"))
        self.seconds["other"] = self.seconds["total"] - known

    def _population(self, left: int, regularized: bool) -> None:
        with self._clock("strategy"):
            candidates = self.strategy.ask()[:left]
        with self._clock("generate"):
            images = checked_images(self.generator(candidates.z), len(candidates))
        with self._clock("score"):
            scores = self.oracle.ask(images, [self.prompt] * len(candidates))
        plausibility = self.objective.plausibility(candidates.z)
        rewards = torch.tensor([score.value for score in scores], dtype=torch.float64)
        told = self.objective.told(candidates.z, rewards, plausibility, regularized=regularized)
        self._remember(candidates, images, scores, plausibility, told)
        with self._clock("strategy"):
            self.strategy.tell(candidates, told)
        if self.on_step is not None:
            self.on_step(self._step(plausibility))

    def _remember(
        self, candidates: Candidates, images: np.ndarray, scores: list[Score], tested: Plausibility, told: Tensor
    ) -> None:
        queries, kept, reward = [], [], self.oracle.reward
        columns = (tested.log_prob, tested.norm_ratio, tested.whiteness, tested.violation, tested.feasible, told)
        rows = zip(candidates.ids, candidates.z, images, scores, *(c.tolist() for c in columns), strict=True)
        for id_, z, image, score, log_prob, ratio, white, violation, feasible, told_score in rows:
            value = None if score.missing else score.value
            eligible = value is not None and (feasible or not self.objective.constrained)
            kept.append(Found(id_, value, log_prob, ratio, white, violation, feasible, eligible, z, image))
            queries.append(
                Query(
                    stage=self.stage,
                    id=id_,
                    population=self._populations,
                    image=image_hash(image),
                    prompt=self.prompt,
                    reward=reward.name,
                    reward_version=reward.version,
                    status="missing" if score.missing else "scored",
                    value=value,
                    told=None if math.isnan(told_score) else told_score,
                    log_prob=log_prob,
                    norm_ratio=ratio,
                    whiteness=white,
                    feasible=feasible,
                    error=score.error,
                    seconds=score.seconds,
                    cost=score.cost,
                    raw=score.raw,
                )
            )
        self.ledger.append(queries)  # before anything is counted, kept or learnt
        self.queries += len(queries)
        self._populations += 1
        self.failures.update(score.error or "no reason given" for score in scores if score.missing)
        for found in kept:
            self.archive.offer(found)
        best = self.archive.best
        if self.target is not None and best is not None and best.rank >= (True, self.target):
            self.status = "target"

    def _step(self, plausibility: Plausibility) -> Step:
        spent = sum(self.seconds[name] for name in ("generate", "score", "strategy"))
        return Step(
            stage=self.stage,
            queries=self.queries,
            planned=self.budget.queries,
            failed=self.failed,
            best=self.archive.best,
            median_log_prob=float(plausibility.log_prob.median()),
            sigma=getattr(self.strategy, "step_size", None),
            images_per_second=self.queries / spent if spent else math.nan,
        )

    @contextmanager
    def _clock(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[part] += time.perf_counter() - started


def checked_images(images: Tensor, n: int) -> np.ndarray:
    """Check that a generator returned n images, and hand them on as (n, H, W, 3) uint8.

    Raises:
        InputError: it returned something else.
    """
    expected = f"generator must return {n} images as a tensor ({n}, H, W, 3) of uint8"
    if not isinstance(images, Tensor):
        raise InputError(f"{expected}; got {type(images).__name__}. Convert them with torch.from_numpy.")
    if images.dtype != torch.uint8:
        raise InputError(f"{expected}; got {images.dtype}. Scale [0, 1] to 0..255 and round before .to(torch.uint8).")
    if images.ndim != 4 or len(images) != n or images.shape[3] != 3:
        raise InputError(f"{expected}; got {tuple(images.shape)}. Put the colours last.")
    return images.cpu().numpy()


def image_hash(image: np.ndarray) -> str:
    """Name an image (H, W, 3) uint8 by its size and pixels: sha256, in hexadecimal."""
    return hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
