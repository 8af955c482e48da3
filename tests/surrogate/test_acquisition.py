"""What it is worth to query an image."""

import pickle
from functools import partial

import torch

from zo_dno.rng import stream
from zo_dno.surrogate.acquisition import UpperBound
from zo_dno.surrogate.climb import slope
from zo_dno.surrogate.pixels import pixel_features
from zo_dno.surrogate.preference import PreferenceProcess
from zo_dno.surrogate.process import GaussianProcess
from zo_dno.types import Choice

IMAGES = torch.rand(24, 3, 16, 16, generator=stream(0, "images"))
FEATURES = pixel_features(IMAGES)


def processes():
    yield GaussianProcess(FEATURES, FEATURES[:, 0])
    yield PreferenceProcess(FEATURES, [Choice((one, one + 1, one + 2)) for one in range(0, 24, 3)])


def test_it_is_the_prediction_and_some_standard_deviations():
    for process in processes():
        mean, deviation = process(FEATURES[:4])
        assert torch.equal(UpperBound(process, 0.5)(IMAGES[:4]), mean + 0.5 * deviation)


def test_sent_elsewhere_it_gives_the_same_slopes_and_brings_little_along():
    """The features of the known images in double precision, a few matrices of their number, and nothing else."""
    for process in processes():
        here = partial(slope, UpperBound(process, 0.15))
        sent = pickle.dumps(here)
        assert torch.equal(pickle.loads(sent)(IMAGES[:4]), here(IMAGES[:4]))
        assert len(sent) < 2 * 8 * FEATURES.numel()
