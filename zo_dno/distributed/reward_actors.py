"""A reward in several Ray actors, on this machine or on a cluster."""

import asyncio
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from zo_dno.distributed.actor_pool import ActorPool
from zo_dno.distributed.cluster import LOCAL, connect, max_starting
from zo_dno.distributed.slots import ActorError
from zo_dno.errors import InputError
from zo_dno.failures import Failure, failure_of, one_line, too_late
from zo_dno.oracle.call import call, call_async
from zo_dno.oracle.event_loop import EventLoopThread
from zo_dno.types import AnyImage, RemoteImage, Score

if TYPE_CHECKING:
    import numpy as np

    from zo_dno.reward import Reward


@runtime_checkable
class StoredImage(RemoteImage, Protocol):
    """An image in Ray's object store.

    Attributes:
        reference: Ray's reference to the image.
    """

    reference: Any


@dataclass(frozen=True, slots=True)
class Takes:
    """Resources of a machine that one actor takes.

    Args:
        cpus: Number of CPUs; with 0 any number of actors share one.
        gpus: Number of GPUs, or a fraction of one.
        resources: Amount of each custom resource of the cluster, by name.
    """

    cpus: float = 1
    gpus: float = 0
    resources: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("cpus", self.cpus), ("gpus", self.gpus), *self.resources.items()):
            if not value >= 0:
                raise InputError(f"{name} of an actor must be at least 0; got {value}.")

    @property
    def options(self) -> dict[str, Any]:
        """Ray's options for such an actor."""
        return {"num_cpus": self.cpus, "num_gpus": self.gpus, "resources": self.resources}


class RewardActors:
    """Calls a reward in Ray actors. An actor that dies or hangs is replaced, and the caller may repeat the call.

    Args:
        reward: Reward that can be sent to another process.
        workers: Number of actors.
        takes: Resources of each actor.
        concurrency: Number of calls that one actor takes at once; more than 1 is for asynchronous rewards.
        address: Address of Ray; "local" starts one.
        runtime_env: Ray's description of what actors need.
    Raises:
        InputError: A number is out of range, the reward cannot be sent, or no actor could be started.

    Attributes:
        spare: Number of calls that can wait at the actors for their turn.
    """

    def __init__(
        self,
        reward: "Reward",
        workers: int,
        *,
        takes: Takes | None = None,
        concurrency: int = 1,
        address: str = LOCAL,
        runtime_env: dict[str, Any] | None = None,
    ) -> None:
        if workers < 1:
            raise InputError(f"workers must be at least 1; got {workers}.")
        if not reward.travels:
            raise InputError(
                f"workers must be 0 with {reward.name!r}, which stores ratings in the folder of the run; got {workers}."
            )
        takes = takes or Takes()
        ray = connect(address, runtime_env=runtime_env)
        sent = _sent(ray, reward, by_value=address != LOCAL)
        kind = _AsyncRewardActor if reward.is_async else _RewardActor
        actor = ray.remote(**takes.options, max_concurrency=concurrency)(kind)
        self.actors = ActorPool(
            *(ray, lambda: actor.remote(sent), workers),
            what="workers",
            concurrency=concurrency,
            max_starting=max_starting(address),
        )
        self.spare = workers if concurrency == 1 else 0
        self._ray = ray

    @property
    def queued(self) -> int:
        """Number of calls that wait at the actors for their turn."""
        return self.actors.queued

    async def call(
        self, images: Sequence[AnyImage], prompts: Sequence[str], keys: Sequence[str], timeout: float | None = None
    ) -> list[Score] | Failure:
        """Call the reward in the next free actor; `timeout` counts from the call's turn there."""
        return await asyncio.wrap_future(self.actors.run(self._call(images, prompts, keys, timeout)))

    def close(self) -> None:
        """Stop the actors."""
        self.actors.close()

    async def _call(
        self, images: Sequence[AnyImage], prompts: Sequence[str], keys: Sequence[str], timeout: float | None
    ) -> list[Score] | Failure:
        async def score(actor: Any) -> list[Score] | Failure:
            # Ray fetches a reference to the actor's machine if it is an argument itself, not an item of a list
            references = [image.reference if isinstance(image, StoredImage) else image for image in images]
            scores: list[Score] | Failure = await actor.call.remote(list(prompts), list(keys), *references)
            return scores

        async def scored() -> list[Score] | Failure:
            return await self.actors.use(score, key=id(images[0]), timeout=timeout)

        try:
            try:
                return await scored()
            except self._ray.exceptions.ObjectLostError:  # the machine that rendered an image is gone
                await asyncio.gather(
                    *(asyncio.to_thread(image.renew) for image in images if isinstance(image, StoredImage))
                )
                return await scored()
        except TimeoutError:
            return too_late(timeout)
        except ActorError as error:
            return Failure(error.kind, one_line(str(error)), transient=not error.hopeless, billed=True)
        except Exception as error:
            return failure_of(error)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return failure_of(error)


