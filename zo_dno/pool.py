"""The same reward in several Ray actors."""

import logging
import os
import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zo_dno.errors import InputError
from zo_dno.oracle import ask
from zo_dno.types import Score, slices

if TYPE_CHECKING:
    import numpy as np

    from zo_dno.reward import Reward


class RewardPool:
    """Asks a reward in local Ray actors; the answers come back in the order of the images.

    Args:
        reward: anything that Ray can send to another process.
        workers: number of actors, one CPU each.
    Raises:
        InputError: workers < 1.
    """

    def __init__(self, reward: "Reward", workers: int) -> None:
        if workers < 1:
            raise InputError(f"workers must be at least 1; got {workers}.")
        self.reward = reward
        ray = _local_ray(workers)
        actor = ray.remote(num_cpus=1)(_RewardActor)
        self._ray = ray
        self._actors = [actor.remote(reward) for _ in range(workers)]
        ray.get([actor.ready.remote() for actor in self._actors])

    def ask(self, images: "np.ndarray", prompts: Sequence[str]) -> list[Score]:
        """Score images (n, H, W, 3) uint8, each drawn for the prompt in the same place."""
        share = -(-len(images) // len(self._actors))  # rounded up to whole calls of the reward
        share = -(-share // self.reward.batch) * self.reward.batch
        parts = zip(slices(len(images), share), self._actors, strict=False)
        answers = [actor.ask.remote(images[rows], list(prompts[rows])) for rows, actor in parts]
        return [score for part in self._ray.get(answers) for score in part]

    def close(self) -> None:
        """Stop the actors."""
        for actor in self._actors:
            self._ray.kill(actor)


class _RewardActor:
    def __init__(self, reward: "Reward") -> None:
        self._reward = reward

    def ready(self) -> None:
        """Answer once the actor has started."""

    def ask(self, images: "np.ndarray", prompts: Sequence[str]) -> list[Score]:
        return ask(self._reward, images, prompts)


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
