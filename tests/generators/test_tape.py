"""What cannot be replayed, or is no image, is refused with one clear line; what a family needs passes through."""

import importlib.machinery
import inspect
import logging
import sys
import types

import pytest
import torch
from PIL import Image
from torch.overrides import _get_current_function_mode

from tests.support.zoo import families, more_families
from tests.support.zoo.families import MASK, PICTURE
from tests.support.zoo.schedulers import SCHEDULERS
from zo_dno.errors import InputError
from zo_dno.generators.diffusers_generator import DiffusersGenerator
from zo_dno.generators.tape import TapeError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # diffusers'
STEPS = 2


def make(pipeline, **options):
    return DiffusersGenerator(pipeline, "a cat", **{"steps": STEPS, "batch_size": 3, **options})


def tiny(scheduler="DDIM", **options):
    return families.stable_diffusion(SCHEDULERS[scheduler]("epsilon"), **options)


def test_brownian_trees_are_refused_by_name(monkeypatch):
    """The real scheduler, on a stand-in for the library that it draws from: it is refused before it draws."""
    library = types.ModuleType("torchsde")
    library.__spec__ = importlib.machinery.ModuleSpec("torchsde", None)
    monkeypatch.setitem(sys.modules, "torchsde", library)
    from diffusers.schedulers.scheduling_dpmsolver_sde import DPMSolverSDEScheduler

    pipeline = tiny()
    pipeline.scheduler = DPMSolverSDEScheduler()
    with pytest.raises(TapeError, match=r"DPMSolverSDEScheduler draws from a Brownian tree.*sde-dpmsolver\+\+"):
        make(pipeline)


def test_a_pipeline_without_a_denoiser_is_refused():
    pipeline = tiny()
    del pipeline.unet
    with pytest.raises(TapeError, match="has no unet, transformer"):
        make(pipeline)


def test_a_pipeline_that_draws_nothing_is_refused():
    pipeline = tiny()
    pipeline.prepare_latents = lambda n, *_args: torch.ones(n, 4, 4, 4)
    with pytest.raises(TapeError, match="draws no noise, so there is nothing to search"):
        make(pipeline)


def test_a_pipeline_whose_noise_is_all_in_its_steps_is_told_from_one_that_draws_nothing():
    pipeline = tiny("Euler ancestral")
    pipeline.prepare_latents = lambda n, *_args: torch.ones(n, 4, 4, 4)
    with pytest.raises(TapeError, match="Try search='all'"):
        make(pipeline)
    assert make(pipeline, search="all").layout.shapes == ((4, 4, 4),)


def test_draws_that_depend_on_the_number_of_images_otherwise_are_refused():
    pipeline = tiny()
    pipeline.prepare_latents = lambda n, *_args: torch.randn(4, n, 4, 4).transpose(0, 1)
    with pytest.raises(TapeError, match=r"without a batch axis \(\(4, 1, 4, 4\) and \(4, 2, 4, 4\)\)"):
        make(pipeline)


def test_candidates_that_mix_are_refused():
    pipeline = tiny()
    prepare = pipeline.prepare_latents
    pipeline.prepare_latents = lambda *args: (x := prepare(*args)) + x.mean(0, keepdim=True)
    with pytest.raises(TapeError, match="mixes the noise of the images of a batch"):
        make(pipeline)


def test_rows_that_are_mixed_up_are_refused():
    """A draw of two rows a candidate in the order of neither: first all first rows, then all second ones."""
    pipeline = tiny()
    pipeline.prepare_latents = lambda n, *_args: torch.randn(2 * n, 4, 4, 4).view(2, n, 4, 4, 4).sum(0)
    with pytest.raises(TapeError, match="mixes the noise"):
        make(pipeline)