class Pools:
    """Pools of reward actors that runs share; each is made at its first use."""

    def __init__(self) -> None:
        self._lock, self._made = threading.Lock(), dict[str, RewardActors]()

    def get(self, reward: "Reward", workers: int, **options: Any) -> RewardActors:
        """Return the pool of a reward; `options` are those of `RewardActors`."""
        key = repr((reward.identity, workers, options))
        with self._lock:
            if key not in self._made:
                self._made[key] = RewardActors(reward, workers, **options)
            return self._made[key]

    @property
    def actor_pools(self) -> list[ActorPool]:
        """The actor pools of all rewards."""
        with self._lock:
            return [pool.actors for pool in self._made.values()]

    def close(self) -> None:
        """Stop all actors."""
        with self._lock:
            for pool in self._made.values():
                pool.close()
            self._made.clear()


class _RewardActor:
    def __init__(self, reward: "Reward") -> None:
        self._reward = reward

    def ready(self) -> None:
        """Return once the actor has started."""

    def call(self, prompts: Sequence[str], keys: Sequence[str], *images: "np.ndarray") -> list[Score] | Failure:
        try:
            return call(self._reward, images, prompts, keys)
        except KeyboardInterrupt as error:  # the reward's own, as no terminal sends Ctrl-C to an actor
            return failure_of(error)


class _AsyncRewardActor:
    """Runs the reward on an event loop of its own: what it cancels or stops there is not Ray's."""

    def __init__(self, reward: "Reward") -> None:
        self._reward, self._loop = reward, EventLoopThread[None]()

    async def ready(self) -> None:
        """Return once the actor has started."""

    async def call(self, prompts: Sequence[str], keys: Sequence[str], *images: "np.ndarray") -> list[Score] | Failure:
        called = self._loop.submit(call_async(self._reward, images, prompts, keys))
        try:
            scores: list[Score] | Failure = await asyncio.wrap_future(called)
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is not None and task.cancelling():  # this call, and not a task of the reward's
                raise
            return failure_of(error)
        return scores


def _sent(ray: Any, reward: "Reward", *, by_value: bool) -> Any:
    """Put a reward where actors find it.

    Raises:
        InputError: The reward holds something that cannot be sent to another process.
    """
    module = sys.modules.get(type(reward).__module__)
    if by_value and module is not None and _is_users_module(module):
        ray.cloudpickle.register_pickle_by_value(module)  # a cluster's machines lack the user's file
    try:
        return ray.put(reward)
    except Exception as error:  # pickling may raise anything
        raise InputError(
            f"reward {reward.name!r} must be something that can be sent to workers; {one_line(str(error))} Make what "
            "it holds at its first call, or set workers to 0."
        ) from error


def _is_users_module(module: Any) -> bool:
    path = getattr(module, "__file__", None)
    return path is not None and Path(path).resolve().is_relative_to(Path.cwd())
