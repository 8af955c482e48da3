"""The trial of a generator before a run spends anything: that noise alone decides its images."""

import logging

import numpy as np
import torch
from torch import Tensor

from zo_dno.errors import InputError, ZoDnoError
from zo_dno.failures import text_of
from zo_dno.generators.renderer import render_images
from zo_dno.registry import line_of
from zo_dno.rng import stream
from zo_dno.types import Generator, Probed, Rendered, array_of, model_of

_SAME = 0.25  # grey levels, on average: more is no rounding of a GPU's sums
_ALONE = 1.0  # grey levels, on average: more is no rounding of a batch of another size
log = logging.getLogger(__name__)


def check_generator(generator: Generator, start: Tensor, seed: int) -> None:
    """Render candidate 0 alone, then behind another one, and compare.

    A generator that was tried when it was made is not rendered.

    Args:
        generator: Generator of a new run.
        start: Noise of candidate 0, (d,).
        seed: Seed of the other candidate.
    Raises:
        InputError: The generator raises, returns no images, or noise alone does not decide them.
    """
    if isinstance(generator, Probed) and generator.probed:
        return
    other = torch.randn(1, len(start), generator=stream(seed, "probe"))
    first = _rendered(generator, start[None])[0]
    second = _rendered(generator, torch.cat([other, start[None]]))[1]
    if _is_equal(first, second):
        _note(generator)
        return
    name = model_of(generator)
    again = _rendered(generator, start[None])[0]
    apart, placed = _apart(name, first, again), _apart(name, first, second)
    if apart > _SAME:
        raise InputError(
            f"generator {name} must render the same image from the same noise; candidate 0, rendered twice, differs by "
            f"{apart:.3g} grey levels on average. Switch off what is random in it, such as dropout (.eval()) or noise "
            "of its own, or take that noise from z."
        )
    if placed > _ALONE:
        raise InputError(
            f"generator {name} must render an image from its own noise alone; candidate 0 differs by {placed:.3g} grey "
            "levels on average behind another candidate. Normalise each image by itself, such as by .eval(), and give "
            "every row the same fixed noise."
        )
    _note(generator)
    if not _is_equal(first, again):
        log.warning(
            "generator %s rounds the same noise to slightly different images, so that a run cannot be resumed exactly",
            name,
        )


def _note(generator: Generator) -> None:
    """Note that the generator passed, so that further runs with it do not render for that."""
    if isinstance(generator, Probed):
        vars(generator)["probed"] = True


def _rendered(generator: Generator, z: Tensor) -> list[Rendered]:
    try:
        return render_images(generator, z)
    except ZoDnoError:
        raise
    except Exception as error:
        where = line_of(error)
        raise InputError(
            f"generator {model_of(generator)} could not render {len(z)} rows of z of shape {tuple(z.shape)}: "
            f"{text_of(error)}{where and f' ({where})'}."
        ) from error


def _is_equal(one: Rendered, other: Rendered) -> bool:
    if one.no_image or other.no_image:
        return True
    first, second = (array_of(found.given(arrays=True)) for found in (one, other))
    return one.sha256 == other.sha256 and np.array_equal(first, second, equal_nan=first.dtype.kind == "f")


def _apart(name: str, one: Rendered, other: Rendered) -> float:
    """Return the mean absolute difference of two images, in grey levels; that of their arrays, if it is larger."""
    differences = []
    for arrays in (False, True):
        first, second = (array_of(found.given(arrays=arrays)).astype(np.float64) for found in (one, other))
        if first.shape != second.shape:
            raise InputError(
                f"generator {name} must give images of one size; got {first.shape} and {second.shape} from the same "
                "noise."
            )
        scale = 1.0 if one.array is None or not arrays else 255 / max(np.ptp(first), 1e-12)
        differences.append(float(np.abs(np.nan_to_num(first - second)).mean()) * scale)
    return max(differences)