def test_several_rows_of_a_candidate_are_its_own():
    pipeline = tiny()
    pipeline.prepare_latents = lambda n, *_args: torch.randn(2 * n, 4, 4, 4).view(n, 2, 4, 4, 4).sum(1) / 2**0.5
    generator = make(pipeline)
    assert generator.layout.shapes == ((2, 4, 4, 4),)
    z = torch.randn(4, generator.layout.d)
    one, two = generator.draws(z)[0].unbind(1)
    swapped = torch.stack([two, one], 1).flatten(1)
    assert torch.equal(generator(swapped), generator(z))
    assert torch.equal(generator(z[2:3])[0], generator(z)[2])


@pytest.mark.parametrize("more", [1, -1])
def test_a_number_of_draws_that_changes_is_found(more):
    pipeline = tiny("Euler ancestral")
    generator = make(pipeline, search="all", steps=3)
    generator._played.call._arguments["num_inference_steps"] += more
    with pytest.raises(TapeError, match=r"The pipeline's draws changed: there were 4"):
        generator(torch.randn(2, generator.layout.d))


@pytest.mark.parametrize(
    ("output", "got"),
    [
        (torch.zeros(3, 16000), r"numbers of shape \(3, 16000\)"),
        (torch.zeros(3, 4, 8, 8), r"numbers of shape \(3, 4, 8, 8\)"),
        (["a", "b", "c"], "got list"),
        (torch.zeros(3, 3, 8, 8, dtype=torch.int64), "got Tensor"),
        (None, "got NoneType"),
    ],
)
def test_outputs_that_are_no_images_are_refused(output, got):
    from zo_dno.generators.pipeline_call import images_of

    with pytest.raises(InputError, match=f"AudioPipeline must give 3 images; .*{got}.*FunctionGenerator"):
        images_of(output, 3, 4, "AudioPipeline")


def test_a_pipeline_that_gives_no_images_is_refused_when_it_is_taken():
    pipeline = tiny()
    pipeline.image_processor.postprocess = lambda image, **_: image.flatten(1)
    with pytest.raises(InputError, match=r"must give 1 image; got numbers of shape \(1, 192\)"):
        make(pipeline)


def test_a_pipeline_whose_tensors_and_arrays_differ_is_refused():
    pipeline = tiny()
    postprocess = pipeline.image_processor.postprocess

    def odd(image, output_type, **given):
        return postprocess(image if output_type == "np" else image.flip(2), output_type, **given)

    pipeline.image_processor.postprocess = odd
    with pytest.raises(InputError, match="renders other images as tensors than as arrays"):
        make(pipeline)


def test_every_kind_of_output_is_read_alike():
    from zo_dno.generators.pipeline_call import images_of

    images = (torch.rand(2, 3, 4, 5) * 255).round() / 255
    array = images.movedim(1, -1).numpy()
    pictures = [Image.fromarray((one * 255).round().astype("uint8")) for one in array]
    for output in (images, array, pictures, list(images)):
        torch.testing.assert_close(images_of(output, 2, 4, ""), images)
    assert torch.equal(images_of(images[:, :1], 2, 4, ""), images[:, :1].expand(-1, 3, -1, -1))
    video = torch.rand(2, 9, 3, 4, 5)
    assert torch.equal(images_of(video, 2, 3, ""), torch.cat([video[:, 0], video[:, 4], video[:, 8]], 3))


@pytest.mark.parametrize("name", ["generator", "output_type", "return_dict", "num_images_per_prompt"])
def test_what_is_not_the_callers_to_set_is_named(name):
    with pytest.raises(InputError, match=f"{name} must not be given"):
        make(tiny(), **{name: 1})


def test_a_safety_checker_is_not_run_and_that_is_said(caplog):
    pipeline = tiny()
    z = torch.randn(2, 64)
    expected = make(pipeline)(z)

    def checker(*_args, **_kwargs):
        raise AssertionError("run")

    vars(pipeline)["safety_checker"] = checker
    with caplog.at_level(logging.WARNING):
        generator = make(pipeline)
    assert "safety checker of StableDiffusionPipeline is not run" in caplog.text
    assert torch.equal(generator(z), expected)
    assert pipeline.safety_checker is checker


