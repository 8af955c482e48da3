"""The diverse set of a run: its archive, and the distance of prior draws that it is measured by."""

import torch

from zo_dno.errors import InputError
from zo_dno.results.diverse import Diverse
from zo_dno.rng import stream
from zo_dno.run.open_run import OpenRun
from zo_dno.run.spec import RunSpec
from zo_dno.search.archive import Archive
from zo_dno.search.blocks import Blocks
from zo_dno.search.diverse import DiverseArchive, floats_of
from zo_dno.surrogate.distances import check_distance, mean_distance
from zo_dno.types import Candidates, array_of, batch_size_of

DRAWS = 32
"""Prior draws whose images are rendered and not scored."""
_CHECKED = 4  # of them, on which a distance is checked before anything is written
_USUAL = "usual_distance"  # fact of the run


def check_apart(spec: RunSpec) -> None:
    """Check the distance of a run on prior draws.

    Raises:
        InputError: It is not finite, is negative, depends on the order, or is 0 between all of them.
    """
    if spec.distance is not None:
        check_distance(spec.distance, _draws(spec, _CHECKED))


def diverse_archive(run: OpenRun) -> DiverseArchive | None:
    """Return the archive of the run's diverse set; None where none is searched.

    The mean distance of two prior draws, the same for every strategy at one seed, is measured once and recorded.
    """
    spec, options = run.spec, run.spec.options
    if spec.distance is None or options.diverse is None:
        return None
    usual = run.ledger.get(_USUAL)
    if usual is None:
        images = _draws(spec, DRAWS)
        check_distance(spec.distance, images)
        described = spec.distance.describe(images)
        usual = mean_distance(spec.distance.between(described, described))
        run.ledger.set({_USUAL: usual})
    least = usual if options.min_distance is None else options.min_distance
    return DiverseArchive(options.diverse, spec.distance, least, usual)


def diverse_of(run: OpenRun, archive: Archive) -> Diverse | None:
    """Return the diverse set that an archive kept; None where none is searched."""
    kept = archive.diverse
    if kept is None:
        return None
    size = run.spec.options.diverse or len(kept.members)
    return Diverse.of(kept.members, kept.distances, kept.distance.name, size, kept.least, kept.usual)


def _draws(spec: RunSpec, n: int) -> torch.Tensor:
    """Render prior draws, (n, 3, H, W); those without an image are left out."""
    generator, seed = spec.generator, spec.options.seed
    z = torch.randn(n, generator.layout.d, generator=stream(seed, "usual distance"))
    rendered = Blocks(batch_size_of(generator)).render(generator, Candidates(z, tuple(range(n))))
    images = [array_of(one.image) for one in rendered if not one.no_image]
    if len(images) < 2:
        raise InputError(f"diverse must come with a generator of images; {len(images)} of {n} prior draws have one.")
    return floats_of(*images)
