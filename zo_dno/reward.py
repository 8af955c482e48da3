"""The contract of a reward: images in, one score per image out, higher is better."""

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from zo_dno.call_policy import CallPolicy

if TYPE_CHECKING:
    from pathlib import Path

    from PIL import Image

    from zo_dno.types import Order, Score


@runtime_checkable
class ScoresByChoices(Protocol):
    """A reward whose scores come from choices among images, which strategies may learn from as well."""

    def orders(self, images: "Collection[str]") -> "Sequence[Order]":
        """Return the choices by which new images, named by their hashes, were scored; they may include earlier ones."""
        ...


@runtime_checkable
class AsksPeople(Protocol):
    """A reward whose scores people give."""

    def ask_at_the_end(self, images: "Mapping[str, Image.Image]", prompt: str, is_stopped: Callable[[], bool]) -> None:
        """Let the raters compare the best image with its rivals once more, as long as there is a rater.

        Args:
            images: Images by the hashes of their pixels, the best first.
            prompt: Prompt that they were rendered for.
            is_stopped: Function that says whether the run is to end at once.
        """
        ...

    def about_raters(self, best: str) -> Mapping[str, Any]:
        """Return what raters said of the best image at the end, and how often they agreed with themselves.

        Args:
            best: Hash of the best image.
        Returns:
            Plain values; `words` are sentences for people.
        """
        ...


@runtime_checkable
class AsksDistance(Protocol):
    """A reward whose raters can choose how far a search goes from liked noise."""

    def ask_distance(
        self, rungs: "Mapping[float, Sequence[Image.Image]]", prompt: str, is_stopped: Callable[[], bool]
    ) -> tuple[bool, float | None]:
        """Let a rater choose a distance from liked noise before the search, and wait for that.

        Args:
            rungs: Images at each distance, as many at each; the distances rise.
            prompt: Prompt that they were rendered for.
            is_stopped: Function that says whether the run is to end at once.
        Returns:
            Whether the wait is over, and the distance; None if the rater skipped the choice.
        """
        ...


@dataclasses.dataclass(frozen=True, slots=True)
class Adaptation:
    """A field of a reward's requests that a server refused, and what is sent instead.

    Attributes:
        reward: Name of the reward.
        judge: Name of the model that is asked.
        field: Name of the field.
        now: Its name or value from then on; None leaves the field out.
        reason: The server's words.
    """

    reward: str
    judge: str
    field: str
    now: str | int | None
    reason: str

    def __str__(self) -> str:
        return f"{self.reward} asks {self.judge} {self.change}"

    @property
    def change(self) -> str:
        """The change in words."""
        if self.now is None:
            noise = ", so that scores may vary" if self.field == "temperature" else ""
            return f"without {self.field}{noise}"
        return (
            f"with {self.now} in place of {self.field}"
            if isinstance(self.now, str)
            else f"with {self.field} {self.now}"
        )


@runtime_checkable
class Adapts(Protocol):
    """A reward that changes its requests where a server refuses them."""

    @property
    def adaptations(self) -> "Sequence[Adaptation]":
        """What was changed so far."""
        ...

    @property
    def may_turn_noisy(self) -> bool:
        """Whether a change could let the same image get another score, though `noisy` is False."""
        ...

    @property
    def turned_noisy(self) -> bool:
        """Whether such a change was made."""
        ...


class Reward(ABC):
    """A score to maximise. Subclass it as a frozen dataclass whose fields are the reward's settings.

    Attributes:
        name: Name in tables and results.
        unit: Unit of the scores, such as "kB" or "score 0-10".
        version: Version of the scores; a new one whenever the same image would get another score.
        range: Smallest and largest possible value; a score outside is missing.
        policy: Call policy: calls in flight, timeouts, price.
        is_async: Whether `__call__` is a coroutine function.
        batch: Largest number of images in one call. A failed call fails all of them.
        takes_arrays: Whether `__call__` takes what the generator returned, as NumPy arrays, in place of PIL images.
        takes_keys: Whether `__call__` takes a third argument, a key for each image. Equal queries alone have equal
            keys, so that a server recognises a retry.
        keeps_answers: Whether a call can be cancelled without loss: the reward keeps its scores
            for a retry.
        noisy: Whether the same image may get another score; then the best candidates are re-evaluated.
        travels: Whether the reward works in any process on any machine; False if it keeps files in the run's folder.
    """

    name: str
    unit: str
    version: str = "1"
    range: tuple[float, float] = (-math.inf, math.inf)
    policy: CallPolicy = CallPolicy()
    is_async: bool = False
    batch: int = 1
    takes_arrays: bool = False
    takes_keys: bool = False
    keeps_answers: bool = False
    noisy: bool = False
    travels: bool = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "asking" in vars(cls):  # the attribute's former name: a price in it must not be lost
            cls.policy = vars(cls)["asking"]

    @property
    def settings(self) -> Mapping[str, Any]:
        """Settings that decide a score, beside name and version."""
        return dataclasses.asdict(self) if dataclasses.is_dataclass(self) else {}

    @property
    def identity(self) -> dict[str, Any]:
        """Everything of the reward that decides a score: with equal identities, the same query gets the same score."""
        return {"name": self.name, "version": self.version, "settings": dict(self.settings)}

    @abstractmethod
    def __call__(
        self, images: "Sequence[Image.Image]", prompts: Sequence[str]
    ) -> "Sequence[float | Score] | Awaitable[Sequence[float | Score]]":
        """Score the images, each rendered for the prompt at the same index."""
        ...

    def recall(self, identity: Mapping[str, Any]) -> None:  # noqa: B027
        """Receive the identity that a run recorded, before it is compared with this reward's."""

    def begin(self, folder: "Path | None") -> None:  # noqa: B027
        """Receive the run's folder before the first call; None if the run keeps no files."""

    async def aclose(self) -> None:  # noqa: B027, an optional hook
        """Close connections, on the event loop of the calls; used only if `is_async`."""
