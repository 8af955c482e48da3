"""Families of features, which turn images into the vectors that a surrogate learns from."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.failures import text_of
from zo_dno.registry import load

Family = Callable[[Tensor], Tensor]
"""Images (n, 3, H, W) in [0, 1] -> features (n, m), the same for the same images; best differentiable."""

FAMILIES = {
    "picture": "zo_dno.surrogate.pixels:picture_features",
    "modes": "zo_dno.surrogate.pixels:mode_features",
    "bands": "zo_dno.surrogate.colours:band_quantiles",
    "colours": "zo_dno.surrogate.colours:colour_quantiles",
    "pixels": "zo_dno.surrogate.pixels:pixel_features",
}
PIXELS = ("picture", "modes", "bands", "colours")
"""The families that need nothing beside the image."""


class Features:
    """Families of features side by side.

    Args:
        families: Names of the table, "package.module:name" of a function, or functions.
        embedding: Folder or hub name of a network of images, which adds a family; None adds none.
    Attributes:
        sizes: Number of features of each family; empty before the first call.
        own: Whether all families are of the table, whose gradients and values need no check.
    Raises:
        InputError: There is no family, or one is unknown, or the network is not on this machine.
    """

    def __init__(self, families: Sequence[str | Family], embedding: str | None = None) -> None:
        given = [families] if isinstance(families, str) else [*families]
        self._families: dict[str, Family] = {}
        for one in given:
            name = one if isinstance(one, str) else getattr(one, "__qualname__", type(one).__name__)
            self._families[name] = load("features", FAMILIES, one) if isinstance(one, str) else one
        if embedding is not None:
            from zo_dno.surrogate.embedding import Embedding

            self._families[embedding] = Embedding(embedding)
        if not self._families:
            raise InputError(
                f"features must name a family, such as {next(iter(FAMILIES))!r}, or come with an embedding."
            )
        self.sizes: tuple[int, ...] = ()
        self.own = all(name in FAMILIES for name in self._families)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the families, in order."""
        return tuple(self._families)

    def __call__(self, images: Tensor) -> Tensor:
        """Describe images (n, 3, H, W) in [0, 1] by all families, (n, m).

        Raises:
            InputError: A family fails, or gives no vector for each image, or vectors of another length.
        """
        found = [self._of(name, family, images) for name, family in self._families.items()]
        sizes = tuple(one.shape[1] for one in found)
        if self.sizes and sizes != self.sizes:
            raise InputError(f"features must be as many for every image; got {sizes} after {self.sizes}.")
        self.sizes = sizes
        return torch.cat(found, 1)

    def check(self, images: Tensor) -> None:
        """Check that images (n, 3, H, W) have finite features, and the same ones again.

        Raises:
            InputError: They have not; the message names the family.
        """
        for name, family in self._families.items():
            first, again = self._of(name, family, images), self._of(name, family, images)
            if not bool(first.isfinite().all()):
                wrong = float(first[~first.isfinite()][0])
                raise InputError(f"features {name!r} must be finite; got {wrong} for an image of random colours.")
            if not torch.allclose(again, first, rtol=1e-3, atol=1e-4):
                apart = float((again - first).abs().max())
                remedy = "Switch dropout and sampling off."
                raise InputError(
                    f"features {name!r} must be the same for the same image; two calls differ by {apart:.3g}. {remedy}"
                )

    def without_gradient(self, images: Tensor) -> list[str]:
        """Return the families that have no gradient at images (n, 3, H, W)."""
        with torch.enable_grad():
            given = images.detach().clone().requires_grad_()
            return [name for name, family in self._families.items() if not self._of(name, family, given).requires_grad]

    def _of(self, name: str, family: Family, images: Tensor) -> Tensor:
        try:
            found = family(images)
        except InputError:
            raise
        except Exception as error:  # of a function of the user's
            raise InputError(f"features {name!r} failed: {text_of(error)}") from error
        if not isinstance(found, Tensor) or found.ndim != 2 or len(found) != len(images) or not found.shape[1]:
            got = f"shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(found).__name__
            raise InputError(
                f"features {name!r} must be a tensor ({len(images)}, m), a vector for each image; got {got}."
            )
        return found.cpu().float()
