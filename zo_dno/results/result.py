"""What a run found, as an object and as `result.json`."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.results.environment import versions
from zo_dno.search.archive import Found
from zo_dno.search.best_of_n import Baseline
from zo_dno.search.budget import Limit
from zo_dno.search.progress import Status
from zo_dno.search.reevaluation import Standing
from zo_dno.storage.ledger import QueryRow

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of a run.

    Attributes:
        status: "finished", "target" reached, "interrupted", "paused" since asking was useless, or "infeasible": no
            candidate may win.
        queries: rewards answered; `failed_queries` of them got no score, `cached_queries` were remembered, not asked.
        nfe: denoiser calls in all.
        cost: money, the most that it may have been, held-out rewards and baseline included.
        tokens: that language models used.
        first: id 0, what the pipeline draws without a search.
        best: the best candidate that may win.
        top: the best ones that differ from each other, best first.
        improvements: `first` and every new best, in order.
        history: every query.
        held_out: name -> (of the first, of the best), rewards that were never optimised.
        seconds: total, generate, score, strategy, other.
        folder: of the run; None if it was not kept.
        stopped_by: the budget that was spent first.
        pause: why it was paused, and how to go on.
        drift: what of this run cannot be repeated exactly, of one that went on elsewhere.
        infeasible: why no candidate may win, where none may.
        unmet: threshold -> scored candidates that do not meet it.
        scales: part of a combination -> the mean and standard deviation that it was standardised with.
        repeats: the contenders that were asked about again, the winner first.
        noise: standard deviation of one answer, where some were asked for again.
        images: drawn in the search, more than the queries where it was screened.
        chosen: what `auto` chose, and why.
    """

    status: Status
    prompt: str
    model: str
    reward: str
    unit: str
    strategy: str
    seed: int
    queries: int
    nfe: int
    failed_queries: int
    cached_queries: int
    cost: float
    tokens: int
    first: Found
    best: Found
    top: tuple[Found, ...]
    improvements: tuple[Found, ...]
    history: tuple[QueryRow, ...]
    held_out: dict[str, tuple[float | None, float | None]]
    seconds: dict[str, float]
    baseline: Baseline | None = None
    folder: Path | None = None
    failures: dict[str, int] = field(default_factory=dict)
    stopped_by: Limit | None = None
    pause: str | None = None
    drift: str | None = None
    infeasible: str | None = None
    unmet: dict[str, int] = field(default_factory=dict)
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    repeats: tuple[Standing, ...] = ()
    noise: float | None = None
    images: int = 0
    chosen: str | None = None

    @property
    def first_image(self) -> "Image.Image":
        """What the pipeline draws without a search."""
        return _pil(self.first)

    @property
    def best_image(self) -> "Image.Image":
        """What it draws from the noise that was found."""
        return _pil(self.best)

    def _repr_html_(self) -> str:
        """Show first and best image and the course of the search in a notebook."""
        from zo_dno.results.report import card

        return card(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `result.json`."""
        best = self.best
        return {
            "status": self.status,
            "prompt": self.prompt,
            "model": self.model,
            "reward": self.reward,
            "unit": self.unit,
            "strategy": self.strategy,
            **({"chosen": self.chosen} if self.chosen else {}),
            "seed": self.seed,
            "queries": self.queries,
            "images": self.images,
            "nfe": self.nfe,
            "failed_queries": self.failed_queries,
            "cached_queries": self.cached_queries,
            "stopped_by": self.stopped_by,
            "cost": self.cost,
            "tokens": self.tokens,
            "drift": self.drift,
            "first": {"reward": self.first.reward, **_made_of(self.first)},
            "best": {
                "id": best.id,
                "reward": best.reward,
                "log_prob": best.log_prob,
                "norm_ratio": best.norm_ratio,
                "whiteness": best.whiteness,
                "feasible": best.plausible,
                "image": best.sha256,
                **({"answers": best.answers, "error": best.error} if best.error is not None else {}),
                **_made_of(best),
            },
            "top": [{"id": found.id, "reward": found.reward, "image": found.sha256} for found in self.top],
            "held_out": {name: {"first": first, "best": best} for name, (first, best) in self.held_out.items()},
            "baseline": self.baseline and self.baseline.to_dict(),
            **{name: value for name, value in (("unmet", self.unmet), ("scales", self.scales)) if value},
            **({"repeats": [asdict(one) for one in self.repeats], "noise": self.noise} if self.repeats else {}),
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "versions": versions(),
        }


def _made_of(found: Found) -> dict[str, Any]:
    parts = None if found.components is None else dict(found.components)
    return {name: value for name, value in (("parts", parts), ("spread", found.spread)) if value is not None}


def _pil(found: Found) -> "Image.Image":
    from PIL import Image

    return Image.fromarray(found.image)
