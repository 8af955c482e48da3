"""The render queue: blocks of noise that are rendered while the images that are ready are being scored."""

from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import wait
from typing import TYPE_CHECKING

from zo_dno.generators.renderer import Block, Renderer
from zo_dno.types import Query, Rendered

if TYPE_CHECKING:
    from torch import Tensor

MakeQueries = Callable[[list[Rendered]], list[Query]]


class RenderQueue:
    """Renders populations block by block and makes queries of the images.

    Args:
        renderer: Renderer of the blocks; without one there is nothing to render.
        refill: Function that is called whenever another block could start; it may `add` blocks.
    """

    def __init__(self, renderer: Renderer | None = None, refill: Callable[[], None] | None = None) -> None:
        self._renderer, self._refill = renderer, refill
        self._blocks: deque[tuple[Tensor, Tensor | None, MakeQueries]] = deque()
        self._started: deque[tuple[Block, MakeQueries]] = deque()

    def add(self, blocks: "Iterable[tuple[Tensor, Tensor | None]]", make_queries: MakeQueries) -> None:
        """Append blocks.

        Args:
            blocks: Pairs of noise and the image noise that is added to its images, in order.
            make_queries: Function that turns the images of the next block into queries. It is called in the thread
                that calls `rendered`.
        """
        self._blocks += [(z, image_noise, make_queries) for z, image_noise in blocks]

    @property
    def exhausted(self) -> bool:
        """Whether no block is left, neither waiting nor in flight."""
        return not self._blocks and not self._started

    def advance(self, on_rendered: Callable[[], None]) -> None:
        """Start as many blocks as the renderer takes at once; `on_rendered` is called after each, in any thread."""
        if self._refill is not None:
            self._refill()
        while self._renderer is not None and self._blocks and len(self._started) < self._renderer.ahead:
            z, image_noise, make_queries = self._blocks.popleft()
            block = self._renderer.begin(z, image_noise)
            self._started.append((block, make_queries))
            block.add_done_callback(lambda _: on_rendered())

    def rendered(self) -> list[Query]:
        """Return the queries of the blocks that are ready, in order.

        Raises:
            Exception: A block could not be rendered.
        """
        queries: list[Query] = []
        while self._started and self._started[0][0].done():
            block, make_queries = self._started.popleft()
            queries += make_queries(block.result())
        return queries

    def wait(self) -> None:
        """Wait for the next block in flight, if there is one."""
        wait([block for block, _ in self._started][:1])

    def render_all(self) -> list[Query]:
        """Render every block, and return the queries."""
        queries: list[Query] = []
        while not self.exhausted:
            self.advance(lambda: None)
            self.wait()
            queries += self.rendered()
        return queries

    def stop(self) -> None:
        """Drop the blocks that wait, and wait for the one in flight: a generator renders one block at a time."""
        self._blocks.clear()
        self._refill = None
        started, self._started = self._started, deque()
        wait([block for block, _ in started if not block.cancel()])
