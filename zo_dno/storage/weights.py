"""Trained weights on this machine: their paths, their fingerprints, and the command that downloads them."""

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from zo_dno.errors import InputError

WEIGHTS = ("config.json", "model.safetensors or model-*.safetensors")
PICKLED_WEIGHTS = ("config.json", f"{WEIGHTS[1]} or pytorch_model.bin or pytorch_model-*.bin")  # read as tensors alone
TOKENIZER = ("tokenizer.json or vocab.json or vocab.txt",)
_FILE_TYPES = (".safetensors", ".pt", ".pth", ".bin")
_HUB_NAME = re.compile(r"\w[\w.-]*/\w[\w.-]*")
_DECISIVE = ("config.json", "*processor_config.json", "tokenizer*.json", "vocab.*", "merges.txt", "model*.safetensors*")
_LARGE, _PIECES, _PIECE = 2**24, 1024, 4096  # a larger file is identified by so many pieces of so many bytes


def model_folder(option: str, place: str, needs: Sequence[str]) -> Path:
    """Find a model's folder: a local one, or what was last downloaded of a hub name. Nothing is downloaded.

    Args:
        option: Name of the option in messages, such as "model of clip_score", since a run has a model as well.
        place: Folder, or OWNER/NAME on the hub.
        needs: Names of required files, with "or" between alternatives.
    Raises:
        InputError: The model is not on this machine, or lacks a file; the message names the command that downloads it.
    """
    folder = Path(place).expanduser().absolute()
    if folder.is_dir():
        remedy = "Weights are read from safetensors alone, since pickles can run code: save it with save_pretrained."
    else:
        suffixes = ["*.json", "*.txt", *(["*.safetensors"] if set(WEIGHTS) <= set(needs) else [])]
        suffixes += ["*.safetensors", "*.bin"] if set(PICKLED_WEIGHTS) <= set(needs) else []
        remedy = f"Get it: hf download {place} " + " ".join(f'--include "{suffix}"' for suffix in suffixes)
        files = [_downloaded(place, name) for need in needs for name in need.split(" or ")]
        folders = [file.parent for file in files if file is not None]
        if not folders:
            raise _not_here(option, "a model's folder, or OWNER/NAME", place, remedy, _HUB_NAME.fullmatch(place))
        folder = folders[0]
    missing = [need for need in needs if not _has(folder, need)]
    if missing:
        raise InputError(f"{option} must be a whole model; got {place!r}, which has no {missing[0]}. {remedy}")
    return folder


def folder_files(folder: Path) -> list[Path]:
    """Return the files of a model's weights by name: safetensors, or pickles where there are none.

    Raises:
        InputError: There are none.
    """
    for names in ("model*.safetensors", "pytorch_model*.bin"):
        if files := sorted(folder.glob(names)):
            return files
    raise InputError(f"model must be a folder with model*.safetensors or pytorch_model*.bin; got {str(folder)!r}.")


def weights_file(option: str, place: str, source: str | None = None) -> Path:
    """Find a file of weights: a local one, the only one of a folder, or one that was downloaded from the hub.

    Args:
        option: Name of the option in messages, such as "model of clip_score", since a run has a model as well.
        place: File, folder, or OWNER/NAME/FILE on the hub.
        source: Address of the file where it is not on the hub.
    Raises:
        InputError: The file is not on this machine, or a folder has not exactly one such file.
    """
    path = Path(place).expanduser().absolute()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if is_file_name(file.name))
        if len(files) != 1:
            expected = f"{option} must be a file, or a folder with exactly one of {', '.join(_FILE_TYPES)}"
            raise InputError(f"{expected}; got {place!r} with {len(files)}. Name the file.")
        return files[0]
    if path.is_file():
        return path
    if source is not None and place.startswith(("/", "~")):
        remedy = f"Get it: curl -L --create-dirs -o {place} {source}"
        raise _not_here(option, "a file of weights", place, remedy, True)
    owner, _, rest = place.partition("/")
    repository, name = f"{owner}/{rest.partition('/')[0]}", rest.partition("/")[2]
    found = _downloaded(repository, name)
    if found is None:
        from_hub = name and _HUB_NAME.fullmatch(repository)
        remedy = f"Get it: hf download {repository} {name}"
        raise _not_here(option, "a file of weights, or OWNER/NAME/FILE", place, remedy, from_hub)
    return found


def is_file_name(place: str) -> bool:
    """Tell a file of weights from a folder by its name."""
    return place.endswith(_FILE_TYPES)


@cache
def fingerprint(path: Path) -> str:
    """Name weights by their content: `content_hash` of the file, or of the files of a folder that decide a score.

    It is found once a process, as the weights are read once.
    """
    if path.is_file():
        return content_hash([path])
    files = {file for names in _DECISIVE for file in path.glob(names)}
    if not any(file.suffix == ".safetensors" for file in files):
        files.update(path.glob("pytorch_model*.bin"))
    return content_hash(sorted(files), named=True)


def content_hash(files: Sequence[Path], *, named: bool = False) -> str:
    """Return a sha256 of the content of files.

    Files above 16 MB are read in 1,024 evenly spaced pieces of 4 kB, in milliseconds where the whole takes seconds.
    Every large matrix has a piece, so that another training shows; a change of a bias alone may not.

    Args:
        files: Files in a fixed order.
        named: Whether their names and sizes count.
    """
    digest = hashlib.sha256()
    for file in files:
        size = file.stat().st_size
        digest.update(f"{file.name} {size}\n".encode() if named else b"")
        with file.open("rb") as content:
            for i in range(_PIECES if size > _LARGE else 1):
                content.seek(i * (size - _PIECE) // (_PIECES - 1))
                digest.update(content.read(_PIECE if size > _LARGE else size))
    return digest.hexdigest()


def _downloaded(repository: str, name: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    if not name or not _HUB_NAME.fullmatch(repository):
        return None
    try:
        found = try_to_load_from_cache(repository, name)
    except ValueError:  # a name with .. in it
        return None
    return Path(found) if isinstance(found, str) else None


def _not_here(option: str, expected: str, place: str, remedy: str, from_hub: object) -> InputError:
    remedy = remedy if from_hub else "There is no such path."
    return InputError(f"{option} must be {expected} that was downloaded; got {place!r}, which is not here. {remedy}")


def _has(folder: Path, need: str) -> bool:
    return any(file.exists() for names in need.split(" or ") for file in folder.glob(names))
