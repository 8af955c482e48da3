"""What flows between the parts of a run: candidates, scores, and the black box that draws images."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Union, runtime_checkable

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from zo_dno.failures import Failure
    from zo_dno.noise.space import NoiseLayout


@dataclass(frozen=True, slots=True)
class Candidates:
    """n candidates' searched noise, with the ids that the run gave them.

    Attributes:
        z: (n, d) float32 on the CPU, on the N(0, I) scale.
        ids: (n,), counting up from 0 in a run, never reused.
    """

    z: "Tensor"
    ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: slice) -> "Candidates":
        return Candidates(self.z[rows], self.ids[rows])


@dataclass(frozen=True, slots=True)
class Score:
    """What a reward says of one image. Without a value it is missing, which is not the same as bad.

    Attributes:
        value: in the reward's unit, higher is better; NaN is missing.
        error: why it is missing, in one line.
        seconds: time that the reward took.
        cost: money, where the reward knows better than the price it is asked at; None otherwise.
        raw: what a judge answered, word for word.
        tokens: that a language model used.
        kind: what missing scores are counted by.
        components: named numbers that it was made of, such as the criteria of a judge.
        spread: standard deviation among the several raters, judges or samples behind it.
        shortfall: how far the image is from what the reward requires of a winner; 0 meets it. In standard deviations
            of what is required.
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


class RemoteImage(Protocol):
    """An image that lies in another process."""

    def fetch(self) -> "np.ndarray":
        """Bring it here: (H, W, 3) uint8."""
        ...

    def renew(self) -> None:
        """Draw it again, where it was lost with its machine."""
        ...


AnyImage = Union["np.ndarray", RemoteImage]
"""(H, W, 3) uint8, here or in another process."""


@dataclass(frozen=True, slots=True, eq=False)
class Rendered:
    """An image that was drawn.

    Attributes:
        sha256: its name.
        image: itself.
        outcome: what the reward said of it where it was drawn, if it was asked there.
        no_image: why there is none, and a black one stands in its place.
    """

    sha256: str
    image: AnyImage
    outcome: "list[Score] | Failure | None" = None
    no_image: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """One query: a reward asked about one image.

    Attributes:
        id: of the candidate.
        image: that it is about.
        sha256: of the image.
        prompt: that it was drawn for.
        repeat: how often the same was asked before, for rewards that are noisy.
        rater: who is asked, where several people or judges are.
        outcome: what came of a first call that was made already, where the image was drawn.
        no_image: why there is no image; then nobody is asked.
    """

    id: int
    image: AnyImage
    sha256: str
    prompt: str
    repeat: int = 0
    rater: str = ""
    outcome: "list[Score] | Failure | None" = None
    no_image: str = ""


@dataclass(frozen=True, slots=True)
class Response:
    """What came of a query.

    Attributes:
        score: the reward's, or a missing one with the reason.
        attempts: calls made for it.
        failures: kinds of the calls that failed, in order.
        cost: money that it may have cost at most, all calls together.
        cached: remembered from the same question, and not asked again.
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
        """Draw the images of `z` (n, d) as (n, H, W, 3) uint8."""
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
    """A generator with a batch size of its own."""

    @property
    def batch_size(self) -> int | None:
        """Images rendered at once; None is all that are asked for."""
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


_CAPABILITIES = ("prompt", "with_prompt", "model", "settings", "batch_size", "render", "vjp")


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
    """Return an image as (H, W, 3) uint8, from wherever it lies."""
    fetch: Callable[[], np.ndarray] | None = getattr(image, "fetch", None)
    return image if fetch is None else fetch()  # type: ignore[return-value]


def slices(total: int, size: int) -> Sequence[slice]:
    """Split range(total) into consecutive slices of at most `size`."""
    return [slice(start, min(start + size, total)) for start in range(0, total, size)]
