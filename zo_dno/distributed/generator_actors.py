"""A generator in several Ray actors, on this machine or on a cluster."""

import copy
import logging
import pickle
import threading
import time
from collections.abc import Awaitable, Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from zo_dno.distributed.actor_pool import ActorPool
from zo_dno.distributed.cluster import LOCAL, connect, max_starting
from zo_dno.distributed.rendering_actor import Cotangent, RenderingActor
from zo_dno.distributed.reward_actors import Takes
from zo_dno.distributed.slots import ActorError
from zo_dno.errors import InputError, RunError
from zo_dno.failures import one_line
from zo_dno.generators.renderer import Block
from zo_dno.noise.space import NoiseLayout
from zo_dno.types import (
    AnyImage,
    Described,
    Generator,
    Rendered,
    array_of,
    balanced_slices,
)

if TYPE_CHECKING:
    from zo_dno.reward import Reward

T = TypeVar("T")
log = logging.getLogger(__name__)
_TRIES = 4  # actors that may die of one block before the run fails
_GRADIENTS = "gradients"  # one name for all of them: where every one kills its actor, images may still be rendered


class GeneratorPool:
    """One generator to its callers, which renders in Ray actors that each load the model once.

    An image stays on the machine that rendered it until it is fetched. An actor that dies is replaced, and its block
    rendered anew. Gradients are taken in the actors as well, block by block.

    Args:
        make: Function that loads the generator; called in every actor.
        actors: Number of actors.
        takes: Resources of each actor.
        threads: Number of threads of each actor, by default this process's; the same number gives the same bits.
        address: Address of Ray; "local" starts one.
        runtime_env: Ray's description of what actors need.
    Attributes:
        vjp: Function from noise (n, d) and a cotangent to J(z)^T h, (n, d), as that of the actors' generator; there is
            none where that has none.
    Raises:
        InputError: A number is out of range, no actor could be started, or the generator could not be made.
    """

    def __init__(
        self,
        make: Callable[[], Generator],
        actors: int,
        *,
        takes: Takes | None = None,
        threads: int | None = None,
        address: str = LOCAL,
        runtime_env: dict[str, Any] | None = None,
    ) -> None:
        if actors < 1:
            raise InputError(f"generators must be at least 1; got {actors}.")
        takes = takes or Takes()
        ray = connect(address, runtime_env=runtime_env)
        actor = ray.remote(**takes.options)(RenderingActor)
        arguments = (ray.put(make), threads or torch.get_num_threads())
        self.ray = ray
        self.actors = ActorPool(
            *(ray, lambda: actor.remote(*arguments), actors), what="generators", max_starting=max_starting(address)
        )
        self.ahead = 2 * actors  # so that no actor waits for work
        self._busy = _Busy()
        self._reward: Any = None
        try:
            described = self._wait_for(self._described())
        except BaseException:
            self.close()
            raise
        self.layout = NoiseLayout(described["shapes"])
        self.nfe: int = described["nfe"]
        self.prompt: str = described["prompt"]
        self.model: str = described["model"]
        if described["settings"] is not None:
            own = {"generators": actors, "generator_cpus": takes.cpus, "generator_gpus": takes.gpus}
            self.settings: dict[str, Any] = described["settings"] | own
        self.batch_size: int | None = described["batch_size"]
        self._has_vjp: bool = described["has_vjp"]
        for remark in described["remarks"]:
            log.warning("%s", remark)
        if self._has_vjp:
            self.vjp = self._vjp
        self.probed: bool = described["probed"]
        self._gives_arrays: bool = described["renders_arrays"]
        if self._gives_arrays:
            self.render_arrays = self._render_arrays

    @property
    def busy(self) -> float:
        """Seconds in which anything was being rendered, or gradients taken."""
        return self._busy.seconds

    def with_prompt(self, prompt: str) -> "GeneratorPool":
        """Return a generator of the same actors that renders another prompt."""
        other = copy.copy(self)
        other.prompt, other._busy, other._reward = prompt, _Busy(), None
        if isinstance(self, Described):
            other.settings = self.settings | {"prompt": prompt}
        if self._has_vjp:
            other.vjp = other._vjp  # not the copied one, which takes gradients for this generator's prompt
        if self._gives_arrays:
            other.render_arrays = other._render_arrays
        return other

    def scoring_with(self, reward: "Reward | None") -> None:
        """Let the actors score what they render, so that images stay there: for a reward that takes microseconds."""
        self._reward = None if reward is None else self.ray.put(reward)

    def begin(self, z: Tensor, image_noise: Tensor | None = None) -> Block:
        """Begin to render the images of `z` (n, d), at most a batch.

        Raises:
            InputError: Noise is to be added to the images.
        """
        if image_noise is not None:
            raise InputError("generators must be 0 for a strategy that perturbs images; got more.")
        return self._begun(self._rendered(z))

    def __call__(self, z: Tensor) -> Tensor:
        """Render the images of `z` (n, d) as (n, H, W, 3) uint8."""
        return _stacked(one.image for one in self._all(z))

    def has_gradient(self) -> bool:
        """Return whether images have a gradient with respect to their noise; an actor may have to try."""
        return self._has_vjp or self._begun(self._tried_gradient()).result()

    def vjps(self, blocks: Sequence[Tensor], cotangent: Cotangent) -> list[Tensor]:
        """Return J(z)^T h of every block, (n, d) on the CPU, all of which the actors compute at the same time.

        Args:
            blocks: Noise, (n, d) each, at most a batch.
            cotangent: Function from the images (n, 3, H, W) of a block, as float32, to h of the same shape. It is sent
                to the actors, with all that it refers to.
        Raises:
            InputError: The cotangent cannot be sent, memory does not suffice, or the gradient is not finite.
            RunError: One actor after another died of a block.
        """
        try:
            sent = self.ray.put(cotangent)
        except (TypeError, AttributeError, pickle.PicklingError) as error:
            raise InputError(
                "cotangent must be a function that can be pickled, since it is sent to generators in other processes; "
                f"got {one_line(str(error))}"
            ) from error
        begun = [self._begun(self._vjp_of_block(block, sent)) for block in blocks]
        return [one.result() for one in begun]

    def _vjp(self, z: Tensor, cotangent: Cotangent) -> Tensor:
        blocks = [z[rows] for rows in balanced_slices(len(z), self.batch_size or len(z))]
        return torch.cat(self.vjps(blocks, cotangent))

    def close(self) -> None:
        """Stop the actors."""
        self.actors.close()

    def _render_arrays(self, z: Tensor) -> tuple[Tensor, Tensor]:
        rendered = self._all(z)
        return _stacked(one.image for one in rendered), _stacked(one.given(arrays=True) for one in rendered)

    def _all(self, z: Tensor) -> list[Rendered]:
        blocks = [self.begin(z[rows]) for rows in balanced_slices(len(z), self.batch_size or len(z))]
        return [one for block in blocks for one in block.result()]

    async def _rendered(self, z: Tensor) -> list[Rendered]:
        noise, reward, n = z.contiguous().numpy(), self._reward, len(z)
        returned = 1 + n * (2 if self._gives_arrays else 1)

        async def work(actor: Any) -> list[Rendered]:
            described, *images = actor.render_images.options(num_returns=returned).remote(noise, self.prompt, reward)
            arrays: list[AnyImage | None] = [
                _Remote(self, one, z, row, array=True) for row, one in enumerate(images[n:])
            ] or [None] * n
            rows = zip(await described, images[:n], arrays, strict=True)
            return [
                Rendered(sha256, _Remote(self, reference, z, row), first_call, no_image, array)
                for row, ((sha256, first_call, no_image), reference, array) in enumerate(rows)
            ]

        return await self._until_done(work, z.data_ptr(), "images could not be rendered")

    async def _tried_gradient(self) -> bool:
        async def work(actor: Any) -> bool:
            found: bool = await actor.has_gradient.remote(self.prompt)
            return found

        return await self._until_done(work, _GRADIENTS, "no gradient could be tried")

    async def _vjp_of_block(self, z: Tensor, cotangent: Any) -> Tensor:
        noise = z.detach().contiguous().numpy()

        async def work(actor: Any) -> Tensor:
            gradient: Tensor = await actor.vjp.remote(noise, self.prompt, cotangent)
            return gradient

        return await self._until_done(work, _GRADIENTS, "gradients could not be computed")

    async def _until_done(self, work: Callable[[Any], Awaitable[T]], key: Hashable, failure: str) -> T:
        """Let actors do some work, another one where one dies of it.

        Raises:
            RunError: Too many died; the message begins with `failure`.
        """
        for left in range(_TRIES - 1, -1, -1):
            try:
                return await self.actors.use(work, key=key)
            except ActorError as error:
                if error.hopeless or not left:
                    raise RunError(f"{failure}: {one_line(str(error))}") from error
        raise AssertionError

    def _begun(self, coroutine: Any) -> "Future[Any]":
        """Run a coroutine on the pool's event loop, and count its time as busy."""
        self._busy.change(+1)
        begun = self.actors.run(coroutine)
        begun.add_done_callback(lambda _: self._busy.change(-1))
        return begun

    async def _described(self) -> dict[str, Any]:
        async def work(actor: Any) -> dict[str, Any]:
            described: dict[str, Any] = await actor.describe.remote()
            return described

        return await self.actors.use(work, key="loading")

    def _wait_for(self, coroutine: Any) -> Any:
        try:
            return self.actors.run(coroutine).result()
        except ActorError as error:
            raise InputError(f"generators could not load the model: {one_line(str(error))}") from error


