"""From a config to a run, and from a run to its winner."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from zo_dno.distributed.cluster import LOCAL
from zo_dno.distributed.generator_actors import closed_after
from zo_dno.oracle.policies import call_policies
from zo_dno.results.result import Result
from zo_dno.run import optimize as api
from zo_dno.run.build import find_space, find_strategy, load_model, make_generator, make_reward, requiring
from zo_dno.run.config import RunConfig, validated
from zo_dno.search.progress import Step
from zo_dno.storage.atomic import read_yaml
from zo_dno.storage.run_folder import CONFIG, RunFolder, check_is_run, load_noise


def run(config: RunConfig, out: Path, on_step: Callable[[Step], None] | None = None) -> Result:
    """Run a config and keep everything in the folder `out`.

    Raises:
        InputError: the config does not fit; there is no folder.
        RunError: nothing could be scored.
    """
    import_from_here()
    _check_before_loading(config, out)
    config = with_threads(config)
    with closed_after(make_generator(config)) as generator:
        return api.optimize(generator, out=out, on_step=on_step, **config.search_arguments)


def with_threads(config: RunConfig) -> RunConfig:
    """Settle how many threads draw, and use them; by default all processors, shared by the actors of this machine."""
    here = max(1, config.generators) if config.ray == LOCAL else 1
    threads = config.threads or max(1, len(os.sched_getaffinity(0)) // here)
    torch.set_num_threads(threads)
    return config.model_copy(update={"threads": threads})


def resume(run: Path, on_step: Callable[[Step], None] | None = None, **changes: Any) -> Result:
    """Go on with the run in a folder; the changes are `zo_dno.resume`'s."""
    import_from_here()
    return api.resume(run, on_step=on_step, **changes)


def import_from_here() -> None:
    """Let `--reward module:function` find a file in the current folder."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))


def _check_before_loading(config: RunConfig, out: Path) -> None:
    """Find what is wrong with everything but the model, which may take minutes to load."""
    RunFolder.check(out)
    find_strategy(config.strategy, config.strategy_options)
    find_space(config.space, config.space_options)
    call_policies(requiring(make_reward(config.reward, config.reward_options), config.require), config.policy)
    for name in config.held_out:
        make_reward(name)
    if config.init is not None:
        load_noise(Path(config.init))


def render(folder: Path, *, steps: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a run's winner again.

    Returns:
        its image (H, W, 3) uint8, and its initial latents (1, ...) as plain diffusers takes them as `latents=`.

    Raises:
        InputError: the folder is not a run's.
    """
    check_is_run(folder)
    config = validated(read_yaml(folder / CONFIG))
    torch.set_num_threads(config.threads or 1)
    z = load_noise(folder)[None]
    generator = load_model(config)
    latents = generator.layout.split(z)[0]
    if steps is not None:
        generator = load_model(config, steps=steps)
        z = z[:, : generator.layout.d]
    return generator(z)[0], latents
