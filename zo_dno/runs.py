"""From a config to a generator and a run."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch

from zo_dno.api import optimize
from zo_dno.config import RunConfig, read_yaml, validated
from zo_dno.errors import InputError
from zo_dno.generator import BUILTIN, DiffusersGenerator
from zo_dno.parts import find_strategy, make_reward
from zo_dno.result import Result
from zo_dno.run_folder import RunFolder, load_noise
from zo_dno.search import Step


def run(config: RunConfig, out: Path, on_step: Callable[[Step], None] | None = None) -> Result:
    """Run a config and keep everything in the folder `out`.

    Raises:
        InputError: the config does not fit; there is no folder.
        RunError: nothing could be scored.
    """
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))  # so that --reward module:function finds a file in this folder
    _check_before_loading(config, out)
    config = config.model_copy(update={"threads": config.threads or len(os.sched_getaffinity(0))})
    torch.set_num_threads(config.threads or 1)
    return optimize(
        make_generator(config),
        config.reward,
        config.strategy,
        queries=config.queries,
        seconds=config.seconds,
        seed=config.seed,
        gamma=config.gamma,
        min_log_prob=config.min_log_prob,
        out=out,
        strategy_options=config.strategy_options,
        reward_options=config.reward_options,
        held_out=config.held_out,
        workers=config.workers,
        target=config.target,
        init=config.init,
        top=config.top,
        baseline=config.baseline,
        threads=config.threads,
        on_step=on_step,
    )


def _check_before_loading(config: RunConfig, out: Path) -> None:
    """Find what is wrong with everything but the model, which may take minutes to load."""
    RunFolder.check(out)
    find_strategy(config.strategy, config.strategy_options)
    make_reward(config.reward, config.reward_options)
    for name in config.held_out:
        make_reward(name)
    if config.init is not None:
        load_noise(config.init)


def make_generator(config: RunConfig, *, steps: int | None = None) -> DiffusersGenerator:
    """Load the model of a config; `steps` overrides its number of steps and searches the initial noise alone."""
    arguments = {
        "steps": steps or config.steps,
        "guidance_scale": config.guidance,
        "search": "initial" if steps else config.search,
        "batch_size": config.batch_size,
        "seed": config.seed if config.generator_seed is None else config.generator_seed,
        "dtype": config.dtype,
        "device": config.device,
        **config.call_arguments,
    }
    if config.model == BUILTIN:
        return DiffusersGenerator.builtin(config.prompt, **arguments)
    return DiffusersGenerator(config.model, config.prompt, **arguments)


def render(folder: Path, *, steps: int | None = None) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw a run's winner again.

    Returns:
        its image (H, W, 3) uint8, and its initial latents (1, ...) as plain diffusers takes them as `latents=`.

    Raises:
        InputError: the folder is not a run's.
    """
    if not (folder / "config.yaml").is_file():
        raise InputError(f"run must be the folder of a run; {folder} has no config.yaml.")
    config = validated(read_yaml(folder / "config.yaml"))
    torch.set_num_threads(config.threads or 1)
    z = load_noise(folder)[None]
    generator = make_generator(config)
    latents = generator.draws(z)[0]
    if steps is not None:
        generator = make_generator(config, steps=steps)
        z = z[:, : generator.space.d]
    return generator(z)[0], latents
