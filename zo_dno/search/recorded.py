"""Recorded candidates for the archive, with images read from files or rendered again."""

import logging
from collections.abc import Callable

import numpy as np
from torch import Tensor

from zo_dno.errors import RunError
from zo_dno.search.archive import Found
from zo_dno.search.blocks import Blocks
from zo_dno.storage.artifacts import Artifacts
from zo_dno.storage.images import image_hash
from zo_dno.storage.ledger import QueryRow
from zo_dno.types import Candidates, Generator, array_of

log = logging.getLogger(__name__)


def found_of(row: QueryRow, z: Tensor, load_image: Callable[[], np.ndarray], *, constrained: bool) -> Found:
    """Make the archive's entry from a row.

    Args:
        row: Row of the query.
        z: Noise of the candidate, (d,).
        load_image: Function that returns the image, (H, W, 3) uint8.
        constrained: Whether only plausible noise can win.
    """
    return Found(
        id=row.id,
        reward=row.value,
        log_prob=row.log_prob,
        norm_ratio=row.norm_ratio,
        whiteness=row.whiteness,
        noise_violation=row.noise_violation,
        plausible=row.plausible,
        violation=row.reward_violation + (row.noise_violation if constrained else 0.0),
        feasible=row.is_feasible(constrained=constrained),
        z=z,
        sha256=row.image,
        components=row.components,
        spread=row.spread,
        load_image=load_image,
    )


def rendered_array(candidates: Candidates, place: int, generator: Generator, blocks: Blocks) -> np.ndarray:
    """Render the array of a recorded candidate again, with its whole population."""
    return array_of(blocks.render(generator, candidates)[place].given(arrays=True))


def recorded_image(
    row: QueryRow, candidates: Candidates, place: int, artifacts: Artifacts, generator: Generator, blocks: Blocks
) -> np.ndarray:
    """Read the image of a recorded candidate from its file, or render it again with its whole population.

    Raises:
        RunError: The file is gone, and the model now renders another image.
    """
    kept = artifacts.image(row.image)
    if kept is not None:
        return kept
    rendered = array_of(blocks.render(generator, candidates)[place].image)
    if image_hash(rendered) != row.image:
        raise RunError(
            f"images/{row.image}.png, the image of candidate {row.id}, is gone or damaged, and the model now renders "
            "another one. Restore the file."
        )
    if artifacts.has_image(row.image):
        log.warning("the image of candidate %d was gone or damaged; it was rendered again, bit for bit", row.id)
        artifacts.keep_image(row.stage, row.id, rendered, row.image)
    return rendered
