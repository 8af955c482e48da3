"""Drafts: a search with few denoising steps, whose best candidates are scored again at full steps."""

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

from zo_dno.call_policy import CallPolicy
from zo_dno.distributed.generator_actors import closed_after
from zo_dno.errors import InputError
from zo_dno.generators.diffusers_generator import DiffusersGenerator
from zo_dno.option_group import marked
from zo_dno.oracle.policies import worst_case
from zo_dno.results.result import Result
from zo_dno.run import optimize as api
from zo_dno.run.config import RunConfig, as_recorded, checked_changes, flattened, validated
from zo_dno.run.make_generator import load_model, make_generator
from zo_dno.run.make_reward import make_reward, requiring
from zo_dno.run.options import RunOptions
from zo_dno.search.archive import Found
from zo_dno.search.progress import Step
from zo_dno.storage.atomic import read_yaml, remove_unfinished, write_text, write_whole, write_yaml
from zo_dno.storage.checked_folder import check_folder
from zo_dno.storage.folder_lock import FolderLock
from zo_dno.storage.run_folder import CONFIG, RunFolder
from zo_dno.storage.signature import SIGNATURE, check_trusted, sign
from zo_dno.strategies import DEFAULT_STRATEGY
from zo_dno.types import Generator

REDRAWN = 16  # different candidates among the best, beside every new best on the way
SETTINGS, NOISE, FIGURES = "draft.yaml", "drafted.safetensors", "draft.json"
DRAFT, FULL = "draft", "full"  # folders of the two runs
_KEPT = tuple(marked(RunOptions, "redraw"))  # what also holds when the best are scored again at full steps
_CHANGEABLE = tuple(marked(RunOptions, "changeable"))
_CHOOSING = ("queries", "nfe", "seconds", "target", "repeats")  # changeable options that alter which are the best
_AGREE = 0.5  # rank correlation below which a warning is due
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Drafted:
    """The results of a draft.

    Attributes:
        draft: Result of the search with few steps.
        full: Result of its best candidates at full steps, whose best is the winner; None where the draft was
            interrupted or is paused.
        agreement: Spearman's rank correlation of the candidates' two rewards; NaN for fewer than three.
        interval: 95 % interval of the agreement, by Fisher's transformation (Bonett and Wright 2000).
    """

    draft: Result
    full: Result | None = None
    agreement: float = float("nan")
    interval: tuple[float, float] = (-1.0, 1.0)

    @property
    def redrawn(self) -> int:
        """Number of candidates that were rendered again."""
        return self.full.queries if self.full else 0

    @property
    def result(self) -> Result:
        """Result of the last search: at full steps, or of the draft where it did not come to that."""
        return self.full or self.draft

    def __str__(self) -> str:
        if self.full is None:
            return f"the draft has {self.draft.queries} queries so far; its best are scored at full steps at its end"
        low, high = self.interval
        return (
            f"{self.redrawn} of {self.draft.queries} candidates of the draft were scored again at full steps; "
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
    """Search with a fast generator, and score its best candidates again as a better generator renders them.

    Args:
        draft: Fast generator, with the same noise as `full`.
        full: Generator that renders the result.
        reward: Reward, as `zo_dno.optimize` takes it.
        strategy: Strategy, as `zo_dno.optimize` takes it.
        out: New folder for both runs, in its folders `draft` and `full`.
        redraw: Number of different candidates among the best that are scored again, beside every new best on the way.
        search: Further arguments of `zo_dno.optimize`, for the draft. `max_cost` is that of both runs together: as much
            is kept for the second as `redraw` candidates and the first can cost.
    Raises:
        InputError: The generators have different noise, or an argument does not fit.
    """
    search = flattened(search)
    if draft.layout.shapes != full.layout.shapes:
        raise InputError(
            f"draft must have the noise of full, {full.layout.shapes}; got {draft.layout.shapes}. Search the initial "
            "noise, which does not depend on the number of steps."
        )
    folder = None if out is None else Path(out)
    found = api.optimize(
        *(draft, reward, strategy),
        out=None if folder is None else folder / DRAFT,
        **{**search, "top": max(redraw, search.get("top", 1)), "max_cost": _cap_of_draft(reward, redraw, search)},
    )
    return _rescored(full, found, reward, folder, search)


def run_draft(config: RunConfig, steps: int, out: Path, on_step: Callable[[Step], None] | None = None) -> Drafted:
    """Run a config with fewer steps, and then its best candidates at the config's own number of steps.

    Raises:
        InputError: The config does not fit.
    """
    _check(config, steps)
    RunFolder.check(out)
    out.mkdir(parents=True, exist_ok=True)
    _keep_settings(out, config, steps)
    with (
        FolderLock(out, "draft"),
        closed_after(make_generator(config)) as full,
        _drafting(config, steps, full) as draft,
    ):
        return optimize_draft(draft, full, out=out, on_step=on_step, **config.search_arguments)


def resume_draft(
    out: Path,
    on_step: Callable[[Step], None] | None = None,
    *,
    accept_drift: bool = False,
    trust: bool = False,
    **changes: Any,
) -> Drafted:
    """Resume a draft that was stopped or killed, and score its best candidates at full steps.

    Args:
        out: Folder of both runs.
        on_step: Function that is called with the progress after every population.
        accept_drift: Whether to resume although the recorded beginning cannot be repeated exactly.
        trust: Whether to run code that the config of another user's folder names.
        changes: Changes that `zo_dno.resume` takes.
    Raises:
        InputError: A change does not fit, or is to the draft's budget after its best candidates were chosen.
    """
    check_folder(out)
    values = as_recorded(read_yaml(out / SETTINGS))
    steps = values.pop("draft", None)
    if not isinstance(steps, int) or steps < 1:
        raise InputError(f"{out / SETTINGS} must hold draft, a number of steps; got {steps!r}.")
    changed = checked_changes(changes)
    check_trusted(out, values, trust=trust, without=changed)
    before = validated(values)
    config = validated(values | changed)
    if (out / FULL / CONFIG).exists():
        for name in _CHOOSING:
            if getattr(config, name) != getattr(before, name):
                raise InputError(
                    f"{name} must stay {getattr(before, name)} once the best of the draft are scored at full steps; "
                    f"got {getattr(config, name)}. Start a new run."
                )
    _keep_settings(out, config, steps)
    search = config.search_arguments
    with (
        FolderLock(out, "draft"),
        closed_after(make_generator(config)) as full,
        _drafting(config, steps, full) as draft,
    ):
        if not (out / DRAFT / CONFIG).exists():
            return optimize_draft(draft, full, out=out, on_step=on_step, **search)
        resumed = {name: search[name] for name in _CHANGEABLE if name in search}
        resumed["max_cost"] = _cap_of_draft(config.reward, REDRAWN, search)
        resumed["top"] = None if (out / FULL / CONFIG).exists() else max(REDRAWN, config.top)  # who the best are
        found = api.resume(
            out / DRAFT, accept_drift=accept_drift, trust=trust, generator=draft, on_step=on_step, **resumed
        )
        return _rescored(full, found, config.reward, out, search, trust=trust)


def _keep_settings(out: Path, config: RunConfig, steps: int) -> None:
    remove_unfinished(out, (SETTINGS, NOISE, FIGURES, SIGNATURE))
    values = config.model_dump(exclude_defaults=True) | {"draft": steps}
    sign(out, values)
    write_yaml(out / SETTINGS, values)


def _cap_of_draft(reward: api.AnyReward, redraw: int, search: Mapping[str, Any]) -> float | None:
    """Return the money that a draft may spend: all but what scoring the best again can cost.

    Raises:
        InputError: Nothing is left.
    """
    cap = search.get("max_cost")
    if cap is None:
        return None
    scorer = requiring(make_reward(reward, search.get("reward_options")), search.get("require"))
    policy = search.get("policy") or {}
    changes = policy.given if isinstance(policy, CallPolicy) else policy
    kept = (redraw + 1) * worst_case(scorer, changes, attempts=1)
    if kept >= cap:
        raise InputError(
            f"max_cost must be more than {kept:g}, which scoring {redraw + 1} candidates again costs; got {cap:g}."
        )
    return float(cap - kept)


def _drafting(config: RunConfig, steps: int, full: Generator) -> AbstractContextManager[Generator]:
    """Return the model with fewer steps; a pipeline that is loaded in this process is used again."""
    quick = config.model_copy(update={"steps": steps})
    if isinstance(full, DiffusersGenerator):
        return nullcontext(load_model(quick, like=full))
    return closed_after(make_generator(quick))


def _check(config: RunConfig, steps: int) -> None:
    if config.search != "initial":
        raise InputError(f"draft must come with search 'initial'; got {config.search!r}, whose noise depends on steps.")
    if config.steps is not None and steps >= config.steps:
        raise InputError(f"draft must be fewer steps than {config.steps}; got {steps}.")


def _rescored(
    full: Generator,
    found: Result,
    reward: api.AnyReward,
    folder: Path | None,
    search: Mapping[str, Any],
    *,
    trust: bool = False,
) -> Drafted:
    """Score the best of a draft at full steps, within the money that it left."""
    if found.status in ("interrupted", "paused"):
        return Drafted(found)
    cap = search.get("max_cost")
    left = None if cap is None else cap - found.cost
    chosen = list({one.id: one for one in (found.first, *found.top, *found.improvements)}.values())
    z = torch.stack([one.z for one in chosen])
    noise: Any = z
    if folder is not None:
        noise = str((folder / NOISE).absolute())
        _write(folder / NOISE, z)
    if folder is not None and (folder / FULL / CONFIG).exists():
        resumed = {name: search[name] for name in _KEPT if name in _CHANGEABLE and name in search}
        result = api.resume(folder / FULL, generator=full, max_cost=left, trust=trust, **resumed)
    else:
        strategy = "zo_dno.strategies.listed:Listed"
        options = {name: search[name] for name in _KEPT if name in search}
        given = {**options, "queries": len(z), "max_cost": left, "strategy_options": {"noise": noise}}
        given["out"] = None if folder is None else folder / FULL
        result = api.optimize(full, reward, strategy, **given)
    drafted = _compared(found, result, chosen)
    if result.status in ("interrupted", "paused"):
        return drafted
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
        return Drafted(draft, full)
    drafted, scored = zip(*pairs, strict=True)
    correlation: Any = stats.spearmanr(drafted, scored)
    agreement = float(correlation.statistic)
    error = float(np.sqrt((1 + agreement**2 / 2) / max(1, len(pairs) - 3)))
    middle = float(np.arctanh(np.clip(agreement, -0.999999, 0.999999)))
    low, high = np.tanh([middle - 1.96 * error, middle + 1.96 * error])
    return Drafted(draft, full, agreement, (float(low), float(high)))


def _write(path: Path, z: Tensor) -> None:
    from safetensors.torch import save_file

    write_whole(path, lambda unfinished: save_file({"z": z.contiguous().clone()}, unfinished))
