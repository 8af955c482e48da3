"""The final latents of pipelines: what their autoencoders decode."""

import pytest
import torch
from torch import Tensor

from tests.support.zoo.check import build, generator_of
from tests.support.zoo.table import FAMILIES
from zo_dno.errors import InputError
from zo_dno.generators.diffusers_generator import DiffusersGenerator
from zo_dno.generators.latents import FinalLatents, LatentsFoundError
from zo_dno.generators.tape import Playback, TapeError, denoisers_of
from zo_dno.rng import stream
from zo_dno.types import HasLatents

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # diffusers'
FAST = {"SD 1.5", "FLUX.1", "SANA"}
OTHERS = sorted(set(FAMILIES) - {"SD 1.5"})


def noise(generator: DiffusersGenerator, n: int = 3) -> Tensor:
    return torch.randn(n, generator.layout.d, generator=stream(1, "noise"))


def tiny(pipeline, **options) -> DiffusersGenerator:
    return DiffusersGenerator(pipeline, "a cat", **{"steps": 2, "batch_size": 4, **options})


def test_decoded_latents_are_the_images(stable_diffusion):
    generator = tiny(stable_diffusion)
    assert isinstance(generator, HasLatents)
    z = noise(generator)
    latents = generator.latents(z)
    assert (latents.shape, latents.dtype, latents.requires_grad) == ((3, 4, 8, 8), torch.float32, False)
    with torch.no_grad():
        decoded = stable_diffusion.vae.decode(latents).sample
        assert torch.equal((decoded / 2 + 0.5).clamp(0, 1), generator.render(z))


def test_rows_are_independent_of_each_other(stable_diffusion):
    generator = tiny(stable_diffusion)
    z = noise(generator, 5)  # more than a batch
    together = generator.latents(z)
    alone = torch.cat([generator.latents(z[row : row + 1]) for row in range(5)])
    assert torch.allclose(together, alone, rtol=1e-4, atol=1e-4)
    assert float(torch.pdist(together.flatten(1)).min()) > 0.1


def test_they_cost_the_denoiser_calls_of_an_image_and_no_decoding(stable_diffusion):
    generator, z = tiny(stable_diffusion), torch.randn(3, 256, generator=stream(1, "noise"))
    calls: list[str] = []
    stable_diffusion.unet.register_forward_hook(lambda *_: calls.append("denoise"))
    stable_diffusion.vae.decoder.register_forward_hook(lambda *_: calls.append("decode"))
    generator.latents(z)
    assert calls == ["denoise"] * 2
    generator.render(z)
    assert calls == ["denoise"] * 4 + ["decode"]


def test_the_pipeline_renders_as_before_afterwards(stable_diffusion):
    generator = tiny(stable_diffusion)
    z = noise(generator)
    before = generator(z)
    latents = generator.latents(z)
    assert "decode" not in vars(stable_diffusion.vae)
    assert torch.equal(generator(z), before)
    assert torch.equal(generator.latents(z), latents)


@pytest.mark.parametrize(
    "family", [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in OTHERS]
)
def test_every_family_has_latents_of_each_image(family):
    """Those of some pipelines that decode frame by frame come with an axis of frames, and of pixels are the images."""
    pipeline, arguments = build(family, FAMILIES[family].schedulers[0])
    generator = generator_of(pipeline, family, arguments)
    calls: list[int] = []
    for denoiser in denoisers_of(pipeline):
        denoiser.register_forward_hook(lambda *_: calls.append(1))
    z = noise(generator, 2)
    latents = generator.latents(z)
    needed, calls[:] = len(calls), []
    images = generator.render(z).detach()
    assert needed == len(calls)
    assert len(latents) == 2
    assert latents.ndim > 3
    assert not torch.allclose(latents[0], latents[1])
    assert torch.allclose(latents[1:], generator.latents(z[1:]), atol=1e-4)
    if family.startswith("unconditional"):
        assert torch.allclose(latents, images * 2 - 1, atol=1e-6)


def test_wrong_noise_is_named(stable_diffusion):
    with pytest.raises(InputError, match=r"z must be \(n, 256\); got \(2, 255\)"):
        tiny(stable_diffusion).latents(torch.zeros(2, 255))


def test_a_call_ends_only_where_no_latents_can_follow():
    whole = FinalLatents(2, 1)
    with pytest.raises(LatentsFoundError):
        whole(torch.zeros(2, 4))
    assert whole.joined(None).shape == (2, 4)
    frames = FinalLatents(2, 1)
    frames(torch.arange(6.0)[:, None])
    assert frames.joined(torch.zeros(2, 3, 1, 1)).tolist() == [[[0], [1], [2]], [[3], [4], [5]]]
    single = FinalLatents(1, 2)
    single(torch.zeros(1, 4))
    single(torch.ones(1, 4))
    assert single.joined(torch.zeros(1, 3, 1, 1)).shape == (1, 2, 4)


def test_latents_that_cannot_be_assigned_are_refused():
    found = FinalLatents(2, 1)
    found(torch.zeros(3, 4))
    with pytest.raises(TapeError, match="decodes 3 latents for 2 images"):
        found.joined(torch.zeros(2, 3, 1, 1))


def test_a_decoder_of_something_else_has_no_latents():
    playback = Playback(lambda number, shape: torch.zeros(shape), FinalLatents(1, 1))
    playback.open()
    try:
        with pytest.raises(TapeError, match="decodes no tensor"):
            playback.pausing(len, decodes=True)("words")
    finally:
        playback.close()
