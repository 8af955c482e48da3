"""The trial of a generator before anything is spent: noise alone decides its images."""

from functools import partial

import pytest
import torch

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.run.probe import check_generator

SHAPE = (3, 4, 4)


def draw(z):
    return z.reshape(-1, *SHAPE).sigmoid()


def with_dropout(z):
    return torch.nn.functional.dropout(draw(z), 0.2).clamp(0, 1)


def with_noise_of_its_own(z):
    return (draw(z) + 0.01 * torch.randn(len(z), *SHAPE)).clamp(0, 1)


def seeded_by_row(z):
    return (draw(z) + 0.1 * torch.randn(len(z), *SHAPE, generator=torch.Generator().manual_seed(1))).clamp(0, 1)


def of_a_batch(z):
    images = z.reshape(-1, *SHAPE)
    return ((images - images.mean()) / images.std()).sigmoid()


class Counting:
    """Returns another image at each call."""

    def __init__(self):
        self.calls = 0

    def __call__(self, z):
        self.calls += 1
        return draw(z) * (self.calls % 2)


TWICE = "must render the same image from the same noise; candidate 0, rendered twice, differs by"
PLACE = "must render an image from its own noise alone; candidate 0 differs by"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (with_dropout, f"generator with_dropout {TWICE}"),
        (with_noise_of_its_own, f"generator with_noise_of_its_own {TWICE}"),
        (seeded_by_row, f"generator seeded_by_row {PLACE}"),
        (of_a_batch, f"generator of_a_batch {PLACE}"),
    ],
)
def test_what_is_random_or_depends_on_others_is_refused_before_a_query(function, message, tmp_path):
    asked = []
    with pytest.raises(InputError, match=message) as raised:
        zo_dno.optimize(
            zo_dno.FunctionGenerator(function, SHAPE), lambda images: asked.append(1) or [0.0], out=tmp_path / "run"
        )
    assert "\n" not in str(raised.value)
    assert not asked
    assert not (tmp_path / "run").exists()


def test_rounding_by_the_size_of_a_batch_passes():
    def rounds(z):
        return (draw(z) + 1e-3 * len(z)).clamp(0, 1)

    generator = zo_dno.FunctionGenerator(rounds, SHAPE)
    check_generator(generator, torch.randn(48), 0)
    assert generator.probed


def test_rounding_of_the_same_noise_is_warned_of(caplog):
    calls = []

    def rounds(z):
        calls.append(1)
        return (draw(z) + 4e-4 * len(calls)).clamp(0, 1)

    check_generator(zo_dno.FunctionGenerator(rounds, SHAPE), torch.randn(48), 0)
    assert "cannot be resumed exactly" in caplog.text


def test_arrays_that_are_random_are_refused_although_their_pictures_are_not():
    def function(z):
        return torch.rand(len(z), 4, 4)

    generator = zo_dno.FunctionGenerator(function, SHAPE, to_image=lambda arrays: torch.zeros(len(arrays), 3, 4, 4))
    with pytest.raises(InputError, match=TWICE):
        check_generator(generator, torch.randn(48), 0)


def test_a_candidate_is_rendered_three_times_and_once_a_generator():
    rows = []

    def counted(z):
        rows.append(len(z))
        return draw(z)

    generator = zo_dno.FunctionGenerator(counted, SHAPE)
    check = partial(check_generator, generator, torch.randn(48), 0)
    check()
    assert rows == [1, 2]
    check()
    assert rows == [1, 2]


def test_a_pipeline_was_probed_when_it_was_made(stable_diffusion):
    generator = zo_dno.DiffusersGenerator(stable_diffusion, "a cat", steps=1, guidance_scale=1)
    rendered = []
    generator._call = lambda n: rendered.append(n)
    check_generator(generator, torch.randn(generator.layout.d), 0)
    assert not rendered


def test_an_error_of_the_function_is_one_line_that_says_where():
    def broken(z):
        return draw(z) / int("no number")

    with pytest.raises(
        InputError,
        match=r"generator broken could not render 1 rows of z of shape \(1, 48\): ValueError: .*test_probe.py, line",
    ) as raised:
        zo_dno.optimize(zo_dno.FunctionGenerator(broken, SHAPE), "brightness")
    assert "\n" not in str(raised.value)
    assert isinstance(raised.value.__cause__, ValueError)


def test_images_of_several_sizes_are_refused():
    def grows(z):
        return torch.zeros(len(z), 3, 4 * len(z), 4)

    with pytest.raises(InputError, match=r"grows must give images of one size; got \(8, 4\) after \(4, 4\)"):
        zo_dno.optimize(zo_dno.FunctionGenerator(grows, SHAPE), "brightness")


def test_a_resumed_run_renders_no_trial(tmp_path):
    zo_dno.optimize(zo_dno.FunctionGenerator(draw, SHAPE), "brightness", queries=16, out=tmp_path / "run")
    rows = []

    def draw_again(z):
        rows.append(len(z))
        return draw(z)

    draw_again.__module__, draw_again.__qualname__ = draw.__module__, draw.__qualname__
    zo_dno.resume(tmp_path / "run", generator=zo_dno.FunctionGenerator(draw_again, SHAPE), queries=32)
    assert 1 not in rows


def test_a_generator_of_ones_own_is_tried_too():
    class Random(ToyGenerator):
        def __call__(self, z):
            return torch.randint(0, 255, (len(z), 8, 8, 3), dtype=torch.uint8)

    with pytest.raises(InputError, match=f"generator toy {TWICE}"):
        zo_dno.optimize(Random(), "brightness")
