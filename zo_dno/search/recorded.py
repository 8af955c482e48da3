"""A recorded candidate as the archive knows it, with its image read from a file or drawn again."""

import logging
from collections.abc import Callable

import numpy as np
from torch import Tensor

from zo_dno.errors import RunError
from zo_dno.generators.renderer import draw
from zo_dno.search.archive import Found
from zo_dno.storage.artifacts import Artefacts
from zo_dno.storage.images import image_hash
from zo_dno.storage.ledger import Query
from zo_dno.types import Candidates, Generator, array_of

log = logging.getLogger(__name__)


def found_of(row: Query, z: Tensor, load_image: Callable[[], np.ndarray], *, constrained: bool) -> Found:
    """Make the archive's entry of a row; `constrained`: only plausible noise may win."""
    return Found(
        id=row.id,
        reward=row.value,
        log_prob=row.log_prob,
        norm_ratio=row.norm_ratio,
        whiteness=row.whiteness,
        violation=row.violation,
        feasible=row.feasible,
        lacking=row.shortfall + (row.violation if constrained else 0.0),
        eligible=row.may_win(constrained=constrained),
        z=z,
        sha256=row.image,
        parts=row.parts,
        spread=row.spread,
        load_image=load_image,
    )


def recorded_image(
    row: Query, candidates: Candidates, place: int, artefacts: Artefacts, generator: Generator
) -> np.ndarray:
    """Read the image of a recorded candidate from its file, or draw it again with its whole population.

    Raises:
        RunError: it is not there, and the model now draws another one.
    """
    kept = artefacts.image(row.image)
    if kept is not None:
        return kept
    drawn = array_of(draw(generator, candidates.z)[place].image)
    if image_hash(drawn) != row.image:
        raise RunError(
            f"images/{row.image}.png, the image of candidate {row.id}, is gone or damaged, and the model now draws "
            "another one. Restore the file."
        )
    if artefacts.has_image(row.image):
        log.warning("the image of candidate %d was gone or damaged; it was drawn again, bit for bit", row.id)
        artefacts.keep_image(row.stage, row.id, drawn, row.image)
    return drawn
