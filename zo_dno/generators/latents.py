"""The final latents of a pipeline call: the numbers that its autoencoder decodes."""

import torch
from torch import Tensor

from zo_dno.generators.tape import TapeError


class LatentsFoundError(Exception):
    """The latents of all images are known, so the call of the pipeline need not go on."""


class FinalLatents:
    """Collects what a pipeline call decodes, and ends the call where nothing can follow.

    Args:
        n: Number of images of the call.
        decodings: Number of decodings in a call for one image.
    """

    def __init__(self, n: int, decodings: int) -> None:
        self._n, self._decodings = n, decodings
        self._found: list[Tensor] = []

    def __call__(self, latents: Tensor) -> None:
        """Take latents before they are decoded.

        Raises:
            LatentsFoundError: They are those of all images.
        """
        self._found.append(latents.detach().float().cpu())
        # Of a call that decodes frames, or one image after the other, more may follow.
        if self._decodings == 1 and len(latents) == self._n:
            raise LatentsFoundError

    def joined(self, images: Tensor | None) -> Tensor:
        """Return the latents of all images, (n, *shape); those of a video are (n, frames, *shape).

        Args:
            images: Images of the call, (n, 3, H, W) in [0, 1], if it came to its end. Where nothing was decoded, they
                are the latents, on the scale from -1 to 1 that models of pixels have.
        Raises:
            TapeError: The decoded rows cannot be divided among the images.
        """
        if not self._found:
            assert images is not None
            return images.detach().float().cpu() * 2 - 1
        found = torch.cat(self._found)
        rows, rest = divmod(len(found), self._n)
        if rest or not rows:
            raise TapeError(f"The pipeline decodes {len(found)} latents for {self._n} images, so none can be assigned.")
        return found if rows == 1 else found.reshape(self._n, rows, *found.shape[1:])
