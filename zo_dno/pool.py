"""The same reward in several Ray actors."""

import asyncio
import logging
import os
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zo_dno.calling import Outcome, call
from zo_dno.errors import InputError
from zo_dno.failures import Failure, one_line
from zo_dno.types import AnyImage

if TYPE_CHECKING:
    import numpy as np

    from zo_dno.reward import Reward


class RewardPool:
    """Calls a reward in local Ray actors, each one call at a time; an actor that dies or hangs is replaced.

    Args:
        reward: anything that Ray can send to another process.
        workers: number of actors.
        cpus: that each of them counts as; less than one where pools take turns.
    Raises:
        InputError: workers < 1, or the reward is asynchronous.
    """

    def __init__(self, reward: "Reward", workers: int, *, cpus: float = 1) -> None:
        if workers < 1:
            raise InputError(f"workers must be at least 1; got {workers}.")
        if reward.is_async:
            raise InputError(
                f"workers must be 0 with {reward.name!r}, which waits for many answers at once in this process; got "
                f"{workers}. Set in_flight instead."
            )
        self._ray = _local_ray(workers)
        self._actor = self._ray.remote(num_cpus=cpus)(_RewardActor)
        self._reward = reward
        self._actors = [self._actor.remote(reward) for _ in range(workers)]
        self._ray.get([actor.ready.remote() for actor in self._actors])
        self._idle: asyncio.Queue[Any] = asyncio.Queue()
        for actor in self._actors:
            self._idle.put_nowait(actor)

    async def call(self, images: Sequence[AnyImage], prompts: Sequence[str], keys: Sequence[str]) -> Outcome:
        """Call the reward in the next actor that is free."""
        actor = await self._idle.get()
        try:
            outcome: Outcome = await actor.call.remote(list(images), list(prompts), list(keys))
        except self._ray.exceptions.RayError as error:
            self._replace(actor)
            return Failure("worker died", one_line(f"{type(error).__name__}: {error}"), transient=True, billed=True)
        except asyncio.CancelledError:  # it took too long, and may be busy for ever
            self._replace(actor)
            raise
        self._idle.put_nowait(actor)
        return outcome

    def close(self) -> None:
        """Stop the actors."""
        for actor in self._actors:
            self._ray.kill(actor)

    def _replace(self, actor: Any) -> None:
        self._actors.remove(actor)
        self._ray.kill(actor)
        self._actors.append(self._actor.remote(self._reward))
        self._idle.put_nowait(self._actors[-1])


class _RewardActor:
    def __init__(self, reward: "Reward") -> None:
        self._reward = reward

    def ready(self) -> None:
        """Answer once the actor has started."""

    def call(self, images: "Sequence[np.ndarray]", prompts: Sequence[str], keys: Sequence[str]) -> Outcome:
        return call(self._reward, images, prompts, keys)


def _local_ray(workers: int) -> Any:
    """Start Ray on this machine alone, with a token and on loopback, unless the caller has a Ray already."""
    os.environ.setdefault("RAY_AUTH_MODE", "token")
    if os.environ["RAY_AUTH_MODE"] == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # everything listens on 127.0.0.1
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if not ray.is_initialized():
        ray.init(
            address="local",
            num_cpus=max(workers, os.cpu_count() or 1),
            include_dashboard=False,
            logging_level=logging.ERROR,
            log_to_driver=False,
            object_store_memory=256 * 2**20,
        )
    return ray