def test_images_may_be_files(tmp_path):
    PICTURE.save(tmp_path / "picture.png")
    MASK.convert("RGB").save(tmp_path / "mask.png")
    pipeline = tiny(kind="StableDiffusionInpaintPipeline")
    size = {"height": 8, "width": 8}
    by_file = make(pipeline, image=tmp_path / "picture.png", mask_image=str(tmp_path / "mask.png"), **size)
    by_object = make(pipeline, image=PICTURE, mask_image=MASK, **size)
    z = torch.randn(2, by_file.layout.d)
    assert torch.equal(by_file(z), by_object(z))
    assert by_file.settings["generator_options"] == size | {
        "image": str(tmp_path / "picture.png"),
        "mask_image": str(tmp_path / "mask.png"),
    }
    kept = by_object.settings["generator_options"]
    with pytest.raises(InputError, match=r"image was given as a Python object.*resume\(run, generator=\.\.\.\)"):
        make(pipeline, **kept)
    with pytest.raises(InputError, match="image must be an image file"):
        make(pipeline, image="nowhere.png", mask_image=MASK)


def test_another_image_is_another_setting():
    pipeline = tiny(kind="StableDiffusionImg2ImgPipeline")
    one, other = (make(pipeline, image=image, strength=1.0) for image in (PICTURE, PICTURE.rotate(90)))
    assert one.settings != other.settings
    assert one.settings == make(pipeline, image=PICTURE.copy(), strength=1.0).settings


def test_shared_draws_are_the_seeds():
    """The noise of an encoded image is drawn once for all candidates; it is not searched."""
    pipeline = tiny(kind="StableDiffusionImg2ImgPipeline")
    one, same, other = (make(pipeline, image=PICTURE, strength=0.5, steps=4, seed=seed) for seed in (0, 0, 1))
    assert one.layout.shapes == ((4, 4, 4),)
    z = torch.randn(2, one.layout.d)
    assert torch.equal(one.render(z), same.render(z))
    assert not torch.equal(one.render(z), other.render(z))


def test_nothing_stands_around_the_autoencoder_either():
    pipeline, modes = tiny(), []
    pipeline.vae.decoder.register_forward_hook(lambda *_: modes.append(_get_current_function_mode()))
    make(pipeline)(torch.randn(2, 64))
    assert modes
    assert set(modes) == {None}


@pytest.mark.slow
def test_a_compiled_denoiser_is_entered_without_a_mode():
    """`Module.compile` compiles a module's hooks as well, so the tape may not be one of them."""
    pipeline, entered = tiny(), []
    z = torch.randn(2, 64)

    def denoise(sample, timestep, **_given):  # of which there is little to compile
        return (0.1 * sample,)

    pipeline.unet.forward = denoise
    expected = make(pipeline).render(z)

    def compiler(graph, _inputs):
        entered.append(_get_current_function_mode())
        return graph.forward

    pipeline.unet.compile(backend=compiler)
    generator = make(pipeline)
    torch.testing.assert_close(generator.render(z), expected)
    assert entered
    assert set(entered) == {None}
    torch._dynamo.reset()


def test_two_stages_and_their_noise():
    """A prior's initial noise and the decoder's are both drawn outside of steps."""
    pipeline = more_families.kandinsky(SCHEDULERS["DDPM"]("epsilon"))
    generator = make(pipeline, height=8, width=8, prior_num_inference_steps=2)
    assert generator.layout.shapes == ((16,), (4, 4, 4))
    assert generator.nfe == 2 * STEPS + 2 * 2


def test_signatures_that_pipelines_read_stay():
    pipeline, seen = tiny(), []
    original = inspect.signature(pipeline.vae.decode)
    pipeline.unet.register_forward_hook(lambda *_: seen.append(inspect.signature(pipeline.vae.decode)))
    make(pipeline)
    assert {str(one) for one in seen} == {str(original)}
