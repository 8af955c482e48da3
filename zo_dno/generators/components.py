"""Another scheduler and another autoencoder for a loaded pipeline."""

import inspect
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError, given, unknown_name
from zo_dno.generators.diffusers_names import class_named
from zo_dno.generators.load_failures import loading, reason_of
from zo_dno.generators.places import Place, place_of


def put_scheduler(pipeline: Any, name: str | None, options: Mapping[str, Any]) -> None:
    """Replace a pipeline's scheduler by another one with the same noise schedule.

    Args:
        pipeline: Pipeline of diffusers.
        name: Name of the scheduler's class in diffusers; None keeps the class.
        options: Options in place of those that the pipeline's own scheduler has.
    Raises:
        InputError: The class or an option is unknown, or a value does not fit.
    """
    own = getattr(pipeline, "scheduler", None)
    if own is None:
        raise InputError(
            f"scheduler must be left out with {type(pipeline).__name__}, which has no scheduler of its own."
        )
    kind = type(own) if name is None else class_named("scheduler", name, "Scheduler")
    known = [one for one in inspect.signature(kind.__init__).parameters if one not in ("self", "kwargs")]
    for option in options:  # diffusers passes over options that it does not know
        if option not in known:
            raise unknown_name(f"{kind.__name__} option", option, known)
    try:
        made = kind.from_config(own.config, **options)
        made.set_timesteps(1)  # where some schedulers look at their options for the first time
        if hasattr(own, "init_noise_sigma") and not hasattr(made, "init_noise_sigma"):
            raise ValueError(f"{type(pipeline).__name__} is no model of flow matching, which it is for")
    except (ValueError, TypeError, NotImplementedError, ImportError, KeyError) as error:
        told = f" with {', '.join(f'{key}={value}' for key, value in options.items())}" if options else ""
        raise InputError(f"scheduler {kind.__name__}{told} does not work here: {reason_of(error)}.") from error
    pipeline.scheduler = kind.from_config(own.config, **options)


def put_autoencoder(pipeline: Any, name: str) -> None:
    """Replace a pipeline's autoencoder.

    Args:
        pipeline: Pipeline of diffusers.
        name: Folder, hub name or file of the autoencoder; a file is of the class of the pipeline's own.
    Raises:
        InputError: It is missing, no autoencoder, or decodes other latents than the pipeline's own.
    """
    own = getattr(pipeline, "vae", None)
    if own is None:
        raise InputError(
            f"vae must be left out with {type(pipeline).__name__}, which has no autoencoder under this name."
        )
    place = place_of("vae", name)
    with loading("vae", name, "Give the folder, the file or the hub name of an autoencoder of diffusers."):
        made = _from_folder(place, own) if place.file is None else _from_file(place, own)
    for what, read in (("latent channels", _latent_channels), ("pixels per latent", _pixels_per_latent)):
        if read(made) != read(own):
            raise InputError(
                f"vae must have the {read(own)} {what} of {type(pipeline).__name__}; got {given(name)} with "
                f"{read(made)}. Give an autoencoder that was made for this kind of model."
            )
    pipeline.register_modules(vae=made.to(own.device))


def _from_folder(place: Place, own: Any) -> Any:
    import diffusers

    config = type(own).load_config(place.folder)
    kind = getattr(diffusers, str(config.get("_class_name")), type(own))
    if not hasattr(kind, "decode"):
        raise ValueError(f"it holds a {kind.__name__}, no autoencoder")
    return kind.from_pretrained(place.folder, dtype=own.dtype)


def _from_file(place: Place, own: Any) -> Any:
    """Load a file of weights with the config of the pipeline's own autoencoder, since it holds none."""
    with tempfile.TemporaryDirectory() as folder:
        own.save_config(folder)
        (Path(folder) / "vae").mkdir()
        (Path(folder) / "config.json").rename(Path(folder) / "vae" / "config.json")
        return type(own).from_single_file(place.path, config=folder, subfolder="vae", dtype=own.dtype)


def _latent_channels(autoencoder: Any) -> int | None:
    channels: int | None = autoencoder.config.get("latent_channels", autoencoder.config.get("z_dim"))
    return channels


def _pixels_per_latent(autoencoder: Any) -> int:
    """Return by how much an autoencoder shrinks a side, as pipelines read it from its blocks."""
    config = autoencoder.config
    blocks = config.get("block_out_channels") or config.get("encoder_block_out_channels") or [0]
    return int(2 ** (len(blocks) - 1))
