"""Searching with few denoising steps, and asking again about the best of it at full steps."""

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from zo_dno.distributed.generator_actors import closed_after
from zo_dno.errors import InputError
from zo_dno.generators.diffusers_generator import DiffusersGenerator
from zo_dno.option_group import marked
from zo_dno.results.result import Result
from zo_dno.run import optimize as api
from zo_dno.run.build import load_model, make_generator
from zo_dno.run.config import RunConfig, validated
from zo_dno.run.options import RunOptions
from zo_dno.search.archive import Found
from zo_dno.search.progress import Step
from zo_dno.storage.atomic import read_yaml, write_text, write_whole
from zo_dno.storage.run_folder import CONFIG, RunFolder
from zo_dno.strategies import DEFAULT_STRATEGY
from zo_dno.types import Generator

REDRAWN = 16  # different ones among the best, beside every new best on the way
SETTINGS, NOISE, FIGURES = "draft.yaml", "drafted.safetensors", "draft.json"
DRAFT, FULL = "draft", "full"  # folders of the two runs
_KEPT = tuple(marked(RunOptions, "redraw"))  # what also holds when the best are scored again at full steps
_AGREE = 0.5  # rank correlation below which a warning is due
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drafted:
    """A search with few steps, and what its best candidates are at full steps.

    Attributes:
        draft: of the search.
        full: of the candidates that were drawn again; its best is the winner.
        agreement: Spearman's rank correlation of the candidates' two rewards; NaN for fewer than three.
        interval: of the agreement, 95 %, by Fisher's transformation (Bonett and Wright 2000).
    """

    draft: Result
    full: Result
    agreement: float
    interval: tuple[float, float]

    @property
    def redrawn(self) -> int:
        """How many candidates were drawn again."""
        return self.full.queries

    def __str__(self) -> str:
        low, high = self.interval
        return (
            f"{self.redrawn} of {self.draft.queries} candidates of the draft were asked about again at full steps; "
            f"rank correlation of their rewards {self.agreement:.2f} (95 %: {low:.2f} to {high:.2f})"
        )


def optimize_draft(
    draft: Generator,
    full: Generator,
    reward: api.AnyReward,
    strategy: Any = DEFAULT_STRATEGY,
    *,
    out: str | Path | None = None,
    redraw: int = REDRAWN,
    **search: Any,
) -> Drafted:
    """Search with one generator, and ask again about its best candidates as another one draws them.

    Args:
        draft: draws quickly, from the same noise as `full`.
        full: draws as the result should be.
        reward: as in `zo_dno.optimize`.
        strategy: likewise.
        out: a new folder for both runs, in `draft` and `full`.
        redraw: different candidates among the best that are asked about again. So is every new best on the way.
        search: further arguments of `zo_dno.optimize`, for the draft.
    Raises:
        InputError: the two do not have the same noise, or an argument does not fit.
    """
    if draft.layout.shapes != full.layout.shapes:
        raise InputError(
            f"draft must have the noise of full, {full.layout.shapes}; got {draft.layout.shapes}. Search the initial "
            "noise, which does not depend on the number of steps."
        )
    folder = None if out is None else Path(out)
    found = api.optimize(
        *(draft, reward, strategy),
        out=None if folder is None else folder / DRAFT,
        **{**search, "top": max(redraw, search.get("top", 1))},
    )
    return _asked_again(full, found, reward, folder, {name: search[name] for name in _KEPT if name in search})


def run_draft(config: RunConfig, steps: int, out: Path, on_step: Callable[[Step], None] | None = None) -> Drafted:
    """Run a config with fewer steps, and then its best at the config's own number.

    Raises:
        InputError: the config does not fit.
    """
    _check(config, steps)
    RunFolder.check(out)
    out.mkdir(parents=True, exist_ok=True)
    import yaml

    values = config.model_dump(exclude_defaults=True) | {"draft": steps}
    write_text(out / SETTINGS, yaml.safe_dump(values, sort_keys=False, allow_unicode=True))
    with closed_after(make_generator(config)) as full, _drafting(config, steps, full) as draft:
        return optimize_draft(draft, full, out=out, on_step=on_step, **config.search_arguments)


