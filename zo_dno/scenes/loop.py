"""The training loop of all stages: averaged weights, a trapezoid learning rate and exact resumption."""

import copy
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from zo_dno.errors import InputError
from zo_dno.rng import stream
from zo_dno.threads import ThreadPool

Batch = tuple[Tensor, ...]
MakeBatch = Callable[[torch.Generator], Batch]
Loss = Callable[..., Tensor]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """Steps, batches and learning rate of a stage."""

    steps: int
    batch: int
    rate: float
    warmup: int = 100
    decay: float = 0.4
    average: float = 0.998
    save_every: int = 200
    seed: int = 0
    shards: int = 2  # shards of a batch on a CPU; 1 for models that keep batch statistics

    def rate_at(self, step: int) -> float:
        """Return the learning rate: it rises, stays, and falls to 0 over the last `decay` of the steps."""
        falling = (self.steps - step) / max(1.0, self.decay * self.steps)
        return self.rate * min(1.0, (step + 1) / max(1, self.warmup), falling)


def train(stage: str, model: nn.Module, make_batch: MakeBatch, loss: Loss, plan: Plan, folder: Path) -> nn.Module:
    """Train `model` in place and return a copy with the averaged weights.

    Every random number of a step comes from a stream named by the step, so that a killed run resumes from its last
    checkpoint exactly. On a CPU every batch is cut into `plan.shards` shards, one a thread: cores then wait for each
    other once a step instead of once an operation.

    Args:
        stage: Name of the checkpoint and of the random streams.
        model: Model to train.
        make_batch: Function from a step's random generator to its batch.
        loss: Function from a batch or a shard to its mean loss.
        plan: Steps, batch size, learning rate and seed.
        folder: Folder of the checkpoint.
    """
    averaged = copy.deepcopy(model).eval().requires_grad_(False)
    optimiser = torch.optim.AdamW(model.parameters(), lr=plan.rate, betas=(0.9, 0.99), weight_decay=0.01)
    file = folder / f"{stage}.pt"
    first = _restore(file, model, averaged, optimiser, plan.seed)
    model.train()
    progress = _Progress(stage, plan.steps)
    with _gradients(model, loss, plan.shards) as descend:
        for step in range(first, plan.steps):
            for group in optimiser.param_groups:
                group["lr"] = plan.rate_at(step)
            value = descend(make_batch(stream(plan.seed, "scenes", stage, step)))
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()
            _follow(averaged, model, min(plan.average, (step + 1) / (step + 10)))
            progress.add(step + 1, value)
            if (step + 1) % plan.save_every == 0 or step + 1 == plan.steps:
                _save(file, model, averaged, optimiser, step + 1, plan.seed)
    model.eval()
    return averaged


@contextmanager
def _gradients(model: nn.Module, loss: Loss, shards: int) -> Iterator[Callable[[Batch], float]]:
    """Yield a function that sets every parameter's gradient from a batch and returns the loss."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    shards = shards if parameters[0].device.type == "cpu" else 1

    def of_shard(batch: Batch) -> tuple[float, tuple[Tensor | None, ...]]:
        value = loss(*batch)
        return value.item(), torch.autograd.grad(value, parameters, allow_unused=True)

    def descend(batch: Batch) -> float:
        cut = zip(*(values.chunk(shards) for values in batch), strict=True)
        values, slopes = zip(*pool.map(of_shard, cut), strict=True)
        for parameter, slope in zip(parameters, zip(*slopes, strict=True), strict=True):
            used = [one for one in slope if one is not None]
            parameter.grad = torch.stack(used).sum(dim=0) / len(slopes) if used else None
        return float(sum(values)) / len(values)

    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // shards) if shards > 1 else threads)
    try:
        with ThreadPool(shards, "zo-dno training") as pool:
            yield descend
    finally:
        torch.set_num_threads(threads)


class _Progress:
    """Logs the mean loss and the speed every 50 steps."""

    def __init__(self, stage: str, steps: int):
        self._stage, self._steps = stage, steps
        self._values: list[float] = []
        self._since = time.monotonic()

    def add(self, step: int, value: float) -> None:
        self._values.append(value)
        if step % 50 == 0:
            mean, seconds = sum(self._values) / len(self._values), time.monotonic() - self._since
            speed = seconds / len(self._values)
            _log.info("%s step %d of %d: loss %.4f, %.3f s a step", self._stage, step, self._steps, mean, speed)
            self._values, self._since = [], time.monotonic()


def _follow(averaged: nn.Module, model: nn.Module, keep: float) -> None:
    with torch.no_grad():
        pairs = zip(averaged.parameters(), model.parameters(), strict=True)
        old, new = (list(values) for values in zip(*pairs, strict=True))
        get_ema_multi_avg_fn(keep)(old, new, None)
        for buffer, value in zip(averaged.buffers(), model.buffers(), strict=True):
            buffer.copy_(value)


def _save(
    file: Path, model: nn.Module, averaged: nn.Module, optimiser: torch.optim.Optimizer, step: int, seed: int
) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    state = {
        "model": model.state_dict(),
        "averaged": averaged.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
        "seed": seed,
    }
    torch.save(state, file.with_suffix(".new"))
    os.replace(file.with_suffix(".new"), file)


def _restore(file: Path, model: nn.Module, averaged: nn.Module, optimiser: torch.optim.Optimizer, seed: int) -> int:
    if not file.exists():
        return 0
    state = torch.load(file, map_location="cpu", weights_only=True)
    if state.get("seed", seed) != seed:
        raise InputError(f"seed must be that of {file}, {state['seed']}; got {seed}. Give another work folder.")
    model.load_state_dict(state["model"])
    averaged.load_state_dict(state["averaged"])
    optimiser.load_state_dict(state["optimiser"])
    _log.info("resuming after step %d of %s", state["step"], file)
    return int(state["step"])
