"""The ladder of distances: mixtures of liked noise from small variations to fresh images, to choose a distance from."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.noise.plausibility import PlausibilityTests
from zo_dno.noise.space import NoiseLayout, retract, rotate
from zo_dno.rng import stream
from zo_dno.search.blocks import Blocks
from zo_dno.spaces.near import middle, mixtures
from zo_dno.types import Candidates, Generator, array_of, batch_size_of

DISTANCES = (0.1, 0.2, 0.4, 0.7, 1.0)
_TRIES = 50  # draws of a mixture until one is plausible, of which nearly all are


@dataclass(frozen=True, slots=True, eq=False)
class Rung:
    """The mixtures at one distance.

    Attributes:
        distance: Share of fresh noise in them, as the option `distance` has it.
        z: Noise, (n, d).
        images: Images, (H, W, 3) uint8 each.
    """

    distance: float
    z: Tensor
    images: Sequence[np.ndarray]


def ladder(
    generator: Generator,
    liked: Tensor,
    *,
    distances: Sequence[float] = DISTANCES,
    each: int = 5,
    seed: int = 0,
) -> list[Rung]:
    """Render mixtures of liked noise (n, d) at several distances.

    A place of a row has the same shares and the same fresh noise at every distance, so that a column shows how one
    image turns into another. Each mixture passes the tests of plausibility.
    """
    check_distances(distances, each)
    layout = generator.layout
    middle(liked, layout)  # which checks its size
    tests, rng = PlausibilityTests(layout), stream(seed, "ladder")
    columns = [_column(liked, layout, distances, tests, rng) for _ in range(each)]
    rungs, blocks = [], Blocks(batch_size_of(generator))
    for place, distance in enumerate(distances):
        z = torch.stack([column[place] for column in columns])
        rendered = blocks.render(generator, Candidates(z, tuple(range(each))))
        rungs.append(Rung(distance, z, [array_of(one.image) for one in rendered]))
    return rungs


def check_distances(distances: Sequence[float], each: int) -> None:
    """Check the distances and the number of images of a ladder.

    Raises:
        InputError: One does not fit.
    """
    if not distances or not all(0 <= one <= 1 for one in distances):
        shown = ", ".join(f"{one:g}" for one in distances) or "none"
        raise InputError(f"distances must be from 0 to 1, one at least; got {shown}. Such as 0.1,0.2,0.4.")
    if each < 1:
        raise InputError(f"each must be at least 1; got {each}.")


def _column(
    liked: Tensor, layout: NoiseLayout, distances: Sequence[float], tests: PlausibilityTests, rng: torch.Generator
) -> Tensor:
    """Draw a mixture and fresh noise that are plausible at every distance, (k, d)."""
    for _ in range(_TRIES):
        shares = torch.randn(1, len(liked), generator=rng).square()
        mixture = mixtures(retract(liked, layout.sizes), shares, layout.sizes)
        fresh = retract(torch.randn(1, layout.d, generator=rng), layout.sizes)
        z = torch.cat([retract(rotate(mixture, fresh, one), layout.sizes) for one in distances])
        if bool(tests(z).plausible.all()):
            return z
    raise InputError(
        f"near must be noise whose mixtures are plausible; none of {_TRIES} was. Name noise that a "
        "run of this model found."
    )
