"""Drawing a population block by block, while what is drawn already is being asked about."""

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from zo_dno.generators.memory import memory_named
from zo_dno.generators.pixels import NoImageError, bytes_of, render_floats
from zo_dno.storage.images import checked_images, image_hash
from zo_dno.types import Differentiable, Query, Rendered

if TYPE_CHECKING:
    from torch import Tensor

    from zo_dno.types import Generator

Block = Future[list[Rendered]]


@runtime_checkable
class Renderer(Protocol):
    """Draws blocks of noise, here or in other processes.

    Attributes:
        ahead: blocks that are worth having under way at once.
    """

    ahead: int

    @property
    def busy(self) -> float:
        """Seconds in which something was being drawn."""
        ...

    def begin(self, z: "Tensor", image_noise: "Tensor | None" = None) -> Block:
        """Begin to draw the images of `z` (n, d), of at most a batch; `image_noise` (n, 3, H, W) is added to them."""
        ...

    def close(self) -> None: ...


class LocalRenderer:
    """Draws in this process, one block after the other: at once, or in a thread of its own.

    Args:
        generator: to draw with.
        in_background: draw in a thread, which pays where answers are waited for meanwhile.
    """

    def __init__(self, generator: "Generator", *, in_background: bool = False) -> None:
        self._generator = generator
        self._thread = ThreadPoolExecutor(1, "zo-dno drawing") if in_background else None
        self.ahead = 2 if in_background else 1  # so that the thread does not wait to be given work
        self.busy = 0.0

    def begin(self, z: "Tensor", image_noise: "Tensor | None" = None) -> Block:
        if self._thread is not None:
            return self._thread.submit(self._render, z, image_noise)
        done: Block = Future()
        try:
            done.set_result(self._render(z, image_noise))
        except Exception as error:
            done.set_exception(error)
        return done

    def close(self) -> None:
        if self._thread is not None:
            self._thread.shutdown(cancel_futures=True)

    def _render(self, z: "Tensor", image_noise: "Tensor | None") -> list[Rendered]:
        started = time.perf_counter()
        try:
            return render_images(self._generator, z, image_noise)
        finally:
            self.busy += time.perf_counter() - started


def render_images(generator: "Generator", z: "Tensor", image_noise: "Tensor | None" = None) -> list[Rendered]:
    """Draw the images of `z` (n, d), and name them.

    Args:
        generator: to draw with.
        z: (n, d).
        image_noise: (n, 3, H, W) on the scale of [0, 1], added before rounding; the generator must be Differentiable.
    Raises:
        InputError: the generator returned something else than n images, or memory does not suffice.
    """
    try:
        with memory_named(generator):
            images, reasons = _images(generator, z, image_noise), dict[int, str]()
    except NoImageError as error:
        images, reasons = error.images, error.reasons
        images[list(reasons)] = 0
    return [
        Rendered(image_hash(image), image, no_image=reasons.get(row, ""))
        for row, image in enumerate(checked_images(images, len(z)))
    ]


def _images(generator: "Generator", z: "Tensor", image_noise: "Tensor | None") -> "Tensor":
    if image_noise is None:
        return generator(z)
    assert isinstance(generator, Differentiable)
    return bytes_of(render_floats(generator, z) + image_noise)


MakeQueries = Callable[[list[Rendered]], list[Query]]


class RenderQueue:
    """The questions about populations while they are being drawn.

    Args:
        renderer: to draw with; by default there is nothing to draw.
        more: called whenever other blocks could be begun; it may `add` some.
    """

    def __init__(self, renderer: Renderer | None = None, more: Callable[[], None] | None = None) -> None:
        self._drawer, self._more = renderer, more
        self._blocks: deque[tuple[Tensor, Tensor | None, MakeQueries]] = deque()
        self._begun: deque[tuple[Block, MakeQueries]] = deque()

    def add(self, blocks: "Iterable[tuple[Tensor, Tensor | None]]", queries: MakeQueries) -> None:
        """Draw these as well, after the others.

        Args:
            blocks: of noise in order, each with what is added to its images.
            queries: makes the questions of the next block from its images; called in the thread that takes them.
        """
        self._blocks += [(z, image_noise, queries) for z, image_noise in blocks]

    @property
    def under_way(self) -> bool:
        """Some blocks were begun and not taken."""
        return bool(self._begun)

    @property
    def over(self) -> bool:
        """Every block was taken, or will not be drawn."""
        return not self._blocks and not self._begun

    def go_on(self, on_rendered: Callable[[], None]) -> None:
        """Begin as many blocks as are worth having under way; `on_drawn` is called, in any thread, after each."""
        if self._more is not None:
            self._more()
        while self._drawer is not None and self._blocks and len(self._begun) < self._drawer.ahead:
            z, image_noise, queries = self._blocks.popleft()
            block = self._drawer.begin(z, image_noise)
            self._begun.append((block, queries))
            block.add_done_callback(lambda _: on_rendered())

    def rendered(self) -> list[Query]:
        """Return the questions of the blocks that are there, in order.

        Raises:
            Exception: whatever went wrong in drawing one.
        """
        queries: list[Query] = []
        while self._begun and self._begun[0][0].done():
            block, queries_of = self._begun.popleft()
            queries += queries_of(block.result())
        return queries

    def wait(self) -> None:
        """Wait for the next block, if one is under way."""
        wait([block for block, _ in self._begun][:1])

    def rest(self) -> list[Query]:
        """Draw all of it, and return its questions."""
        queries: list[Query] = []
        while not self.over:
            self.go_on(lambda: None)
            self.wait()
            queries += self.rendered()
        return queries

    def stop(self) -> None:
        """Draw no other block. The one that is being drawn is waited for: a generator does one thing at a time."""
        self._blocks.clear()
        self._more = None
        begun, self._begun = self._begun, deque()
        wait([block for block, _ in begun if not block.cancel()])
