"""LoRAs, textual inversions and an IP-Adapter for a loaded pipeline."""

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import nn

from zo_dno.errors import InputError, given
from zo_dno.generators.load_failures import loading
from zo_dno.generators.places import Place, place_of, with_scale, with_suffix

_NAME = "zo_dno_{}"  # of a LoRA in the pipeline
_DOWN = re.compile(r"lora_A|lora_down|lora\.down|_lora\.down|lora_linear_layer\.down")  # one for each adapted layer
ENCODER_FOLDER = "image_encoder"
log = logging.getLogger(__name__)


def put_loras(pipeline: Any, loras: Sequence[str]) -> None:
    """Put LoRAs on a pipeline, each with its scale, and all together.

    Args:
        pipeline: Pipeline of diffusers.
        loras: LoRAs, each PATH or PATH:SCALE.
    Raises:
        InputError: One is missing, is no LoRA, or does not fit; or peft is not installed.
    """
    if not loras:
        return
    if not hasattr(pipeline, "load_lora_weights"):
        raise InputError(f"lora must be left out with {type(pipeline).__name__}, which takes none.")
    _check_peft()
    if any(pipeline.get_list_adapters().values()):
        raise InputError("lora must be left out with a pipeline that has LoRAs already. Load all of them in one place.")
    wanted = [with_scale("lora", text) for text in loras]
    for number, (path, _) in enumerate(wanted):
        _put_lora(pipeline, path, _NAME.format(number))
    pipeline.set_adapters([_NAME.format(number) for number in range(len(wanted))], [scale for _, scale in wanted])


def put_embeddings(pipeline: Any, inversions: Sequence[str]) -> None:
    """Put textual inversions on a pipeline: words of the prompt with embeddings of their own.

    Args:
        pipeline: Pipeline of diffusers.
        inversions: Textual inversions, each PATH or PATH:TOKEN; by default the token that the file names.
    Raises:
        InputError: One is missing, names no token, or does not fit.
    """
    if inversions and not hasattr(pipeline, "load_textual_inversion"):
        raise InputError(f"textual_inversion must be left out with {type(pipeline).__name__}, which takes none.")
    for text in inversions:
        path, token = with_suffix(text)
        place = place_of("textual_inversion", path)
        remedy = f"Give one that was made for the text encoder of {type(pipeline).__name__}, as PATH or PATH:TOKEN."
        with loading("textual_inversion", path, remedy):
            _put_inversion(pipeline, place, token)


def put_ip_adapter(pipeline: Any, text: str) -> None:
    """Put an IP-Adapter on a pipeline, which then takes the call argument ip_adapter_image.

    Args:
        pipeline: Pipeline of diffusers.
        text: File of the adapter, PATH or PATH:SCALE; the folder `image_encoder` beside it has the encoder of images,
            unless the pipeline has one.
    Raises:
        InputError: It is missing or does not fit.
    """
    path, scale = with_scale("ip_adapter", text)
    if not hasattr(pipeline, "load_ip_adapter"):
        raise InputError(f"ip_adapter must be left out with {type(pipeline).__name__}, which takes none.")
    place = place_of("ip_adapter", path)
    if place.file is None:
        raise InputError(
            f"ip_adapter must be the file of its weights, such as ip-adapter_sd15.safetensors; got {given(path)}."
        )
    folder, _, name = place.file.rpartition("/")
    encoder = ENCODER_FOLDER if not place.local or (Path(place.folder) / ENCODER_FOLDER).is_dir() else None
    with loading("ip_adapter", path, f"Give one that was made for the model of {type(pipeline).__name__}."):
        pipeline.load_ip_adapter(place.folder, subfolder=folder, weight_name=name, image_encoder_folder=encoder)
        pipeline.set_ip_adapter_scale(scale)


def _check_peft() -> None:
    from diffusers.utils import USE_PEFT_BACKEND

    if not USE_PEFT_BACKEND:
        raise InputError("lora needs the package peft, which is missing or too old. Install it: pip install -U peft.")


def _put_lora(pipeline: Any, path: str, name: str) -> None:
    place = place_of("lora", path)
    weights = {} if place.file is None else {"weight_name": place.file}
    remedy = f"Give a LoRA that was made for the model of {type(pipeline).__name__}."
    with _unsaid(), loading("lora", path, remedy):
        found = pipeline.lora_state_dict(place.folder, **weights)
        layers = sum(bool(_DOWN.search(key)) for key in (found[0] if isinstance(found, tuple) else found))
        pipeline.load_lora_weights(place.folder, adapter_name=name, **weights)
    adapted = sum(f".lora_A.{name}." in key for network in _networks(pipeline) for key, _ in network.named_parameters())
    if not adapted:
        raise InputError(f"lora {given(path)} fits no layer of {type(pipeline).__name__}. {remedy}")
    if adapted < layers:
        log.warning(
            "lora %s adapts %d layers, of which %s has only %d; the others are left out",
            *(given(path), layers, type(pipeline).__name__, adapted),
        )


@contextmanager
def _unsaid() -> Iterator[None]:
    """Silence what diffusers logs of an error inside the block beside raising it."""
    logger = logging.getLogger("diffusers.loaders")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _networks(pipeline: Any) -> list[nn.Module]:
    return [one for one in pipeline.components.values() if isinstance(one, nn.Module)]


def _put_inversion(pipeline: Any, place: Place, token: str | None) -> None:
    weights = {} if place.file is None else {"weight_name": place.file}
    if place.local and place.file is not None and getattr(pipeline, "text_encoder_2", None) is not None:
        state = _both_encoders(place.path)
        if state is not None:
            encoders = {"clip_l": ("text_encoder", "tokenizer"), "clip_g": ("text_encoder_2", "tokenizer_2")}
            for key, (encoder, tokenizer) in encoders.items():
                own = {"text_encoder": getattr(pipeline, encoder), "tokenizer": getattr(pipeline, tokenizer)}
                pipeline.load_textual_inversion(state[key], token=token or Path(place.path).stem, **own)
            return
    pipeline.load_textual_inversion(place.folder, token=token, **weights)


def _both_encoders(path: str) -> dict[str, Any] | None:
    """Return the embeddings of a file for both text encoders of SDXL, None if it holds others."""
    from safetensors.torch import load_file

    state = load_file(path) if path.endswith(".safetensors") else {}
    return state if {"clip_l", "clip_g"} <= state.keys() else None
