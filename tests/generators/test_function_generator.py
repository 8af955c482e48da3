"""Plain functions as generators: shapes, batches, images that are missing, and models that a config names."""

import textwrap

import numpy as np
import pytest
import torch

import zo_dno
from tests.support import fake_ray
from zo_dno.errors import InputError
from zo_dno.generators.pixels import NoImageError
from zo_dno.run.config import validated
from zo_dno.run.make_generator import generator_from, load_model

SHAPE = (3, 4, 4)


def floats(z):
    """Draw 8x8 images of floats."""
    return torch.nn.functional.interpolate(z.reshape(-1, *SHAPE), scale_factor=2).sigmoid()


def with_words(z, prompt):
    """Draw the length of the prompt into every pixel."""
    return torch.full((len(z), 8, 8, 3), len(prompt), dtype=torch.uint8)


@pytest.fixture
def my_models(tmp_path, monkeypatch):
    (tmp_path / "my_models.py").write_text(
        textwrap.dedent("""
            import torch
            import zo_dno
            from zo_dno.noise.space import NoiseLayout

            def floats(z):
                return z.reshape(-1, 3, 4, 4).sigmoid()
            floats.shape = (48,)

            def shapeless(z):
                return floats(z)

            def words(z, prompt):
                return torch.full((len(z), 8, 8, 3), len(prompt), dtype=torch.uint8)
            words.shape = (4,)

            made = zo_dno.FunctionGenerator(words, (4,), batch_size=2)
            number = 3

            class Painter:
                nfe = 1
                def __init__(self, prompt, d=4):
                    self.prompt, self.layout = prompt, NoiseLayout(((d,),))
                def __call__(self, z):
                    return words(z, self.prompt)

            class Nothing:
                pass
        """)
    )
    monkeypatch.syspath_prepend(tmp_path)


def test_floats_become_bytes_and_keep_their_gradient():
    generator = zo_dno.FunctionGenerator(floats, SHAPE)
    z = torch.randn(5, 48, requires_grad=True)
    images, render_floats = generator(z.detach()), generator.render(z)
    assert images.dtype == torch.uint8
    assert images.shape == (5, 8, 8, 3)
    assert torch.equal(images, (render_floats.detach() * 255).round().to(torch.uint8).permute(0, 2, 3, 1))
    render_floats.sum().backward()
    assert bool((z.grad != 0).all())


def test_a_function_with_two_parameters_is_told_the_prompt():
    generator = zo_dno.FunctionGenerator(with_words, (4,), prompt="sea")
    assert int(generator(torch.randn(2, 4)).max()) == 3
    assert int(generator.with_prompt("seaside")(torch.randn(2, 4)).max()) == 7


def test_calls_have_at_most_the_batch_size_and_no_row_is_rendered_in_vain():
    sizes = []

    def counted(z):
        sizes.append(len(z))
        return floats(z)

    generator = zo_dno.FunctionGenerator(counted, SHAPE, batch_size=4)
    z = torch.randn(9, 48)
    assert torch.equal(generator(z), zo_dno.FunctionGenerator(floats, SHAPE)(z))
    assert sizes == [3, 3, 3]


def test_several_draws_follow_each_other():
    generator = zo_dno.FunctionGenerator(floats, [(3, 4, 2), (3, 4, 2)])
    assert generator.layout.shapes == ((3, 4, 2), (3, 4, 2))
    assert generator.layout.d == 48


@pytest.mark.parametrize(
    "shape", [(), (0,), (3, -1), [(3, 4), ()], (2.0, 3), 512, None, "512", ["34", "5"], {"d": 4}, (True,)]
)
def test_a_shape_that_is_none_is_refused(shape):
    with pytest.raises(InputError, match="shape must be sizes of at least 1"):
        zo_dno.FunctionGenerator(floats, shape)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nfe": "two"}, "nfe must be a whole number of at least 1; got 'two'"),
        ({"nfe": 1.5}, "nfe must be a whole number of at least 1; got 1.5"),
        ({"nfe": None}, "nfe must be a whole number of at least 1; got None"),
        ({"batch_size": "auto"}, "batch_size must be a whole number of at least 1; got 'auto'"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1; got 0"),
    ],
)
def test_a_number_that_is_none_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        zo_dno.FunctionGenerator(floats, SHAPE, **options)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, r"returned must give images as \(n, H, W, 3\) of .*; got NoneType\. Is a return statement missing\?$"),
        ([1], "; got list\\. Stack them, as by torch.stack, where all have one size\\.$"),
        (np.array(["a", "b"]), r"; got ndarray of <U1\.$"),
        (torch.tensor(3.0), r"must give an image for each of 2 rows; got \(\)\.$"),
        (torch.zeros(1, 3, 8, 8), r"must give an image for each of 2 rows; got \(1, 3, 8, 8\)\.$"),
    ],
)
def test_a_function_that_gives_no_images_is_refused(returned, message):
    generator = zo_dno.FunctionGenerator(lambda z: returned, SHAPE)
    generator.model = "returned"
    for render in (generator, generator.render):
        with pytest.raises(InputError, match=message):
            render(torch.randn(2, 48))