def resume_draft(out: Path, on_step: Callable[[Step], None] | None = None) -> Drafted:
    """Go on with a draft that was stopped or killed, and then with its best at full steps."""
    values = read_yaml(out / SETTINGS)
    steps = int(values.pop("draft"))
    config = validated(values)
    search = config.search_arguments
    with closed_after(make_generator(config)) as full, _drafting(config, steps, full) as draft:
        if not (out / DRAFT / CONFIG).exists():
            return optimize_draft(draft, full, out=out, on_step=on_step, **search)
        found = api.resume(out / DRAFT, generator=draft, on_step=on_step)
        return _asked_again(full, found, config.reward, out, {name: search[name] for name in _KEPT})


def _drafting(config: RunConfig, steps: int, full: Generator) -> AbstractContextManager[Generator]:
    """Load the model with fewer steps; of a pipeline that is here already, use that."""
    quick = config.model_copy(update={"steps": steps})
    if isinstance(full, DiffusersGenerator):
        return nullcontext(load_model(quick, like=full))
    return closed_after(make_generator(quick))


def _check(config: RunConfig, steps: int) -> None:
    if config.search != "initial":
        raise InputError(f"draft must come with search 'initial'; got {config.search!r}, whose noise depends on steps.")
    if config.steps is not None and steps >= config.steps:
        raise InputError(f"draft must be fewer steps than {config.steps}; got {steps}.")


def _asked_again(
    full: Generator, found: Result, reward: api.AnyReward, folder: Path | None, options: Mapping[str, Any]
) -> Drafted:
    chosen = list({one.id: one for one in (found.first, *found.improvements, *found.top)}.values())
    z = torch.stack([one.z for one in chosen])
    noise: Any = z
    if folder is not None:
        noise = str((folder / NOISE).absolute())
        _write(folder / NOISE, z)
    if folder is not None and (folder / FULL / CONFIG).exists():
        result = api.resume(folder / FULL, generator=full)
    else:
        strategy = "zo_dno.strategies.listed:Listed"
        given = {**options, "queries": len(z), "strategy_options": {"noise": noise}}
        given["out"] = None if folder is None else folder / FULL
        result = api.optimize(full, reward, strategy, **given)
    drafted = _compared(found, result, chosen)
    if folder is not None:
        figures = {"redrawn": drafted.redrawn, "agreement": drafted.agreement, "interval": drafted.interval}
        write_text(folder / FIGURES, json.dumps(figures) + "\n")
    if not drafted.agreement >= _AGREE:
        log.warning("%s. Few steps hardly tell what full steps will be: search with more of them.", drafted)
    return drafted


def _compared(draft: Result, full: Result, chosen: list[Found]) -> Drafted:
    values = {query.id: query.value for query in full.history}
    pairs = [
        (one.reward, value)
        for place, one in enumerate(chosen)
        if one.reward is not None and (value := values.get(place)) is not None
    ]
    if len(pairs) < 3:
        return Drafted(draft, full, float("nan"), (-1.0, 1.0))
    ranks = np.array([stats.rankdata(values) for values in zip(*pairs, strict=True)])
    agreement = float(np.corrcoef(ranks)[0, 1])
    error = float(np.sqrt((1 + agreement**2 / 2) / max(1, len(pairs) - 3)))
    middle = float(np.arctanh(np.clip(agreement, -0.999999, 0.999999)))
    low, high = np.tanh([middle - 1.96 * error, middle + 1.96 * error])
    return Drafted(draft, full, agreement, (float(low), float(high)))


def _write(path: Path, z: Tensor) -> None:
    from safetensors.torch import save_file

    write_whole(path, lambda unfinished: save_file({"z": z.contiguous().clone()}, unfinished))
