"""Capabilities of generators: which protocols a generator meets, also behind a wrapper."""

import inspect

import pytest
import torch

from zo_dno.generators.function_generator import FunctionGenerator
from zo_dno.generators.imported import Imported
from zo_dno.noise.space import NoiseLayout
from zo_dno.types import (
    Batched,
    Described,
    Differentiable,
    Generator,
    HasLatents,
    HasVjp,
    Named,
    Prompted,
    Repromptable,
    batch_size_of,
    capabilities_of,
    model_of,
    prompt_of,
)

CAPABILITIES = (Prompted, Repromptable, Named, Described, Batched, Differentiable, HasVjp, HasLatents)


def grey(z):
    return torch.full((len(z), 3, 8, 8), 0.5)


class Bare:
    layout, nfe = NoiseLayout(((4,),)), 1

    def __call__(self, z):
        return torch.zeros(len(z), 8, 8, 3, dtype=torch.uint8)


class WithVjp(Bare):
    def render(self, z):
        return grey(z)

    def latents(self, z):
        return z

    def vjp(self, z, cotangent):
        return torch.zeros_like(z)


def test_a_bare_generator_has_no_capability_and_defaults_stand_in():
    bare = Bare()
    assert isinstance(bare, Generator)
    assert not [one for one in CAPABILITIES if isinstance(bare, one)]
    assert capabilities_of(bare) == {}
    assert (prompt_of(bare), model_of(bare), batch_size_of(bare)) == ("", "Bare", None)


def test_a_function_generator_has_all_but_a_vjp_and_latents():
    generator = FunctionGenerator(grey, (4,), prompt="a cat", batch_size=2)
    assert [one for one in CAPABILITIES if not isinstance(generator, one)] == [HasVjp, HasLatents]
    assert (prompt_of(generator), model_of(generator), batch_size_of(generator)) == ("a cat", "grey", 2)


@pytest.mark.parametrize(("generator", "able"), [(Bare(), False), (WithVjp(), True)])
def test_an_imported_generator_offers_what_its_generator_can_do(generator, able):
    imported = Imported(generator, "module:name", "a dog", {})
    assert (prompt_of(imported), model_of(imported)) == ("a dog", "module:name")
    assert all(isinstance(imported, one) is able for one in (Differentiable, HasVjp, HasLatents))
    if able:  # Python 3.12 looks attributes up like this, past __getattr__
        assert all(callable(inspect.getattr_static(imported, name)) for name in ("render", "vjp", "latents"))