@pytest.mark.parametrize(
    ("workers", "real"),
    [(0, False), (1, False), pytest.param(1, True, marks=[pytest.mark.ray, pytest.mark.slow])],
    ids=["here", "stand-in", "Ray"],
)
def test_candidates_without_an_image_are_missing_and_the_others_are_scored(workers, real, tmp_path, monkeypatch):
    if workers and not real:
        fake_ray.put_in_place(monkeypatch)

    def breaks(z):
        images = floats(z)
        images[z[:, 0] > 0] = torch.nan
        return images

    generator = zo_dno.FunctionGenerator(breaks, SHAPE)
    folder = tmp_path / "run"
    result = zo_dno.optimize(generator, "brightness", "random_search", queries=32, workers=workers, out=folder)
    missing = [query for query in result.history if query.value is None]
    assert 5 < len(missing) < 27
    assert {query.error for query in missing} == {"it is not made of numbers (NaN)"}
    assert {query.attempts for query in missing} == {0}
    assert result.best.z[0] <= 0


def test_images_beside_a_missing_one_come_to_the_cpu():
    class OnAnotherDevice(torch.Tensor):
        def cpu(self, *args, **options):
            return self.as_subclass(torch.Tensor)

    def breaks(z):
        images = torch.zeros(len(z), 8, 8, 3, dtype=torch.uint8).as_subclass(OnAnotherDevice)
        raise NoImageError({0: "it is blank"}, images)

    with pytest.raises(NoImageError, match="row 0: it is blank") as raised:
        zo_dno.FunctionGenerator(breaks, (4,))(torch.randn(2, 4))
    assert type(raised.value.images) is torch.Tensor


def test_a_run_in_which_no_candidate_has_an_image_says_why():
    generator = zo_dno.FunctionGenerator(lambda z: floats(z) * torch.nan, SHAPE)
    with pytest.raises(zo_dno.ZoDnoError, match="not made of numbers"):
        zo_dno.optimize(generator, "brightness", "random_search", queries=16)


def test_memory_that_runs_out_is_named_with_a_remedy():
    def too_large(z):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    generator = zo_dno.FunctionGenerator(too_large, SHAPE, batch_size=8)
    with pytest.raises(InputError, match=r"memory does not suffice for batch_size 8\. Set a smaller batch_size than 8"):
        zo_dno.optimize(generator, "brightness", queries=16)


@pytest.mark.parametrize(
    ("name", "options", "d", "value"),
    [
        ("floats", {}, 48, None),
        ("shapeless", {"shape": [48]}, 48, None),
        ("words", {}, 4, 3),
        ("made", {}, 4, 3),
        ("Painter", {"d": 6}, 6, 3),
    ],
)
def test_a_config_names_functions_generators_and_classes(my_models, name, options, d, value):
    config = validated({"model": f"my_models:{name}", "prompt": "sea", "generator_options": options})
    generator = load_model(config)
    images = generator(torch.randn(2, d))
    assert generator.layout.d == d
    assert value is None or int(images.min()) == int(images.max()) == value
    again = generator_from(generator.settings)
    assert again.layout.d == d
    assert again.settings == generator.settings


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("nobody", {}, "nobody"),
        ("shapeless", {}, r"shapeless must have a shape of noise: set shapeless.shape"),
        ("floats", {"size": 3}, "generator option 'size' is unknown"),
        ("made", {"nfe": 2}, "takes no options; got nfe"),
        ("number", {}, "must be a function z -> images, or have layout, nfe and a call z -> images; got 3"),
        ("Nothing", {}, "or have layout, nfe and a call"),
    ],
)
def test_what_is_no_generator_is_refused(my_models, name, options, message):
    config = validated({"model": f"my_models:{name}", "prompt": "sea", "generator_options": options})
    with pytest.raises(InputError, match=message):
        load_model(config)


@pytest.mark.parametrize(("option", "value"), [("steps", 3), ("guidance", 2.0), ("dtype", "float16")])
def test_options_of_pipelines_are_refused(my_models, option, value):
    with pytest.raises(InputError, match=f"{option} is for diffusers pipelines"):
        load_model(validated({"model": "my_models:floats", "prompt": "sea", option: value}))


def test_a_run_of_a_named_function_is_gone_on_with(my_models, tmp_path):
    generator = load_model(validated({"model": "my_models:floats", "prompt": "sea"}))
    first = zo_dno.optimize(generator, "brightness", queries=32, seed=1, out=tmp_path / "run")
    more = zo_dno.resume(tmp_path / "run", queries=64)
    at_once = zo_dno.optimize(generator, "brightness", queries=64, seed=1)
    assert [query.value for query in more.history][:32] == [query.value for query in first.history]
    assert more.best.reward >= first.best.reward
    assert at_once.best.reward >= first.best.reward
