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


def unconditional(z):
    return ToyGenerator()(z)


unconditional.shape = (3, 4, 4)  # type: ignore[attr-defined]


def mode(z, noise: str = "const"):
    """Draw an image whose brightness says which option was given."""
    return torch.full((len(z), 8, 8, 3), len(noise), dtype=torch.uint8)


mode.shape, mode.batch_size = (4,), 3  # type: ignore[attr-defined]


def with_words(z, size=8, prompt="none"):
    return torch.full((len(z), size, size, 3), len(prompt), dtype=torch.uint8)


with_words.shape = (4,)  # type: ignore[attr-defined]


def make_mode(noise="const"):
    return zo_dno.FunctionGenerator(mode, (4,), options={"noise": noise})


def make_for(prompt, size: int = 8):
    return zo_dno.FunctionGenerator(with_words, (4,), prompt=prompt, options={"size": size})


def make_function():
    return unconditional


class Subclass(zo_dno.FunctionGenerator):
    def __init__(self, level: int = 3, **options):
        super().__init__(lambda z: torch.full((len(z), 8, 8, 3), level, dtype=torch.uint8), (4,), **options)


class Unfinished(zo_dno.FunctionGenerator):
    def __init__(self, **options):
        super().__init__(**options)


def named(name, prompt=None, batch_size=None, **options):
    return imported_generator(f"{__name__}:{name}", prompt, batch_size, options)


def level(generator):
    return int(generator(torch.randn(2, generator.layout.d))[1].max())


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("mode", {}, len("const")),
        ("mode", {"noise": "random"}, len("random")),
        ("make_mode", {"noise": "random"}, len("random")),
        ("make_mode", {}, len("const")),
        ("Subclass", {"level": "7"}, 7),
        ("Subclass", {"level": 7, "nfe": 2}, 7),
    ],
)
def test_functions_factories_and_subclasses_take_options(name, options, expected):
    generator = named(name, "a long prompt that no option takes", **options)
    assert level(generator) == expected
    assert generator.settings["generator_options"] == options
    assert generator.nfe == options.get("nfe", 1)


def test_a_prompt_goes_to_a_parameter_of_that_name_or_without_a_default():
    assert level(named("with_words", "a cat")) == level(named("make_for", "a cat")) == len("a cat")
    small = named("make_for", "a cat", size="4")
    assert small(torch.randn(1, 4)).shape == (1, 4, 4, 3)
    assert level(small.with_prompt("a large cat")) == len("a large cat")


def test_a_factory_may_make_a_function():
    assert named("make_function").layout.d == 48


@pytest.mark.parametrize("name", ["unconditional", "mode", "make_mode", "Subclass"])
def test_a_model_without_a_prompt_needs_none(name):
    assert prompt_of(named(name)) == ""


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("with_words", {}, "prompt is missing; with_words takes one. Give prompt=... in Python, --prompt, or write it"),
        ("make_for", {}, r"prompt is missing; .*:make_for takes one. Give --prompt or write it into the config file"),
        ("mode", {"nose": "random"}, r"generator option 'nose' is unknown. Did you mean 'noise'\?"),
        ("make_mode", {"nose": "random"}, r"make_mode option 'nose' is unknown. Did you mean 'noise'\?"),
        ("Subclass", {"level": "high"}, r"Subclass option 'level' does not fit: .*; got 'high'"),
        ("Unfinished", {}, r"Unfinished' could not be made: TypeError: .*missing.*\(test_imported.py, line \d+\)"),
    ],
)
def test_what_is_missing_or_unknown_is_one_line(name, options, message):
    with pytest.raises(InputError, match=message) as raised:
        named(name, **options)
    assert "\n" not in str(raised.value)


def test_a_batch_size_is_the_functions_own_or_the_one_that_is_given():
    assert named("mode").batch_size == 3
    assert named("mode", None, 2).batch_size == named("Subclass", None, 2).batch_size == 2
    assert named("make_mode").with_prompt("sea").settings["prompt"] == "sea"
    with pytest.raises(InputError, match="batch_size must be left to .*:Painter, which has None; got 2"):
        named("Painter", "", 2)


def test_a_subclass_stays_one_with_another_prompt_or_batch_size():
    made = Subclass(level=5).with_prompt("sea", 4)
    assert isinstance(made, Subclass)
    assert (made.prompt, made.batch_size, level(made)) == ("sea", 4, 5)


def make_pipeline():
    return PIPELINES[0]


PIPELINES: list[object] = []


def test_a_factory_may_make_a_pipeline_or_its_generator(stable_diffusion):
    PIPELINES[:] = [stable_diffusion]
    with pytest.raises(InputError, match="prompt must be given with a StableDiffusionPipeline"):
        named("make_pipeline")
    ready = zo_dno.DiffusersGenerator(stable_diffusion, "a cat", steps=1, guidance_scale=1)
    PIPELINES[:] = [ready]
    generator = named("make_pipeline", "a dog")
    z = torch.randn(1, generator.layout.d)
    assert torch.equal(generator(z), ready.with_prompt("a dog")(z))
    assert generator.settings["prompt"] == "a dog"
