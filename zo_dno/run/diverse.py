"""The diverse set of a run: its archive, and the distance of prior draws that it is measured by."""

from zo_dno.results.diverse import Diverse
from zo_dno.run.open_run import OpenRun
from zo_dno.run.prior_images import prior_images
from zo_dno.run.spec import RunSpec
from zo_dno.search.archive import Archive
from zo_dno.search.diverse import DiverseArchive, floats_of
from zo_dno.surrogate.distances import check_distance, mean_distance

DRAWS = 32
"""Prior draws whose images are rendered and not scored."""
_CHECKED = 4  # of them, on which a distance is checked before anything is written
_SHARE = 0.85  # of the mean distance of two prior draws: so far apart, sets are full, and more than that on average
_USUAL = "usual_distance"  # fact of the run


def check_apart(spec: RunSpec) -> None:
    """Check the distance of a run on prior draws.

    Raises:
        InputError: It is not finite, is negative, depends on the order, or is 0 between all of them.
    """
    if spec.distance is not None:
        check_distance(spec.distance, floats_of(*prior_images(spec, _CHECKED)))


def diverse_archive(run: OpenRun) -> DiverseArchive | None:
    """Return the archive of the run's diverse set; None where none is searched.

    The mean distance of two prior draws, the same for every strategy at one seed, is measured once and recorded.
    """
    spec, options = run.spec, run.spec.options
    if spec.distance is None or options.diverse is None:
        return None
    usual = run.ledger.get(_USUAL)
    if usual is None:
        images = floats_of(*prior_images(spec, DRAWS))
        check_distance(spec.distance, images)
        described = spec.distance.describe(images)
        usual = mean_distance(spec.distance.between(described, described))
        run.ledger.set({_USUAL: usual})
    least = _SHARE * usual if options.min_distance is None else options.min_distance
    return DiverseArchive(options.diverse, spec.distance, least, usual, keeps=run.manifest.rules >= 4)


def diverse_of(run: OpenRun, archive: Archive) -> Diverse | None:
    """Return the diverse set that an archive kept; None where none is searched."""
    kept = archive.diverse
    if kept is None:
        return None
    size = run.spec.options.diverse or len(kept.members)
    return Diverse.of(kept.members, kept.distances, kept.distance.name, size, kept.least, kept.usual)
