"""What a run found, as an object and as `result.json`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.results.diverse import Diverse
from zo_dno.results.elites import Elites
from zo_dno.results.environment import versions
from zo_dno.results.front import Front
from zo_dno.reward import Adaptation
from zo_dno.search.archive import Found
from zo_dno.search.best_of_n import Baseline
from zo_dno.search.limits import Limit
from zo_dno.search.progress import Status
from zo_dno.search.reevaluation import Standing
from zo_dno.storage.ledger import QueryRow

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """The outcome of a run.

    Attributes:
        status: "finished", "target" (reached), "interrupted", "paused" since further queries were useless, or
            "infeasible": no candidate is feasible.
        queries: Answered queries; `failed_queries` of them got no score, and `cached_queries` came from a cache.
        nfe: Denoiser calls in all.
        cost: Upper bound of the money spent, held-out rewards and baseline included.
        tokens: Tokens that language models used.
        first: Candidate 0, the pipeline's image without a search.
        best: Best feasible candidate; without one, the scored candidate with the smallest violation.
        top: Best candidates that differ from each other, best first.
        improvements: Candidate `first` and every new best, in order.
        history: Every query of the search.
        held_out: Scores of the first and of the best image, by the name of each held-out reward.
        seconds: Seconds in total, and of the phases generate, score, strategy and other.
        folder: Folder of the run; None if it was not kept.
        stopped_by: Budget that was spent first.
        spent: Reason why no further query could be sent, if money ended the run.
        pause: Reason of a pause, and how to resume.
        drift: Differences that keep a resumed run from being repeated exactly.
        infeasible: Reason why no candidate is feasible, where none is.
        lowest_log_prob: Smallest log P(z) that a winner may have; None where there is no limit.
        unmet: Number of scored candidates that miss each threshold.
        scales: Mean and standard deviation that standardise each term of a combination.
        repeats: Re-evaluated candidates, the winner first.
        noise: Standard deviation of a single score, where candidates were re-evaluated.
        unasked: Number of planned queries that were not needed, with the reason; None if all were sent.
        images: Images of the search that were used, more than queries where a surrogate pre-selects.
        unused_images: Images that were rendered with those, in blocks, and not used.
        strategy_images: Images that the strategy rendered itself, for gradients or predictions.
        choices: Number of choices among images behind the scores; 0 where scores come from none.
        evidence: Natural logarithm of how much likelier the choices were by predictions made before them than by
            chance; None where nothing was predicted.
        raters: Where people rated, their fresh choices after the search (`duels`), how often they agreed with
            themselves (`repeats`), and both in `words`.
        chosen: Choice of `auto`, and its reason.
        adapted: Fields of requests that servers of rewards refused, and what was sent instead.
        hint: Advice where all scores are equal; None where they differ.
        front: Candidates that no other beats in all rewards, where several are searched; None with a single reward.
        diverse: Good images that differ, where such a set is searched; None where none is.
        elites: Best candidate of every cell of measures; None without measures.
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
    spent: str | None = None
    pause: str | None = None
    drift: str | None = None
    infeasible: str | None = None
    unmet: dict[str, int] = field(default_factory=dict)
    scales: dict[str, tuple[float, float]] = field(default_factory=dict)
    repeats: tuple[Standing, ...] = ()
    noise: float | None = None
    unasked: str | None = None
    images: int = 0
    unused_images: int = 0
    strategy_images: int = 0
    choices: int = 0
    evidence: float | None = None
    raters: Mapping[str, Any] = field(default_factory=dict)
    chosen: str | None = None
    adapted: tuple[Adaptation, ...] = ()
    hint: str | None = None
    front: Front | None = None
    diverse: Diverse | None = None
    elites: Elites | None = None
    lowest_log_prob: float | None = None

    def __repr__(self) -> str:
        scores = " -> ".join("none" if one.reward is None else f"{one.reward:.4g}" for one in (self.first, self.best))
        where = "" if self.folder is None else f", folder={str(self.folder)!r}"
        sets = "".join(f", {one!r}" for one in (self.front, self.diverse, self.elites) if one is not None)
        return f"Result({self.status}: {self.reward} {scores} {self.unit} in {self.queries} queries{sets}{where})"

    @property
    def first_image(self) -> "Image.Image":
        """Image of the first candidate, which the pipeline renders without a search."""
        return _pil(self.first)

    @property
    def best_image(self) -> "Image.Image":
        """Image of the best candidate."""
        return _pil(self.best)

    @property
    def unused_share(self) -> float:
        """Share of unused images among all that were rendered, from 0 to 1."""
        return self.unused_images / max(1, self.images + self.unused_images)

    def _repr_html_(self) -> str:
        """Show the first and the best image and the progress of the search in a notebook."""
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
            **({"hint": self.hint} if self.hint else {}),
            "seed": self.seed,
            "queries": self.queries,
            "images": self.images,
            "unused_images": self.unused_images,
            "strategy_images": self.strategy_images,
            **({"choices": self.choices, "evidence": self.evidence} if self.choices else {}),
            **({"raters": dict(self.raters)} if self.raters else {}),
            "unused_share": round(self.unused_share, 4),
            "nfe": self.nfe,
            "failed_queries": self.failed_queries,
            "cached_queries": self.cached_queries,
            "stopped_by": self.stopped_by,
            "cost": self.cost,
            **({"spent": self.spent} if self.spent else {}),
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
                **({"answers": best.n_scores, "error": best.error} if best.error is not None else {}),
                **_made_of(best),
            },
            "top": [{"id": found.id, "reward": found.reward, "image": found.sha256} for found in self.top],
            **({} if self.front is None else {"front": self.front.to_dict()}),
            **({} if self.diverse is None else {"diverse": self.diverse.to_dict()}),
            **({} if self.elites is None else {"elites": self.elites.to_dict()}),
            **({"lowest_log_prob": self.lowest_log_prob} if self.lowest_log_prob is not None else {}),
            "held_out": {name: {"first": first, "best": best} for name, (first, best) in self.held_out.items()},
            "baseline": self.baseline and self.baseline.to_dict(),
            **{name: value for name, value in (("unmet", self.unmet), ("scales", self.scales)) if value},
            **({"unasked": self.unasked} if self.unasked else {}),
            **({"adapted": [asdict(one) for one in self.adapted]} if self.adapted else {}),
            **({"repeats": [asdict(one) for one in self.repeats], "noise": self.noise} if self.repeats else {}),
            "seconds": {name: round(seconds, 3) for name, seconds in self.seconds.items()},
            "versions": versions(),
        }


def _made_of(found: Found) -> dict[str, Any]:
    components = None if found.components is None else dict(found.components)
    return {name: value for name, value in (("parts", components), ("spread", found.spread)) if value is not None}


def _pil(found: Found) -> "Image.Image":
    from PIL import Image

    return Image.fromarray(found.image)
