"""The types that packages exchange: candidates, queries, responses, scores, and the generator's protocols."""

import itertools
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Union, runtime_checkable

from zo_dno.choices import Choice as Choice
from zo_dno.choices import Order as Order

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zo_dno.failures import Failure
    from zo_dno.noise.space import NoiseLayout


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


@runtime_checkable
class Generator(Protocol):
    """The black box z -> images. Deterministic: the same z gives the same bytes.

    What a generator can do beside this is named by the protocols below.
    """

    @property
    def layout(self) -> "NoiseLayout": ...

    @property
    def nfe(self) -> int:
        """Denoiser calls per image; classifier-free guidance counts two."""
        ...

    def __call__(self, z: "Tensor") -> "Tensor":
        """Render the images of `z` (n, d) as (n, H, W, 3) uint8."""
        ...


@runtime_checkable
class Prompted(Protocol):
    """A generator of one prompt, which rewards are told."""

    @property
    def prompt(self) -> str: ...


@runtime_checkable
class Repromptable(Protocol):
    """A generator whose model renders other prompts as well."""

    def with_prompt(self, prompt: str) -> Generator:
        """Return a generator of the same loaded model that renders another prompt."""
        ...


@runtime_checkable
class Named(Protocol):
    """A generator that names its model."""

    @property
    def model(self) -> str: ...


@runtime_checkable
class Described(Protocol):
    """A generator that a config can describe."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """Everything that decides an image beside z, by the names that a config has for it."""
        ...


@runtime_checkable
class Batched(Protocol):
    """A generator that renders a limited number of images at once."""

    @property
    def batch_size(self) -> int | None:
        """Largest number of images rendered at once; None renders all of a call at once."""
        ...


@runtime_checkable
class Differentiable(Protocol):
    """A generator of images before rounding, differentiable where autograd can pass."""

    def render(self, z: "Tensor") -> "Tensor":
        """Render z (n, d) as (n, 3, H, W) float in [0, 1]."""
        ...


@runtime_checkable
class HasVjp(Protocol):
    """A generator that computes vector-Jacobian products itself."""

    def vjp(self, z: "Tensor", cotangent: Callable[["Tensor"], "Tensor"]) -> "Tensor":
        """Return J(z)^T h, (n, d) on the CPU; `cotangent` gives h for the images (n, 3, H, W) of z."""
        ...


@runtime_checkable
class HasLatents(Protocol):
    """A generator of latents that a decoder turns into images, such as a latent diffusion model."""

    def latents(self, z: "Tensor") -> "Tensor":
        """Return the final latents of z (n, d), before decoding: (n, *shape) float32 on the CPU, without a graph."""
        ...


@runtime_checkable
class RendersArrays(Protocol):
    """A generator of arrays, such as heights or a sound, which it also shows as images."""

    def render_arrays(self, z: "Tensor") -> "tuple[Tensor, Tensor]":
        """Render z (n, d) as images, (n, H, W, 3) uint8, and as arrays for rewards that take them, (n, ...)."""
        ...


@runtime_checkable
class Probed(Protocol):
    """A generator that knows whether noise alone decides its images, since it was tried when it was made."""

    @property
    def probed(self) -> bool: ...


_CAPABILITIES = (
    *("prompt", "with_prompt", "model", "settings", "batch_size"),
    *("render", "vjp", "latents", "render_arrays", "probed"),
)


def capabilities_of(generator: Generator) -> dict[str, Any]:
    """Return the attributes of a generator that the protocols above look for, by name.

    A wrapper offers them as attributes of its own: since Python 3.12 a protocol's isinstance does not see what
    `__getattr__` answers.
    """
    return {name: getattr(generator, name) for name in _CAPABILITIES if hasattr(generator, name)}


def prompt_of(generator: Generator) -> str:
    """Return the prompt of a generator, empty where it has none."""
    return str(generator.prompt) if isinstance(generator, Prompted) else ""


def model_of(generator: Generator) -> str:
    """Return the name of a generator's model, by default its class."""
    return str(generator.model) if isinstance(generator, Named) else type(generator).__name__


def batch_size_of(generator: object) -> int | None:
    """Return how many images a generator renders at once, None where it has no batch size."""
    return generator.batch_size if isinstance(generator, Batched) else None


def array_of(image: AnyImage) -> "np.ndarray":
    """Return the pixels of an image, (H, W, 3) uint8, or an array, from the process that holds it."""
    return image.fetch() if isinstance(image, RemoteImage) else image


def is_count(value: object) -> bool:
    """Return whether a value is a whole number of at least 1."""
    return not isinstance(value, bool) and isinstance(value, numbers.Integral) and int(value) >= 1


def slices(total: int, size: int) -> Sequence[slice]:
    """Split range(total) into consecutive slices of at most `size`."""
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]


def balanced_slices(total: int, most: int) -> Sequence[slice]:
    """Split range(total) into as few consecutive slices of at most `most` as possible, of nearly equal length."""
    count = -(-total // most)
    edges = [total * place // count for place in range(count + 1)] if count else []
    return [slice(start, stop) for start, stop in itertools.pairwise(edges)]
