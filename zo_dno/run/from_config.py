"""Runs from configs: start, resume and render one as the command line does."""

import logging
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch

from zo_dno.distributed.cluster import LOCAL
from zo_dno.distributed.generator_actors import closed_after
from zo_dno.generators.local_files import local_files
from zo_dno.oracle.policies import call_policies
from zo_dno.registry import import_from_here
from zo_dno.results.result import Result
from zo_dno.results.stored import result_of
from zo_dno.run import optimize as api
from zo_dno.run.config import RunConfig, as_recorded, validated
from zo_dno.run.ladder import DISTANCES, Rung, check_distances, ladder
from zo_dno.run.make_generator import check_scene, load_model, make_generator, model_named
from zo_dno.run.make_reward import make_reward, requiring
from zo_dno.run.make_strategy import find_space, find_strategy
from zo_dno.run.manifest import FILES, blocks_of, changed_files
from zo_dno.run.measures import measuring
from zo_dno.run.processors import processors
from zo_dno.run.transfer import known_before
from zo_dno.search.progress import Step
from zo_dno.storage.atomic import read_yaml
from zo_dno.storage.images import image_hash
from zo_dno.storage.ledger import Ledger
from zo_dno.storage.noise_files import load_noise, load_several
from zo_dno.storage.run_folder import CONFIG, LEDGER, RunFolder, check_is_run, damage_named
from zo_dno.storage.signature import check_trusted
from zo_dno.surrogate.distances import make_distance
from zo_dno.types import Generator, batch_size_of

log = logging.getLogger(__name__)
_NOT_RENDERED = ("reward", "require", "held_out", "strategy", "space", "apart", "measures", "ray", "ray_env")


def run(config: RunConfig, out: Path, on_step: Callable[[Step], None] | None = None) -> Result:
    """Run a config and keep everything in the folder `out`.

    Raises:
        InputError: The config does not fit; no folder was made.
        RunError: No query was scored.
    """
    import_from_here()
    _check_before_loading(config, out)
    config = with_threads(config)
    with closed_after(make_generator(config)) as generator:
        return api.optimize(generator, out=out, on_step=on_step, **config.search_arguments)


def with_threads(config: RunConfig) -> RunConfig:
    """Set the number of threads that render; by default all processors, shared among the actors of this machine."""
    here = max(1, config.generators) if config.ray == LOCAL else 1
    threads = config.threads or max(1, processors() // here)
    torch.set_num_threads(threads)
    return config.model_copy(update={"threads": threads})


def resume(run: Path, on_step: Callable[[Step], None] | None = None, **changes: Any) -> Result:
    """Resume the run in a folder; the changes are those of `zo_dno.resume`."""
    import_from_here()
    return api.resume(run, on_step=on_step, **changes)


def _check_before_loading(config: RunConfig, out: Path) -> None:
    """Check everything but the model, which may take minutes to load."""
    RunFolder.check(out)
    check_scene(config)
    find_strategy(config.strategy, config.strategy_options)
    find_space(config.space, config.space_options)
    reward = requiring(make_reward(config.reward, config.reward_options), config.require)
    measuring(reward, config.measures)
    if config.diverse is not None:
        make_distance(config.apart)
    call_policies(reward, config.policy)
    known_before(config.surrogate, reward)
    for name in config.held_out:
        make_reward(name)
    if config.init is not None:
        load_noise(Path(config.init), "init")
    if config.near:
        load_several(config.near, "near")


def render(folder: Path, *, steps: int | None = None, trust: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Render a run's winner again, and warn where its image is not the one that the run recorded.

    Args:
        folder: Folder of the run.
        steps: Denoising steps in place of the run's.
        trust: Whether to run code that the config of another user's folder names.
    Returns:
        The image (H, W, 3) uint8, and the initial latents (1, ...) as plain diffusers takes them as `latents=`.

    Raises:
        InputError: The folder is not a run's.
    """
    config, generator = _model_of_run(folder, trust=trust)
    z = load_noise(folder)[None]
    latents = generator.layout.split(z)[0]
    if steps is not None:
        generator = load_model(config, steps=steps)
        z = z[:, : generator.layout.d]
    with damage_named(folder), closing(Ledger(folder / LEDGER, read_only=True)) as ledger:
        best: int = result_of(folder)["best"]["id"]
        together = _rendered_together(ledger, best, batch_size_of(generator))
        recorded = {row.image for row in ledger.queries() if row.id == best}
        changed = changed_files(ledger.get(FILES) or {}, local_files(config.model_dump()))
    image = generator(z.expand(together, -1))[0]
    if steps is None and recorded and image_hash(image.numpy()) not in recorded:
        why = "; ".join(changed) or "the model draws something else, or versions or the processor differ"
        log.warning("the image is not the one that the run recorded: %s", why)
    return image, latents


def model_of_run(folder: Path, *, trust: bool = False) -> Generator:
    """Load the model of a run.

    Args:
        folder: Folder of the run.
        trust: Whether to run code that the config of another user's folder names.
    Raises:
        InputError: The folder is not a run's, or its model was a Python object.
    """
    return _model_of_run(folder, trust=trust)[1]


def _model_of_run(folder: Path, *, trust: bool) -> tuple[RunConfig, Generator]:
    import_from_here()
    check_is_run(folder)
    recorded = as_recorded(read_yaml(folder / CONFIG))
    check_trusted(folder, recorded, trust=trust, without=_NOT_RENDERED)
    with model_named(recorded, "Render its winner from Python: generator(zo_dno.load(RUN).best.z[None])."):
        config = validated(recorded)
        torch.set_num_threads(config.threads or 1)
        return config, load_model(config)


def _rendered_together(ledger: Ledger, best: int, batch_size: int | None) -> int:
    """Return with how many others the winner was rendered, on which the last bit of an image depends."""
    for row in ledger.populations():
        if 0 <= best - row.first_id < row.size:
            return blocks_of(ledger, batch_size).rendered_with(row, best)
    return 1


def ladder_of_run(
    folder: Path,
    liked: Sequence[Path] = (),
    *,
    distances: Sequence[float] = DISTANCES,
    each: int = 5,
    seed: int = 0,
    trust: bool = False,
) -> list[Rung]:
    """Render mixtures of liked noise at several distances, by the model of a run.

    Args:
        folder: Folder of the run.
        liked: Runs, files of noise and folders of them, as the option `near` takes them; none takes the run's winner.
        distances: Distances, each from 0 to 1.
        each: Number of images at each distance.
        seed: Seed of the mixtures.
        trust: Whether to run code that the config of another user's folder names.
    Raises:
        InputError: A distance or the number of images does not fit, or the folder holds no run that can be rendered.
    """
    check_distances(distances, each)
    generator = model_of_run(folder, trust=trust)
    return ladder(generator, load_several(liked or [folder], "near"), distances=distances, each=each, seed=seed)