@contextmanager
def closed_after(generator: Generator) -> Iterator[Generator]:
    """Stop the actors of a generator at the end, if it has any."""
    try:
        yield generator
    finally:
        if isinstance(generator, GeneratorPool):
            generator.close()


class _Remote:
    """An image or array on the machine that rendered it; if that is lost, its block is rendered again."""

    def __init__(self, pool: GeneratorPool, reference: Any, z: Tensor, row: int, *, array: bool = False) -> None:
        self._pool, self._z, self._row, self._array = pool, z, row, array
        self.reference = reference

    def fetch(self) -> np.ndarray:
        ray = self._pool.ray
        try:
            image: np.ndarray = ray.get(self.reference)
        except ray.exceptions.ObjectLostError:
            self.renew()
            image = ray.get(self.reference)
        return image

    def renew(self) -> None:
        """Render the image again."""
        again: Any = self._pool.begin(self._z).result()[self._row].given(arrays=self._array)
        self.reference = again.reference


def _stacked(images: Iterable[AnyImage]) -> Tensor:
    return torch.stack([torch.from_numpy(array_of(image).copy()) for image in images])


class _Busy:
    """Seconds in which anything was in flight."""

    def __init__(self) -> None:
        self._lock, self._count, self._since, self._seconds = threading.Lock(), 0, 0.0, 0.0

    def change(self, by: int) -> None:
        """Note that something began, +1, or ended, -1."""
        with self._lock:
            now = time.perf_counter()
            self._seconds += now - self._since if self._count else 0.0
            self._count, self._since = self._count + by, now

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        with self._lock:
            return self._seconds + (time.perf_counter() - self._since if self._count else 0.0)
