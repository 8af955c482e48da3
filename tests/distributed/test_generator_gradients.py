"""Gradients in Ray actors: the same as in this process, also after an actor died."""

import os
import threading
from functools import partial
from typing import ClassVar

import pytest
import torch

import zo_dno
from tests.support.fake_ray import DeathError
from tests.support.toys import SmoothToy, ToyGenerator
from zo_dno.distributed.generator_actors import GeneratorPool
from zo_dno.errors import InputError
from zo_dno.generators.pixels import bytes_of
from zo_dno.rng import stream
from zo_dno.run.make_reward import make_reward
from zo_dno.search.blocks import Blocks
from zo_dno.search.objective import Objective
from zo_dno.search.white_box import Opened
from zo_dno.types import HasVjp, balanced_slices, capabilities_of

OPTIONS = {"strategy": "surrogate", "queries": 32, "seed": 1, "strategy_options": {"renders": 4}}


def nothing():
    pass


class Blocked(SmoothToy):
    """Takes gradients of blocks of 4, and depends on the prompt; calls `before` before each."""

    batch_size = 4
    settings: ClassVar = {"model": "blocked"}

    def __init__(self, before=nothing, prompt="a toy"):
        super().__init__(prompt=prompt)
        self._before = before

    def with_prompt(self, prompt):
        return Blocked(self._before, prompt)

    def __call__(self, z):
        return bytes_of(self.render(z))

    def render(self, z):
        return super().render(z * (1 + len(self.prompt) / 100))

    def vjp(self, z, cotangent):
        self._before()
        return super().vjp(z, cotangent)


def smooth(z):
    return SmoothToy().render(z)


def a_function():
    return zo_dno.FunctionGenerator(smooth, (3, 4, 4), batch_size=4)


def bytes_alone():
    return zo_dno.FunctionGenerator(ToyGenerator(), (3, 4, 4))


def brightest(images):
    return images.square()


@pytest.fixture
def pool():
    made = []

    def start(make, actors=2):
        made.append(GeneratorPool(make, actors))
        return made[-1]

    yield start
    for one in made:
        one.close()


def noise(n):
    return torch.randn(n, 48, generator=stream(3, "noise"))


def comparable(result):
    return {key: value for key, value in result.to_dict().items() if key not in ("seconds", "model")}


def searched(generator, **options):
    result = zo_dno.optimize(generator, "brightness", **OPTIONS | options)
    return comparable(result), [row.value for row in result.history]


def test_a_gradient_is_that_of_this_process(pool, fake_ray):
    z, here = noise(10), Blocked()
    blocks = [here.vjp(z[rows], brightest) for rows in balanced_slices(10, 4)]
    made = pool(Blocked)
    assert torch.equal(made.vjp(z, brightest), torch.cat(blocks))
    assert made.busy > 0
    assert made._busy._count == 0


@pytest.mark.parametrize(
    ("make", "has_vjp", "has_gradient"),
    [(Blocked, True, True), (a_function, False, True), (bytes_alone, False, False)],
)
def test_a_pool_has_a_gradient_where_its_generator_has_one(pool, fake_ray, make, has_vjp, has_gradient):
    made = pool(make)
    for one in (made, made.with_prompt("another")):
        assert isinstance(one, HasVjp) is hasattr(one, "vjp") is ("vjp" in capabilities_of(one)) is has_vjp
    assert made.has_gradient() is has_gradient


def test_a_pool_of_another_prompt_takes_gradients_for_that_prompt(pool, fake_ray):
    made, z = pool(Blocked), noise(4)
    other = made.with_prompt("a longer prompt")
    assert torch.equal(other.vjp(z, brightest), Blocked(prompt="a longer prompt").vjp(z, brightest))
    assert torch.equal(made.vjp(z, brightest), Blocked().vjp(z, brightest))
    assert not torch.equal(made.vjp(z, brightest), other.vjp(z, brightest))


def test_blocks_end_where_they_do_in_this_process(pool, fake_ray):
    sizes, z = [], noise(10)

    class Counted(Blocked):
        def __call__(self, z):
            sizes.append(len(z))
            return super().__call__(z)

        def vjp(self, z, cotangent):
            sizes.append(len(z))
            return super().vjp(z, cotangent)

    def opened(generator):
        return Opened(generator, make_reward("brightness"), Objective(generator.layout), Blocks(4, ends=(5,)))

    there, here = opened(pool(Counted)), opened(Blocked())
    rounded = (here.render(z) * 255).round() / 255
    assert torch.equal(there.render(z), rounded)
    assert torch.equal(there.vjp(z, brightest), here.vjp(z, brightest))
    assert sizes == 2 * [2, 3, 2, 3]
    assert there.images == here.images == 20


