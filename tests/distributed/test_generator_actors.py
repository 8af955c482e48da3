"""Generators in Ray actors: the same images as in this process, also after an actor died."""

import os
from functools import partial

import pytest

import zo_dno
from tests.support.fake_ray import DeathError
from tests.support.toys import ToyGenerator
from zo_dno.distributed import generator_actors as generators
from zo_dno.distributed.generator_actors import GeneratorPool
from zo_dno.errors import InputError, RunError

OPTIONS = {"queries": 48, "seed": 1, "strategy_options": {"population": 12}, "top": 2}


class Blocks(ToyGenerator):
    """Renders blocks of 4; ends its process at a block for which `fatal` returns true."""

    batch_size = 4

    def __init__(self, fatal=lambda: False):
        super().__init__()
        self.fatal = fatal

    def __call__(self, z):
        if self.fatal():
            os._exit(1)
        return super().__call__(z)


@pytest.fixture
def pool():
    made = []

    def start(make, actors=2, **options):
        made.append(GeneratorPool(make, actors, **options))
        return made[-1]

    yield start
    for one in made:
        one.close()


def comparable(result):
    return {key: value for key, value in result.to_dict().items() if key not in ("seconds", "model")}


@pytest.fixture(scope="module")
def here():
    return comparable(zo_dno.optimize(Blocks(), "jpeg_smaller", **OPTIONS))


@pytest.mark.parametrize(("actors", "workers"), [(1, 0), (1, 1), (3, 2)])
def test_results_do_not_depend_on_where_images_are_rendered_and_scored(pool, here, fake_ray, actors, workers):
    assert comparable(zo_dno.optimize(pool(Blocks, actors), "jpeg_smaller", workers=workers, **OPTIONS)) == here


@pytest.mark.slow
@pytest.mark.ray
def test_the_built_in_model_renders_the_same_in_an_actor(pool):
    make = partial(zo_dno.DiffusersGenerator.builtin, prompt="mountains at day", steps=2)
    options = {"queries": 16, "seed": 2, "strategy_options": {"population": 8}}
    there = zo_dno.optimize(pool(make, 1, threads=1), "jpeg_smaller", **options)
    assert comparable(there) == comparable(zo_dno.optimize(make(), "jpeg_smaller", threads=1, **options))
    assert there.model == "scenes-128"


def test_only_kept_images_are_fetched_of_actors_of_this_process(pool, here, fake_ray, tmp_path):
    made = pool(Blocks, 1)
    made.probed = True  # the trial before a run fetches its own images
    result = zo_dno.optimize(made, "jpeg_smaller", keep_images=16, out=tmp_path / "run", **OPTIONS)
    assert comparable(result) == here
    kept = len(list((tmp_path / "run" / "images").glob("*.png")))
    assert len(set(fake_ray.fetched)) == kept < result.queries / 2


@pytest.mark.slow
@pytest.mark.ray
def test_processes_do_not_change_the_result_and_only_kept_images_are_fetched(pool, here, tmp_path, monkeypatch):
    """Scored where they are rendered, and by workers. The processes of both runs are the same: each loads torch."""
    fetched, fetch = [], generators._Remote.fetch
    monkeypatch.setattr(generators._Remote, "fetch", lambda self: fetched.append(self.reference) or fetch(self))
    made = pool(Blocks, 2)
    made.probed = True  # the trial before a run fetches its own images
    result = zo_dno.optimize(made, "jpeg_smaller", keep_images=16, out=tmp_path / "run", **OPTIONS)
    kept = len(list((tmp_path / "run" / "images").glob("*.png")))
    assert len(set(fetched)) == kept < result.queries / 2
    assert comparable(result) == here
    assert comparable(zo_dno.optimize(made, "jpeg_smaller", workers=2, **OPTIONS)) == here


@pytest.mark.slow
@pytest.mark.ray
def test_a_generator_that_dies_is_replaced_and_nothing_is_lost(pool, here, tmp_path):
    def once():
        mark = tmp_path / "died"
        died = mark.exists()
        if not died and (tmp_path / "begun").exists():
            mark.touch()
        (tmp_path / "begun").touch()
        return mark.exists() and not died

    assert comparable(zo_dno.optimize(pool(partial(Blocks, once), 1), "jpeg_smaller", **OPTIONS)) == here
    assert (tmp_path / "died").exists()


def dying(at):
    """Return a function for `Blocks` that ends the actor at some of the blocks of all actors, numbered from 0."""
    blocks = []

    def fatal():
        blocks.append(1)
        if at(len(blocks) - 1):
            raise DeathError

    return fatal


def test_a_block_whose_actor_dies_is_rendered_by_another_actor(pool, here, fake_ray):
    deaths = (0, 1, 5)
    assert (
        comparable(zo_dno.optimize(pool(partial(Blocks, dying(deaths.__contains__)), 1), "jpeg_smaller", **OPTIONS))
        == here
    )
    assert len(fake_ray.killed) == len(deaths)


@pytest.mark.usefixtures("fake_ray")
def test_a_block_that_every_actor_dies_of_ends_the_run(pool):
    with pytest.raises(RunError, match=r"images could not be rendered: RayError: The actor died"):
        zo_dno.optimize(pool(partial(Blocks, dying(lambda block: block >= 4))), "jpeg_smaller", **OPTIONS)


@pytest.mark.slow
@pytest.mark.ray
def test_a_generator_that_always_dies_ends_the_run_after_a_few(pool, monkeypatch):
    monkeypatch.setattr(generators, "_TRIES", 2)
    with pytest.raises(RunError, match=r"images could not be rendered: .*(died|die)"):
        zo_dno.optimize(pool(partial(Blocks, lambda: True), 1), "jpeg_smaller", **OPTIONS)


class Wrong(Blocks):
    """Renders floats."""

    def __call__(self, z):
        return super().__call__(z).float()


def test_an_exception_of_an_actor_is_raised_and_the_actor_stays(pool, fake_ray):
    made = pool(Wrong, 1)
    with pytest.raises(InputError, match=r"generator must return 1 images .* got torch.float32"):
        zo_dno.optimize(made, "jpeg_smaller", **OPTIONS)
    assert (made.actors.alive, fake_ray.killed) == (1, [])


@pytest.mark.slow
@pytest.mark.ray
def test_an_exception_of_a_generator_is_raised_by_the_caller(pool):
    with pytest.raises(InputError, match=r"generator must return 1 images .* got torch.float32"):
        zo_dno.optimize(pool(Wrong, 1), "jpeg_smaller", **OPTIONS)


def refused():
    raise InputError("model 'no/such' could not be loaded: it is not there")


@pytest.mark.slow
@pytest.mark.ray
def test_a_model_that_is_not_there_is_named():
    with pytest.raises(InputError, match="model 'no/such' could not be loaded"):
        GeneratorPool(partial(zo_dno.DiffusersGenerator, "no/such", "a prompt"), 1)


def test_no_actor_is_left_of_a_model_that_is_not_there(fake_ray):
    with pytest.raises(InputError, match="^model 'no/such' could not be loaded: it is not there$"):
        GeneratorPool(refused, 2)
    assert len(fake_ray.killed) == 2


def test_bad_number_of_generators():
    with pytest.raises(InputError, match="generators must be at least 1; got 0"):
        GeneratorPool(Blocks, 0)
