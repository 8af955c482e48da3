"""The pictures of the page: images of a run, decoded, scaled and written anew, so that none of its bytes pass."""

import re
from pathlib import Path

from zo_dno.results.scaling import scaled
from zo_dno.storage.images import UnreadableImageError, decoded, png_bytes

SIDE = 384  # pixels of a picture's longer side
_NAME = re.compile(r"[0-9a-f]{64}")


def path_of(folder: Path, sha256: str) -> Path | None:
    """Return the file of an image that was kept; None if it was not."""
    path = folder / "images" / f"{sha256}.png"
    return path if _NAME.fullmatch(sha256) and path.is_file() and not path.is_symlink() else None


def picture(folder: Path, sha256: str) -> bytes | None:
    """Return an image of a run as a PNG file of `SIDE` pixels; None if it was not kept, or cannot be read."""
    path = path_of(folder, sha256)
    try:
        return None if path is None else png_bytes(scaled(decoded(path, formats=("PNG",)), SIDE))
    except UnreadableImageError:
        return None
