"""Candidates, the images that are sent to a reward, and the responses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Union, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zo_dno.failures import Failure


@dataclass(frozen=True, slots=True)
class Candidates:
    """The noise of n candidates, with their ids in the run.

    Attributes:
        z: Noise, (n, d) float32 on the CPU, on the N(0, I) scale.
        ids: Ids, (n,), which count up from 0 in a run and are never reused.
    """

    z: "Tensor"
    ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice) -> "Candidates":
        return Candidates(self.z[rows], self.ids[rows])


@dataclass(frozen=True, slots=True)
class Score:
    """A reward's score of one image. A score without a value is missing, which is not the same as bad.

    Attributes:
        value: Value in the reward's unit, higher is better; NaN if missing.
        error: Reason why the value is missing, in one line.
        seconds: Time that the reward took.
        cost: Money, if the reward knows it better than the call policy's price does; None otherwise.
        raw: Response of a judge, word for word.
        tokens: Tokens that a language model used.
        kind: Short reason that missing scores are counted by.
        components: Named numbers that the value is made of, such as the criteria of a judge.
        spread: Standard deviation among the raters, judges or samples behind the value.
        reward_violation: Distance of the image from what the reward requires of a winner, in standard deviations of
            the required values; 0 if all is met.
    """

    value: float
    error: str | None = None
    seconds: float = 0.0
    cost: float | None = None
    raw: str | None = None
    tokens: int = 0
    kind: str | None = None
    components: Mapping[str, float] | None = None
    spread: float | None = None
    reward_violation: float = 0.0

    @property
    def missing(self) -> bool:
        return math.isnan(self.value)


@runtime_checkable
class RemoteImage(Protocol):
    """An image in another process."""

    def fetch(self) -> "np.ndarray":
        """Copy the pixels to this process: (H, W, 3) uint8."""
        ...

    def renew(self) -> None:
        """Render the image again after its machine was lost."""
        ...


AnyImage = Union["np.ndarray", RemoteImage]
"""(H, W, 3) uint8, or the array behind an image, in this process or another one."""


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """A rendered image.

    Attributes:
        sha256: Hash of the image, in hexadecimal.
        image: Pixels, or a handle of them.
        first_call: Scores, or the failure, of a call that was made where the image was rendered; None without one.
        no_image: Reason why there is no image and a black one stands in its place; empty if there is one.
        array: Array for rewards that take arrays; None where it is the image.
    """

    sha256: str
    image: AnyImage
    first_call: "list[Score] | Failure | None" = None
    no_image: str = ""
    array: AnyImage | None = None

    def given(self, *, arrays: bool) -> AnyImage:
        """Return what a reward is given: the image, or the array for one that takes arrays."""
        return self.array if arrays and self.array is not None else self.image


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A query: one image to be scored by a reward.

    Attributes:
        id: Id of the candidate.
        image: Image to score.
        sha256: Hash of the image, in hexadecimal.
        prompt: Prompt that the image was rendered for.
        repeat: Number of earlier queries for the same image, for noisy rewards.
        rater: Name of the person or judge who scores the image; empty if there is only one.
        first_call: Scores, or the failure, of a call that was made where the image was rendered; None without one.
        no_image: Reason why there is no image; such a query is not sent. Empty if there is one.
        array: Array for rewards that take arrays; None where it is the image.
    """

    id: int
    image: AnyImage
    sha256: str
    prompt: str
    repeat: int = 0
    rater: str = ""
    first_call: "list[Score] | Failure | None" = None
    no_image: str = ""
    array: AnyImage | None = None

    def given(self, *, arrays: bool) -> AnyImage:
        """Return what a reward is given: the image, or the array for one that takes arrays."""
        return self.array if arrays and self.array is not None else self.image


@dataclass(frozen=True, slots=True)
class Response:
    """A reward's response to a query.

    Attributes:
        score: Score, or a missing one with the reason.
        attempts: Number of calls.
        failures: Kinds of the calls that failed, in order.
        cost: Most money that all calls together may have cost.
        cached: Whether the score is from an equal query in the cache.
    """

    score: Score
    attempts: int = 1
    failures: tuple[str, ...] = ()
    cost: float = 0.0
    cached: bool = False


def array_of(image: AnyImage) -> "np.ndarray":
    """Return the pixels of an image, (H, W, 3) uint8, or an array, from the process that holds it."""
    return image.fetch() if isinstance(image, RemoteImage) else image
