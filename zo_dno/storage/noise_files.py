"""Noise in files, and the one check of noise that others bring."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.storage.atomic import write_whole

if TYPE_CHECKING:
    from torch import Tensor

NOISE_FILE = "best.safetensors"
_LARGEST = 100.0  # of one number of noise; standard deviations that no Gaussian draws
_SHAPES = {1: "(d,)", 2: "(n, d)"}


def load_noise(path: Path, name: str = "noise", *, ndim: int = 1) -> "Tensor":
    """Read z (d,) or (n, d) float32 from a file that a run wrote.

    Args:
        path: Path of the file, or of the folder of a run.
        name: Name of what is read, for messages.
        ndim: Number of dimensions: 1 for one candidate, 2 for several.
    Raises:
        InputError: There is no such file, or it holds no noise.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = path / NOISE_FILE if path.is_dir() else path
    try:
        z: Tensor = load_file(path)["z"]
    except (OSError, KeyError, SafetensorError) as error:
        reason = one_line(str(error), 200)
        kind = f"{NOISE_FILE} that a run wrote" if ndim == 1 else "safetensors file with z (n, d)"
        raise InputError(f"{name} must be a {kind}; got {path} ({reason}).") from error
    return checked_noise(z, f"{name} of {path}", ndim=ndim)


def checked_noise(z: "Tensor", name: str, *, ndim: int = 1) -> "Tensor":
    """Return noise that a caller brings as (d,) or (n, d) float32.

    Raises:
        InputError: The noise has another form, or numbers that no Gaussian draws.
    """
    expected = f"{name} must be {_SHAPES[ndim]} floats"
    if not z.is_floating_point() or z.ndim != ndim or not z.numel():
        raise InputError(f"{expected}; got {tuple(z.shape)} of {str(z.dtype).removeprefix('torch.')}.")
    z = z.detach().float()
    largest = float(z.abs().max())
    if not largest <= _LARGEST:  # NaN as well
        raise InputError(
            f"{expected} as a Gaussian draws them, between -{_LARGEST:g} and {_LARGEST:g}; got {largest:g}."
        )
    return z


def load_several(given: "Iterable[str | Path | Tensor]", name: str) -> "Tensor":
    """Read the noise of several candidates from runs, files and tensors: (n, d) float32.

    Args:
        given: Folders of runs, folders of files of noise, such files, or tensors (d,).
        name: Name of what is read, for messages.
    Raises:
        InputError: One of them holds no noise, or the sizes differ.
    """
    import torch

    read: list[Tensor] = []
    for one in given:
        if isinstance(one, str | Path):
            read += [load_noise(path, name) for path in _files(Path(one))]
        else:
            read.append(checked_noise(one, name))
    sizes = sorted({len(z) for z in read})
    if len(sizes) > 1:
        raise InputError(f"{name} must be noise of one size; got {' and '.join(map(str, sizes))} numbers.")
    return torch.stack(read)


def _files(path: Path) -> list[Path]:
    """Return the files of noise in a folder that is not a run's, such as `top`; any other path as it is."""
    if not path.is_dir() or (path / NOISE_FILE).exists():
        return [path]
    return sorted(path.glob("*.safetensors")) or [path]


def write_noise(path: Path, z: "Tensor") -> None:
    """Write z (d,) or (n, d) to a file."""
    from safetensors.torch import save_file

    write_whole(path, lambda unfinished: save_file({"z": z.contiguous().clone()}, unfinished))
