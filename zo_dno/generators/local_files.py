"""The files on this machine that a model is built from, by their content: a resumed run must have the same ones."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zo_dno.generators.adapters import ENCODER_FOLDER
from zo_dno.generators.built_in import BUILTINS
from zo_dno.generators.places import WEIGHT_FILES, with_suffix
from zo_dno.storage.weights import content_hash

_WITH_SUFFIX = ("lora", "textual_inversion", "ip_adapter")
_OPTIONS = ("model", "pipeline_config", "vae", *_WITH_SUFFIX)  # other settings hold all that they mean
_READ = (*WEIGHT_FILES, ".json", ".txt", ".model")  # weights, configs and the files of tokenizers
_BESIDE_ONNX = (".data", "_data")  # what stands behind a large model's name in that of its weights


def local_files(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the sha256 of every file and folder on this machine that a model is built from, by option and path.

    What is on the hub is left out, and what only other machines of a cluster have.

    Args:
        settings: Settings of a generator, as a run's config has them.
    """
    found = {}
    for option in _OPTIONS:
        named = settings.get(option)
        for text in named if isinstance(named, list | tuple) else [named]:
            files = sorted(_files(option, text)) if isinstance(text, str) else []
            if files:
                found[f"content of {option} {text}"] = content_hash(files, named=True)
    return found


def _files(option: str, text: str) -> Iterator[Path]:
    """Find the files of one setting; none where it names the built-in model, the hub or code."""
    if option == "model" and text in BUILTINS:
        return
    path = Path(with_suffix(text)[0] if option in _WITH_SUFFIX else text).expanduser()
    if path.is_dir():
        yield from _of_folder(path)
    elif path.is_file():
        yield path
        beside = [path.with_name(path.name + end) for end in _BESIDE_ONNX if path.suffix.lower() == ".onnx"]
        yield from (one for one in beside if one.is_file())
        if option == "ip_adapter":
            yield from _of_folder(path.parent / ENCODER_FOLDER)


def _of_folder(folder: Path) -> Iterator[Path]:
    """Find what diffusers may read of a folder; of a pipeline's, its index and the folders of its components."""
    index = folder / "model_index.json"
    if index.is_file():
        yield index
    for one in folder.glob("[!.]*/*" if index.is_file() else "*"):
        if one.name.endswith(_READ) and one.is_file():
            yield one
