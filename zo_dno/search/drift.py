"""The check that a recorded run can be resumed exactly: the model still renders the recorded images."""

from collections.abc import Iterable, Mapping

from zo_dno.storage.ledger import QueryRow
from zo_dno.types import Rendered


class DriftError(Exception):
    """The recorded run cannot be resumed exactly; the message says what differs."""


class DriftCheck:
    """Compares rendered images with the recorded ones.

    Args:
        accept: Whether a difference is noted instead of raised.
    Attributes:
        found: First accepted difference, if any.
    """

    def __init__(self, *, accept: bool) -> None:
        self._accept = accept
        self.found: str | None = None

    def compare(self, ids: Iterable[int], rendered: Iterable[Rendered], rows: Mapping[int, QueryRow]) -> None:
        """Compare the images of candidates with their rows; candidates without a row are new.

        Raises:
            DriftError: An image differs, and this is not accepted.
        """
        for id_, image in zip(ids, rendered, strict=False):
            if id_ in rows and rows[id_].image != image.sha256:
                what = f"the model renders another image of candidate {id_} than it did"
                if not self._accept:
                    raise DriftError(what)
                self.found = self.found or what
