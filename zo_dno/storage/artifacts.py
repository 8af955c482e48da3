"""The files of a run that its ledger names: images by their content, and the noise of the archive's candidates."""

import re
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.storage.atomic import write_whole
from zo_dno.storage.images import UnreadableImageError, image_hash, noise_hash, read_png, write_png
from zo_dno.storage.ledger import Artifact
from zo_dno.storage.noise_files import load_noise
from zo_dno.threads import ThreadPool

_NAME = re.compile("[0-9a-f]{64}")
_MOST_WAITING = 64  # images in memory that wait to be written


class Artifacts:
    """Writes files first, and returns the rows that name them afterwards.

    Args:
        folder: Folder of the run; None keeps nothing.
        every: Interval of the ids whose images are kept, beside those that the search keeps.
        durable: Whether a file is on the disk when its call returns; otherwise files are written in the background.
        known: Files that exist already.
    """

    def __init__(
        self, folder: Path | None, *, every: int = 1, durable: bool = False, known: Iterable[Artifact] = ()
    ) -> None:
        self.every = 1 if durable else every
        self.durable = durable
        self._folder = folder
        self._known = {artifact.path: artifact for artifact in known}
        self._writing: list[tuple[Artifact, Future[None]]] = []
        self._thread = None if folder is None or durable else ThreadPool(1, "zo-dno images")

    def has_image(self, sha256: str) -> bool:
        """Whether the image was kept, even if its file is gone."""
        return self._folder is None or f"images/{sha256}.png" in self._known

    def keep_image(self, stage: str, id_: int, image: np.ndarray, sha256: str) -> None:
        """Write an image (H, W, 3) uint8."""
        self._keep(Artifact(f"images/{sha256}.png", "image", sha256, stage, id_), partial(write_png, image=image))

    def keep_noise(self, stage: str, id_: int, z: Tensor) -> None:
        """Write a candidate's noise (d,)."""
        from safetensors.torch import save_file

        z = z.detach().clone()
        artifact = Artifact(f"noise/{stage}-{id_:06d}.safetensors", "noise", noise_hash(z), stage, id_)
        self._keep(artifact, lambda path: save_file({"z": z}, path))

    def written(self) -> list[Artifact]:
        """Return the files finished since the last call, whose rows can now be written.

        Raises:
            StorageError: A file could not be written.
        """
        done = [(artifact, future) for artifact, future in self._writing if future.done()]
        self._writing = [pair for pair in self._writing if not pair[1].done()]
        for _, future in done:
            future.result()
        return [artifact for artifact, _ in done]

    def flush(self) -> list[Artifact]:
        """Wait for all files, and return those that `written` has not returned."""
        for _, future in self._writing:
            future.exception()
        return self.written()

    def image(self, sha256: str) -> np.ndarray | None:
        """Read an image back; None if it was not kept, or the file is gone or damaged."""
        path = f"images/{sha256}.png"
        if self._folder is None or path not in self._known or not _NAME.fullmatch(sha256):
            return None
        self._wait_for(path)
        try:
            image = read_png(self._folder / path)
        except UnreadableImageError:
            return None
        return image if image_hash(image) == sha256 else None

    def noise(self, stage: str, id_: int) -> Tensor | None:
        """Read a candidate's noise (d,) back; None if it was not kept, or the file is gone or damaged."""
        path = f"noise/{stage}-{id_:06d}.safetensors"
        if self._folder is None or path not in self._known:
            return None
        try:
            z = load_noise(self._folder / path)
        except InputError:
            return None
        return z if noise_hash(z) == self._known[path].sha256 else None

    def close(self) -> None:
        """Wait for the files that are being written."""
        if self._thread is not None:
            self._thread.shutdown()

    def _keep(self, artifact: Artifact, write: Callable[[Path], object]) -> None:
        if self._folder is None:
            return
        self._known[artifact.path] = artifact
        finish = partial(write_whole, self._folder / artifact.path, write, durable=self.durable)
        if self._thread is None:
            finish()
            future: Future[None] = Future()
            future.set_result(None)
        else:
            if len(self._writing) >= _MOST_WAITING:
                self._writing[-_MOST_WAITING][1].exception()
            future = self._thread.submit(finish)
        self._writing.append((artifact, future))

    def _wait_for(self, path: str) -> None:
        for artifact, future in self._writing:
            if artifact.path == path:
                future.exception()
