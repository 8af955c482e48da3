"""The place of weights: a file or folder on this machine, or a file or repository on the hub."""

import difflib
import math
from dataclasses import dataclass
from pathlib import Path

from zo_dno.errors import InputError, given

WEIGHT_FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")
_PATH_STARTS = ("/", ".", "~")
HUB = "https://huggingface.co/"


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder on this machine, or a file or repository on the hub.

    Attributes:
        folder: Folder on this machine, or repository, OWNER/NAME, on the hub.
        file: File in it, with its folders on the hub; None for the folder as a whole.
        local: Whether it is on this machine.
    """

    folder: str
    file: str | None
    local: bool

    @property
    def path(self) -> str:
        """Path on this machine, or address on the hub."""
        if self.file is None:
            return self.folder
        return str(Path(self.folder) / self.file) if self.local else f"{HUB}{self.folder}/blob/main/{self.file}"


def place_of(option: str, name: str | Path) -> Place:
    """Find what an option names.

    Args:
        option: Name of the option, for messages.
        name: Path, or OWNER/NAME of a repository on the hub, which the path of a file in it may follow.
    Raises:
        InputError: The name is a path, and nothing is there.
    """
    path = Path(name).expanduser()
    if path.is_file():
        return Place(str(path.parent), path.name, local=True)
    if path.is_dir():
        return Place(str(path), None, local=True)
    if is_path(name):
        where = "" if path.is_absolute() else f" at {path.absolute()}"
        raise InputError(f"{option} {given(str(name))} is a path, and there is nothing{where}.{_nearest(path)}")
    owner, repository, *rest = str(name).split("/")
    return Place(f"{owner}/{repository}", "/".join(rest) or None, local=False)


def is_path(name: str | Path) -> bool:
    """Return whether a name, at which there is nothing, is meant as a path and not as a name on the hub."""
    text = str(name)
    if isinstance(name, Path) or text.startswith(_PATH_STARTS) or "/" not in text or text.endswith("/"):
        return True
    return (text.count("/") == 1 and text.endswith(WEIGHT_FILES)) or Path(text.partition("/")[0]).is_dir()


def with_scale(option: str, text: str) -> tuple[str, float]:
    """Split PATH or PATH:SCALE; the scale is 1 by default.

    Args:
        option: Name of the option, for messages.
        text: Text to split.
    Raises:
        InputError: What follows the colon is no number.
    """
    path, suffix = with_suffix(text)
    if suffix is None:
        return path, 1.0
    try:
        scale = float(suffix)
    except ValueError:
        scale = math.nan
    if not path or not math.isfinite(scale):
        raise InputError(f"{option} must be PATH or PATH:SCALE, such as style.safetensors:0.8; got {given(text)}.")
    return path, scale


def with_suffix(text: str) -> tuple[str, str | None]:
    """Split PATH or PATH:SUFFIX; a path that exists may hold colons itself."""
    path, colon, suffix = text.rpartition(":")
    return (path, suffix) if colon and not Path(text).expanduser().exists() else (text, None)


def _nearest(path: Path) -> str:
    """Suggest the entry of the path's folder with the most similar name, or name the first folder that is missing."""
    if not path.parent.is_dir():
        missing = next(one for one in [*reversed(path.parents), path] if not one.is_dir())
        return f" Its folder {missing} does not exist."
    close = difflib.get_close_matches(path.name, [one.name for one in path.parent.iterdir()], n=1, cutoff=0.5)
    return f" Did you mean {str(path.parent / close[0])!r}?" if close else " Check the path."
