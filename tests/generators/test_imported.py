"""Generators that a config names: the prompt that they render is the one that rewards are told."""

import sys
import types

import pytest
import torch

import zo_dno
from tests.support.toys import ToyGenerator, prompted
from zo_dno.errors import InputError
from zo_dno.generators.imported import imported_generator
from zo_dno.types import prompt_of

Z = torch.randn(2, 48, generator=torch.Generator().manual_seed(1))


class Painter(ToyGenerator):
    """Draws the length of its prompt into every pixel."""

    def __init__(self, prompt=""):
        super().__init__(prompt=prompt)

    def with_prompt(self, prompt):
        return Painter(prompt)

    def __call__(self, z):
        return torch.full((len(z), 8, 8, 3), len(self.prompt), dtype=torch.uint8)


class Bare:
    """Names no prompt."""

    layout, nfe = ToyGenerator().layout, 1

    def __call__(self, z):
        return ToyGenerator()(z)


class OfDogs(Bare):
    """Renders one prompt."""

    prompt = "a dog"


@pytest.fixture
def models(monkeypatch):
    found = types.ModuleType("my_models")
    found.painter, found.of_dogs, found.bare = Painter("a dog"), OfDogs(), Bare()
    found.function = zo_dno.FunctionGenerator(prompted, (3, 4, 4), prompt="a dog")
    found.Painter, found.OfDogs = Painter, OfDogs
    monkeypatch.setitem(sys.modules, "my_models", found)
    return found


def made(name, prompt, options=None):
    return imported_generator(f"my_models:{name}", prompt, None, options or {})


@pytest.mark.parametrize("name", ["painter", "Painter"])
def test_a_generator_renders_the_prompt_that_rewards_are_told(models, name):
    generator = made(name, "a large cat")
    assert int(generator(Z).max()) == len("a large cat")
    assert prompt_of(generator) == generator.settings["prompt"] == "a large cat"


@pytest.mark.parametrize("name", ["painter", "function"])
def test_without_a_prompt_a_generator_keeps_its_own(models, name):
    generator = made(name, "")
    assert torch.equal(generator(Z), getattr(models, name)(Z))
    assert prompt_of(generator) == "a dog"


@pytest.mark.parametrize("name", ["of_dogs", "OfDogs"])
def test_a_generator_of_one_other_prompt_is_refused(models, name):
    assert prompt_of(made(name, "a dog")) == prompt_of(made(name, "")) == "a dog"
    with pytest.raises(InputError, match=r"prompt must be 'a dog', which model .*no with_prompt.*got 'a cat'"):
        made(name, "a cat")


def test_a_generator_that_names_no_prompt_takes_any(models):
    assert prompt_of(made("bare", "a cat")) == "a cat"


def test_a_prompt_among_the_options_of_a_class_is_given_once(models):
    assert prompt_of(made("Painter", "", {"prompt": "a cat"})) == "a cat"
    with pytest.raises(InputError, match="prompt must be given once; got 'a dog', and 'a cat' as an option"):
        made("Painter", "a dog", {"prompt": "a cat"})
