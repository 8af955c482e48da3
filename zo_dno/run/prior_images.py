"""Images of prior draws that are rendered before a search and not scored."""

import numpy as np
import torch

from zo_dno.errors import InputError
from zo_dno.rng import stream
from zo_dno.run.spec import RunSpec
from zo_dno.search.blocks import Blocks
from zo_dno.types import Candidates, array_of, batch_size_of


def prior_images(spec: RunSpec, n: int) -> list[np.ndarray]:
    """Render prior draws, the same for every strategy at one seed: the images that there are, (H, W, 3) uint8 each.

    Raises:
        InputError: Fewer than two have an image.
    """
    generator, seed = spec.generator, spec.options.seed
    z = torch.randn(n, generator.layout.d, generator=stream(seed, "prior images"))
    rendered = Blocks(batch_size_of(generator)).render(generator, Candidates(z, tuple(range(n))))
    images = [array_of(one.image) for one in rendered if not one.no_image]
    if len(images) < 2:
        raise InputError(f"images must be there to differ; {len(images)} of {n} prior draws have one.")
    return images
