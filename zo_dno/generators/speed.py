"""The settings of a pipeline's speed and memory."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from zo_dno.errors import InputError, given
from zo_dno.generators.diffusers_private import has_attention_backend
from zo_dno.generators.tape import denoisers_of

Offload = Literal["model", "sequential"]
_PROCESSORS = {"sdpa": "AttnProcessor2_0", "eager": "AttnProcessor"}


@dataclass(frozen=True, slots=True)
class Speed:
    """Settings of a pipeline's speed and memory. Each may change the last bits of an image.

    Attributes:
        dtype: Type of the networks, such as "bfloat16".
        device: Device to render on.
        compile: Whether to compile the denoiser with torch.compile at its first call, which takes minutes for a large
            one.
        channels_last: Whether convolutions use the channels-last memory format, which suits GPUs with tensor cores.
        attention: Attention back end by its name in diffusers, such as "native" or "flash"; "sdpa" or "eager" for
            U-Nets.
        vae_slicing: Whether to decode the images of a batch one by one.
        vae_tiling: Whether to decode large images in tiles.
        offload: Whether to keep unused weights in the CPU's memory, a network at a time ("model") or a layer at a time
            ("sequential"), which is slow.
    """

    dtype: str | torch.dtype | None = None
    device: str | torch.device | None = None
    compile: bool = False
    channels_last: bool = False
    attention: str | None = None
    vae_slicing: bool = False
    vae_tiling: bool = False
    offload: Offload | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """The fields as a config has them; unset ones are None."""
        plain = {name: value or None for name, value in asdict(self).items()}
        texts = {name: str(plain[name]).removeprefix("torch.") for name in ("dtype", "device") if plain[name]}
        return plain | texts

    def apply(self, pipeline: Any) -> None:
        """Apply all settings but compilation, which needs the batch size first.

        Raises:
            InputError: The pipeline or this machine does not support one.
        """
        if self.device is not None and self.offload is None:
            with _refused("device", self.device):
                pipeline.to(torch.device(self.device))
        if self.channels_last:
            for network in (*denoisers_of(pipeline), getattr(pipeline, "vae", None)):
                if network is not None:
                    network.to(  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
                        memory_format=torch.channels_last
                    )
        if self.attention is not None:
            for denoiser in denoisers_of(pipeline):
                _set_attention(denoiser, self.attention)
        if self.vae_slicing:
            _autoencoder_method(pipeline, "enable_slicing", "vae_slicing")()
        if self.vae_tiling:
            _autoencoder_method(pipeline, "enable_tiling", "vae_tiling")()
        if self.offload is not None:
            self._offload(pipeline)

    def compile_denoiser(self, pipeline: Any) -> None:
        """Compile the networks that are called at every step, if `compile` is set."""
        if self.compile:
            for denoiser in denoisers_of(pipeline):
                denoiser.compile()

    def _offload(self, pipeline: Any) -> None:
        if self.offload not in ("model", "sequential"):
            raise InputError(f"offload must be 'model' or 'sequential'; got {self.offload!r}.")
        with _refused("offload", self.offload):
            given = {} if self.device is None else {"device": self.device}
            getattr(pipeline, f"enable_{self.offload}_cpu_offload")(**given)


def torch_dtype(dtype: str | torch.dtype | None) -> torch.dtype | None:
    """Turn the name of a torch type into the type.

    Raises:
        InputError: There is no type of this name.
    """
    found = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
    if dtype is not None and not isinstance(found, torch.dtype):
        raise InputError(
            f"dtype must be the name of a torch type, such as 'float16' or 'bfloat16'; got {given(dtype)}."
        )
    return found


def _set_attention(denoiser: Any, name: str) -> None:
    if name in _PROCESSORS and hasattr(denoiser, "set_attn_processor"):
        from diffusers.models import attention_processor

        denoiser.set_attn_processor(getattr(attention_processor, _PROCESSORS[name])())
        return
    if not hasattr(denoiser, "set_attention_backend"):
        raise InputError(f"attention cannot be set for {type(denoiser).__name__}; leave it out.")
    with _refused("attention", name):
        denoiser.set_attention_backend(name)
    processors = [module.processor for module in denoiser.modules() if hasattr(module, "processor")]
    if not any(has_attention_backend(processor, name) for processor in processors):
        raise InputError(
            f"attention must be one of {', '.join(_PROCESSORS)} for {type(denoiser).__name__}, whose layers know no "
            f"back ends; got {name!r}."
        )


def _autoencoder_method(pipeline: Any, method: str, option: str) -> Any:
    found = getattr(getattr(pipeline, "vae", None), method, None)
    if found is None:
        raise InputError(f"{option} is not there for {type(pipeline).__name__}; leave it out.")
    return found


@contextmanager
def _refused(option: str, value: object) -> Iterator[None]:
    try:
        yield
    except (RuntimeError, ValueError, ImportError, AssertionError, NotImplementedError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{option} {str(value)!r} does not work here: {reason}") from error


SPEED_OPTIONS = tuple(inspect.signature(Speed).parameters)
