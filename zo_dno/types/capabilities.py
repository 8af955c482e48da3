"""The protocols of generators, and what is read off a generator by them."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor

    from zo_dno.noise.space import NoiseLayout


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