@pytest.mark.parametrize("make", [Blocked, a_function])
def test_a_search_by_a_surrogate_does_not_depend_on_where_gradients_are_taken(pool, fake_ray, make):
    there, here = (one.with_prompt("another prompt") for one in (pool(make), make()))
    assert searched(there) == searched(here)


@pytest.mark.slow
@pytest.mark.ray
def test_a_search_by_a_surrogate_does_not_depend_on_the_processes(pool):
    """And a function that cannot be sent to them is named."""
    made, lock = pool(Blocked), threading.Lock()
    assert searched(made) == searched(Blocked())

    def locked(images):
        with lock:
            return images

    with pytest.raises(InputError, match=r"cotangent must be a function that can be pickled"):
        made.vjp(noise(4), locked)


@pytest.mark.slow
@pytest.mark.ray
def test_a_function_is_climbed_the_same_in_an_actor(pool):
    assert searched(pool(a_function, 1)) == searched(a_function())


@pytest.mark.slow
@pytest.mark.ray
def test_the_built_in_model_is_climbed_the_same_in_an_actor(pool):
    make = partial(zo_dno.DiffusersGenerator.builtin, "mountains at day", model="scenes-64", steps=2, batch_size=3)
    few = {"population": 4, "first": 4, "renders": 3, "inner": "gradient"}
    options = {"queries": 8, "strategy_options": few}
    assert searched(pool(make, 1), **options) == searched(make(), **options)


def test_a_run_that_climbs_is_resumed_with_generators_elsewhere(pool, fake_ray, tmp_path):
    options = {"strategy": "auto", "policy": {"price": 0.01}, "horizon": 32, "strategy_options": {}}
    whole = searched(pool(Blocked), **options)
    zo_dno.optimize(Blocked(), "brightness", **OPTIONS | options | {"queries": 20, "out": tmp_path / "run"})
    resumed = zo_dno.resume(tmp_path / "run", queries=32, generator=pool(Blocked))
    assert resumed.chosen.startswith("surrogate")
    assert [row.value for row in resumed.history] == whole[1]


def dying(at):
    """Return a function that ends its actor at some of the blocks of all actors, numbered from 0."""
    blocks = []

    def before():
        blocks.append(1)
        if at(len(blocks) - 1):
            raise DeathError

    return before


def test_a_block_whose_actor_dies_has_its_gradient_taken_by_another_actor(pool, fake_ray):
    deaths = (0, 1, 7)
    assert searched(pool(partial(Blocked, dying(deaths.__contains__)))) == searched(Blocked())
    assert len(fake_ray.killed) == len(deaths)


@pytest.mark.slow
@pytest.mark.ray
def test_an_actor_that_dies_of_a_gradient_is_replaced_and_nothing_is_lost(pool, tmp_path):
    def once():
        try:
            (tmp_path / "died").mkdir()
        except FileExistsError:
            return
        os._exit(1)

    assert searched(pool(partial(Blocked, once), 1)) == searched(Blocked())
    assert (tmp_path / "died").exists()


def warnings_of(caplog):
    return [record.getMessage() for record in caplog.records if record.name == "zo_dno.strategies.surrogate"]


def test_where_every_gradient_kills_its_actor_the_search_continues_by_images(pool, fake_ray, caplog):
    made = pool(partial(Blocked, dying(lambda block: True)))
    assert len(searched(made)[1]) == 32
    (warning,) = warnings_of(caplog)
    assert warning.startswith("the search continues without gradients: gradients could not be computed: RayError: The")


def no_memory():
    raise InputError("memory does not suffice for batch_size 4. Set a smaller batch_size than 4, or 'auto'")


def test_an_error_of_a_gradient_is_the_same_as_in_this_process(pool, fake_ray, caplog):
    make = partial(Blocked, no_memory)
    with pytest.raises(InputError, match="^memory does not suffice for batch_size 4"):
        pool(make).vjp(noise(4), brightest)
    assert searched(pool(make)) == searched(make())
    there, here = warnings_of(caplog)
    assert there == here
    assert fake_ray.killed == []


def test_a_function_that_cannot_be_sent_is_named(pool, fake_ray, monkeypatch):
    made = pool(Blocked)

    def put(value):
        raise TypeError("cannot pickle '_thread.lock' object")

    monkeypatch.setattr(fake_ray, "put", put)
    with pytest.raises(InputError, match=r"cotangent must be a function that can be pickled.*got .*_thread.lock"):
        made.vjp(noise(4), brightest)
