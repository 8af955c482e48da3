"""A run while a session carries it out: everything that is open until the session ends."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from zo_dno.distributed.actor_pool import ActorPool
from zo_dno.distributed.generator_actors import GeneratorPool
from zo_dno.distributed.reward_actors import Pools
from zo_dno.generators.renderer import LocalRenderer, Renderer
from zo_dno.oracle.cache import Cache
from zo_dno.oracle.combination.oracle import CombinedOracle
from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.oracle import Oracle
from zo_dno.run.manifest import Manifest
from zo_dno.run.oracles import Oracles
from zo_dno.run.spec import RunSpec
from zo_dno.storage.artifacts import Artifacts
from zo_dno.storage.ledger import Ledger
from zo_dno.storage.run_folder import RunFolder, damage_named
from zo_dno.types import prompt_of


@dataclass(frozen=True, slots=True)
class OpenRun:
    """A run that a session carries out.

    Attributes:
        spec: Specification of the run.
        folder: Folder of the run; None keeps everything in memory.
        accept_drift: Whether to resume although the recorded beginning cannot be repeated exactly.
        retry_failed: Whether queries of earlier sessions that got no score are sent again.
        ledger: Table of the run's queries.
        manifest: Facts of the run in its ledger.
        pools: Actor pools of the rewards.
        oracles: Maker of further oracles.
        oracle: Oracle of the reward that is optimised.
        renderer: Renderer of the generator's images.
        artifacts: Image and noise files of the run.
        until_end: Stack of what ends with the session.
    """

    spec: RunSpec
    folder: RunFolder | None
    accept_drift: bool
    retry_failed: bool
    ledger: Ledger
    manifest: Manifest
    pools: Pools
    oracles: Oracles
    oracle: Oracle | CombinedOracle
    renderer: Renderer
    artifacts: Artifacts
    until_end: ExitStack

    @property
    def path(self) -> Path | None:
        """Path of the run's folder, if it has one."""
        return self.folder.path if self.folder else None

    @property
    def prompt(self) -> str:
        """Prompt of the generator."""
        return prompt_of(self.spec.generator)

    @property
    def actor_pools(self) -> tuple[ActorPool, ...]:
        """Pools of all actors, which render or score."""
        generator = self.spec.generator
        return (*([generator.actors] if isinstance(generator, GeneratorPool) else ()), *self.pools.actor_pools)


@contextmanager
def opened(
    spec: RunSpec, folder: RunFolder | None, *, accept_drift: bool, retry_failed: bool = False
) -> Iterator[OpenRun]:
    """Open everything that a run needs, and close it at the end.

    Raises:
        InputError: The recorded run differs from the spec; the message says where.
        StorageError: The folder cannot be written.
    """
    path, durable = folder.path if folder else None, spec.keeps_everything
    with ExitStack() as stack:
        if folder is not None and folder.is_new:
            folder.write_config(spec.config)  # before anything else: a folder without a config is no run
        cache = stack.enter_context(closing(Cache(Path(spec.options.cache) if spec.options.cache else None)))
        ledger = stack.enter_context(closing(Ledger(folder.ledger if folder else None, durable=durable)))
        with damage_named(folder.path) if folder else nullcontext():
            manifest = Manifest(ledger, spec, accept_drift=accept_drift)
        if folder is not None:
            folder.write_config(spec.config)
        spec.reward.begin(path)
        pools = spec.pools or stack.enter_context(closing(Pools()))
        oracles = Oracles(spec, ledger, cache, pools)
        oracle = stack.enter_context(closing(oracles.main()))
        renderer = _renderer(spec, oracle, stack)
        artifacts = stack.enter_context(
            closing(Artifacts(path, every=spec.options.keep_images, durable=durable, known=ledger.artifacts()))
        )
        parts = (ledger, manifest, pools, oracles, oracle, renderer, artifacts, stack)
        yield OpenRun(spec, folder, accept_drift, retry_failed, *parts)


def _renderer(spec: RunSpec, oracle: Oracle | CombinedOracle, stack: ExitStack) -> Renderer:
    """Render in this process, or in the generator's actors, which also compute rewards of microseconds."""
    generator, reward = spec.generator, spec.reward
    if not isinstance(generator, GeneratorPool):
        return stack.enter_context(closing(LocalRenderer(generator, in_background=oracle.waits)))
    cheap = not isinstance(reward, Combination) and not oracle.waits and not spec.keeps_everything
    cheap = cheap and not spec.options.screen
    generator.scoring_with(reward if cheap and reward.travels else None)
    return generator
