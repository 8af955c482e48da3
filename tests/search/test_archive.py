"""Which candidates an archive keeps, in the order of their ids."""

import numpy as np
import pytest
import torch

from zo_dno.search.archive import MIN_DIFFERENCE, Archive, Found


def found(id_, reward, *, grey=None, feasible=True, violation=0.0, loaded=None):
    """A candidate with a grey image, by default unlike all others."""

    def load():
        if loaded is not None:
            loaded.append(id_)
        return np.full((4, 4, 3), 20 * id_ if grey is None else grey, dtype=np.uint8)

    noise = {"log_prob": 0.0, "norm_ratio": 1.0, "whiteness": 0.5, "noise_violation": violation, "plausible": feasible}
    return Found(
        id=id_,
        reward=reward,
        violation=violation,
        feasible=feasible and reward is not None,
        z=torch.zeros(4),
        sha256=str(id_),
        components=None,
        spread=None,
        load_image=load,
        **noise,
    )


def ids(candidates):
    return [one.id for one in candidates]


def test_the_first_is_kept_whatever_became_of_it():
    archive = Archive()
    assert archive.offer(found(0, None))
    assert archive.first is not None
    assert (archive.first.id, archive.best, archive.top) == (0, None, [])


def test_every_new_best_is_an_improvement_and_an_equal_one_is_not():
    archive = Archive()
    needed = [archive.offer(found(id_, reward)) for id_, reward in enumerate([1, 3, 3, None, 2, 4])]
    assert ids(archive.improvements) == [0, 1, 5]
    assert needed == [True, True, False, False, False, True]
    assert archive.best is archive.improvements[-1]


def test_a_feasible_candidate_is_above_any_that_is_not_and_those_go_by_their_violation():
    archive = Archive(top=3)
    for one in (
        found(0, 9, feasible=False, violation=2),
        found(1, 1, feasible=False, violation=1),
        found(2, 99, feasible=False, violation=3),
        found(3, -5),
        found(4, 99, feasible=False, violation=0.1),
    ):
        archive.offer(one)
    assert ids(archive.improvements) == [0, 1, 3]
    assert ids(archive.top) == [3]


def test_of_images_that_look_alike_the_best_is_among_the_top():
    archive, step = Archive(top=3), int(255 * MIN_DIFFERENCE)
    for id_, reward, grey in [
        (0, 1, 0),
        (1, 2, step),
        (2, 3, step + 2),
        (3, 1.5, 200),
        (4, 2.5, 200 + step),
        (5, 0, 99),
    ]:
        archive.offer(found(id_, reward, grey=grey))
    assert ids(archive.top) == [2, 4, 5]  # 0 and 1 look like 2, 3 like 4


def test_a_better_candidate_replaces_the_last_of_the_top():
    archive = Archive(top=2)
    for id_, reward in enumerate([3, 1, 2, 0]):
        archive.offer(found(id_, reward))
    assert ids(archive.top) == [0, 2]


def test_contenders_may_look_alike_and_among_equals_the_later_one_is_kept():
    archive = Archive(top=1, contenders=2)
    for id_, reward in enumerate([5, 7, 5, 7, 1]):
        archive.offer(found(id_, reward, grey=0))
    archive.offer(found(5, 100, feasible=False, violation=1))
    assert ids(archive.contenders) == [3, 1]


def test_a_candidate_that_is_promoted_is_the_best_although_a_single_score_is_higher():
    archive = Archive(top=2)
    for id_, reward in enumerate([5, 9]):
        archive.offer(found(id_, reward))
    archive.promote(archive.improvements[0])
    assert archive.best is archive.improvements[0]
    assert ids(archive.top) == [0, 1]
    archive.offer(found(2, 7))
    assert ids(archive.improvements) == [0, 1, 2]  # it is above the mean of the promoted one
    assert archive.best.id == 0


@pytest.mark.parametrize("top", [0, 1])
def test_images_are_loaded_only_to_be_compared_and_once(top):
    loaded: list[int] = []
    archive = Archive(top=top)
    for id_, reward in enumerate([3, 1, 0, 4, 5]):
        archive.offer(found(id_, reward, loaded=loaded))
    assert sorted(loaded) == ([] if top == 0 else [0, 3, 4])
