"""The archive of a diverse set."""

import numpy as np
import pytest
import torch

from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.search.archive import Archive, Found
from zo_dno.search.diverse import DiverseArchive, floats_of
from zo_dno.surrogate.distances import make_distance
from zo_dno.surrogate.members import best_set


def found(id_, image, reward):
    tests = {"log_prob": 0.0, "norm_ratio": 1.0, "whiteness": 1.0, "noise_violation": 0.0, "plausible": True}
    return Found(id_, reward, **tests, violation=0.0, feasible=True, z=torch.zeros(2), sha256="", components=None,
                 spread=None, load_image=lambda: image)  # fmt: skip


def test_keeps_the_best_set_of_far_more_candidates_than_it_holds():
    images = ToyGenerator()(torch.randn(200, 48, generator=torch.Generator().manual_seed(1))).numpy()
    rewards = np.random.default_rng(1).normal(size=200)
    distance = make_distance("pixels")
    described = distance.describe(floats_of(*images))
    every = distance.between(described, described).double().numpy()
    archive = Archive(0, diverse=DiverseArchive(4, distance, 0.25, 0.3))
    kept = [archive.offer(found(id_, images[id_], float(rewards[id_]))) for id_ in range(200)]
    members = [one.id for one in archive.diverse.members]
    expected = best_set(rewards, every, 4, 0.25)
    assert rewards[members].mean() > rewards[expected].mean() - 0.1
    assert len(members) == len(expected) == 4
    assert np.allclose(archive.diverse.distances, every[np.ix_(members, members)], atol=1e-6)
    assert (len(archive.diverse._pool), 64 < sum(kept) < 200) == (64, True)
    assert archive.diverse.emptied().members == []


def test_a_set_never_becomes_worse_and_runs_of_earlier_rules_choose_as_before():
    images = ToyGenerator()(torch.randn(150, 48, generator=torch.Generator().manual_seed(2))).numpy()
    rewards, distance = np.random.default_rng(2).normal(size=150), make_distance("pixels")
    worths = {}
    for keeps in (True, False):
        archive = DiverseArchive(8, distance, 0.3, 0.3, keeps=keeps)
        worths[keeps] = []
        for id_ in range(150):
            archive.offer(found(id_, images[id_], float(rewards[id_])))
            if id_ % 8 == 7:
                members = archive.members
                worths[keeps].append((len(members), round(sum(one.reward for one in members), 9)))
    assert worths[True] == sorted(worths[True])
    assert worths[False] != sorted(worths[False])


def test_a_distance_that_turns_out_not_finite_is_one_line():
    archive = DiverseArchive(2, make_distance(lambda some, others: some.sum((1, 2, 3)) * torch.inf), 1.0, 1.0)
    archive.offer(found(0, np.ones((8, 8, 3), np.uint8), 1.0))
    with pytest.raises(InputError, match="must be finite; got inf"):
        archive.offer(found(1, np.ones((8, 8, 3), np.uint8), 1.0))
