import inspect
import math

import pytest
import torch
from torch.overrides import _get_current_function_mode

from zo_dno.errors import InputError
from zo_dno.generators.diffusers_generator import DiffusersGenerator
from zo_dno.generators.tape import TapeError

STEPS = 4


def make(pipeline, **options):
    return DiffusersGenerator(pipeline, "a cat", **{"steps": STEPS, "batch_size": 4, **options})


def schedulers():
    from diffusers import (
        DDIMScheduler,
        DDPMScheduler,
        EulerAncestralDiscreteScheduler,
        EulerDiscreteScheduler,
        LCMScheduler,
    )

    ddim = {"beta_schedule": "scaled_linear", "clip_sample": False, "steps_offset": 1}
    return {  # scheduler, arguments of the call, draws recorded, draws that change the image
        "ddim": (DDIMScheduler(**ddim), {}, 1, 1),
        "ddim eta 1": (DDIMScheduler(**ddim), {"eta": 1.0}, STEPS + 1, STEPS),  # the last step's noise is times 0
        "ddpm": (DDPMScheduler(clip_sample=False), {}, STEPS, STEPS),
        "euler": (EulerDiscreteScheduler(), {}, 1, 1),
        "euler ancestral": (EulerAncestralDiscreteScheduler(), {}, STEPS + 1, STEPS),
        "lcm": (LCMScheduler(clip_sample=False), {}, STEPS, STEPS),
    }


@pytest.mark.parametrize("name", schedulers())
@pytest.mark.parametrize("guidance", [1.0, 4.0])
@pytest.mark.fast_cases(2)
def test_replays_the_pipelines_own_draws(stable_diffusion, name, guidance):
    """Given what the pipeline drew by itself, the generator draws the same bytes as the pipeline did."""
    scheduler, arguments, recorded, influential = schedulers()[name]
    stable_diffusion.scheduler = scheduler
    generator = make(stable_diffusion, search="all", guidance_scale=guidance, **arguments)
    assert generator.layout.shapes == ((4, 8, 8),) * influential

    own = stable_diffusion(
        "a cat",
        num_images_per_prompt=4,
        num_inference_steps=STEPS,
        guidance_scale=guidance,
        output_type="np",
        generator=torch.Generator().manual_seed(5),
        **arguments,
    ).images
    source = torch.Generator().manual_seed(5)
    draws = [torch.randn(4, 4, 8, 8, generator=source) for _ in range(recorded)][:influential]

    images = generator(generator.layout.join(draws))
    assert torch.equal(images, torch.from_numpy((own * 255).round()).to(torch.uint8))


def test_equals_an_independent_ddim(stable_diffusion):
    """Equations (12) and (16) of Song et al. (2010.02502), written out here."""
    guidance = 3.0
    generator = make(stable_diffusion, guidance_scale=guidance, search="all", eta=1.0)
    z = torch.randn(2, generator.layout.d, generator=torch.Generator().manual_seed(1))
    latents, *step_noise = generator.draws(z)
    tokens = stable_diffusion.tokenizer(
        ["", "a cat"], padding="max_length", max_length=16, truncation=True, return_tensors="pt"
    ).input_ids
    with torch.no_grad():
        nothing, asked = stable_diffusion.text_encoder(tokens)[0]
        betas = torch.linspace(0.0001**0.5, 0.02**0.5, 1000) ** 2
        alpha_bar = torch.cumprod(1 - betas, 0)
        spacing = 1000 // STEPS
        offset = stable_diffusion.scheduler.config.steps_offset
        x = latents
        for i, t in enumerate(offset + spacing * k for k in reversed(range(STEPS))):
            unconditional = stable_diffusion.unet(x, t, nothing.expand(2, -1, -1)).sample
            conditional = stable_diffusion.unet(x, t, asked.expand(2, -1, -1)).sample
            epsilon = unconditional + guidance * (conditional - unconditional)
            now = alpha_bar[t]
            before = alpha_bar[t - spacing] if t >= spacing else torch.tensor(1.0)
            sigma = math.sqrt((1 - before) / (1 - now)) * math.sqrt(1 - now / before)
            clean = (x - (1 - now).sqrt() * epsilon) / now.sqrt()
            noise = step_noise[i] if i < len(step_noise) else torch.zeros_like(x)
            x = before.sqrt() * clean + (1 - before - sigma**2).clamp_min(0).sqrt() * epsilon + sigma * noise
        expected = stable_diffusion.vae.decode(x / stable_diffusion.vae.config.scaling_factor).sample
    expected = (expected / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(generator.render(z), expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("search", ["initial", "all"])
@pytest.mark.fast_cases(1)
def test_an_image_does_not_depend_on_its_batch_mates(stable_diffusion, search):
    generator = make(stable_diffusion, search=search, eta=1.0)
    z = torch.randn(7, generator.layout.d, generator=torch.Generator().manual_seed(2))
    together = generator(z)
    for i in range(7):
        assert torch.equal(generator(z[i : i + 1])[0], together[i])
    assert torch.equal(generator(z.flip(0)), together.flip(0))


def test_every_searched_draw_changes_the_image_and_frozen_ones_come_from_the_seed(stable_diffusion):
    every, first, other_seed = (
        make(stable_diffusion, search=search, eta=1.0, seed=seed)
        for search, seed in (("all", 0), ("initial", 0), ("initial", 1))
    )
    z = torch.randn(1, every.layout.d, generator=torch.Generator().manual_seed(3))
    base = every.render(z)
    for i, size in enumerate(every.layout.sizes):
        changed = z.clone()
        changed[:, i * size : (i + 1) * size] *= -1
        assert not torch.equal(every.render(changed), base), i
    initial = z[:, : first.layout.d]
    assert torch.equal(first(initial), first(initial))
    assert not torch.equal(first.render(initial), other_seed.render(initial))


def test_nfe_counts_guidance_twice(stable_diffusion):
    assert make(stable_diffusion, guidance_scale=1.0).nfe == STEPS
    assert make(stable_diffusion, guidance_scale=2.0).nfe == 2 * STEPS


def test_the_prompt_is_encoded_once(stable_diffusion):
    calls = []
    stable_diffusion.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    generator = make(stable_diffusion, guidance_scale=1.0, batch_size=3)
    before = len(calls)
    z = torch.randn(9, generator.layout.d)
    generator(z)
    generator(z)
    assert len(calls) - before <= 1  # once for this batch size, whatever the number of batches


def test_nothing_stands_around_the_denoiser(stable_diffusion):
    modes = []
    stable_diffusion.unet.register_forward_hook(lambda *_: modes.append(_get_current_function_mode()))
    generator = make(stable_diffusion, eta=1.0, search="all")
    generator(torch.randn(4, generator.layout.d))
    assert len(modes) > STEPS
    assert set(modes) == {None}


def test_the_pipeline_is_left_as_it_was(stable_diffusion):
    step, encode = stable_diffusion.scheduler.step, stable_diffusion.encode_prompt
    generator = make(stable_diffusion, search="all", eta=1.0)
    state = torch.get_rng_state()
    generator(torch.randn(2, generator.layout.d, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(torch.get_rng_state(), state)
    assert stable_diffusion.scheduler.step == step
    assert stable_diffusion.encode_prompt == encode
    stable_diffusion.vae.decode = None  # breaks the next call in its middle
    with pytest.raises(TypeError):
        generator(torch.randn(2, generator.layout.d))
    assert stable_diffusion.scheduler.step == step
    assert _get_current_function_mode() is None


def test_gradients_pass_through_render(stable_diffusion):
    generator = make(stable_diffusion)
    z = torch.randn(2, generator.layout.d).requires_grad_()
    image = generator.render(z)
    assert image.shape == (2, 3, 16, 16)
    assert 0 <= float(image.detach().min()) <= float(image.detach().max()) <= 1
    image.sum().backward()
    assert z.grad is not None
    assert bool((z.grad.norm(dim=1) > 0).all())
    with torch.no_grad():
        assert not generator.render(z).requires_grad


def test_a_folder_is_loaded_and_draws_the_same(stable_diffusion, stable_diffusion_folder):
    z = torch.randn(2, 256, generator=torch.Generator().manual_seed(4))
    assert torch.equal(make(stable_diffusion)(z), make(stable_diffusion_folder)(z))


def test_step_keeps_the_signature_that_pipelines_read(stable_diffusion):
    seen = []
    original = stable_diffusion.scheduler.step
    stable_diffusion.unet.register_forward_hook(
        lambda *_: seen.append(inspect.signature(stable_diffusion.scheduler.step))
    )
    make(stable_diffusion)
    assert set(map(str, seen)) == {str(inspect.signature(original))}


def test_refuses_a_pipeline_that_its_draws_do_not_fix(stable_diffusion):
    step = stable_diffusion.scheduler.step
    source = torch.Generator().manual_seed(0)

    def unfixed(*args, **kwargs):
        output = step(*args, **kwargs)
        return (output[0] + torch.rand(output[0].shape, generator=source), *output[1:])

    unfixed.__signature__ = inspect.signature(step)
    stable_diffusion.scheduler.step = unfixed
    with pytest.raises(TapeError, match="gives two images for the same noise"):
        make(stable_diffusion)


@pytest.mark.parametrize(
    "draw",
    [
        lambda latents: torch.empty_like(latents).normal_(),
        lambda latents: torch.empty_like(latents).normal_(mean=0.5, std=2.0).sub(0.5).div(2.0),
        lambda latents: torch.normal(0.0, 1.0, latents.shape),
        lambda latents: torch.normal(torch.zeros_like(latents), 1.0),
        lambda latents: torch.randn(size=latents.shape, dtype=torch.float64).float(),
        lambda latents: torch.randn_like(latents, dtype=torch.float64).float(),
        lambda latents: torch.randn(*latents.shape, out=torch.empty_like(latents)),
    ],
)
@pytest.mark.fast_cases(1)
def test_every_way_to_draw_gaussian_noise_is_replayed(stable_diffusion, draw):
    z = torch.randn(2, 256, generator=torch.Generator().manual_seed(6))
    expected = make(stable_diffusion).render(z)
    prepare = stable_diffusion.prepare_latents
    stable_diffusion.prepare_latents = lambda *args: draw(prepare(*args))
    generator = make(stable_diffusion)
    assert generator.layout.shapes == ((4, 8, 8),)  # what the pipeline drew before is dead
    torch.testing.assert_close(generator.render(z), expected, atol=1e-6, rtol=0)


def test_complex_noise_is_refused(stable_diffusion):
    prepare = stable_diffusion.prepare_latents
    stable_diffusion.prepare_latents = lambda *args: torch.randn_like(prepare(*args), dtype=torch.complex64).real
    with pytest.raises(TapeError, match="complex noise"):
        make(stable_diffusion)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, or .auto.; got 0"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"steps": "two"}, "steps must be at least 1; got 'two'"),
        ({"frames": None}, "frames must be at least 1; got None"),
        ({"gradient_calls": "two"}, "gradient_calls must be at least 0; got 'two'"),
        ({"search": "some"}, "search must be 'initial' or 'all'; got 'some'"),
    ],
)
def test_bad_values(stable_diffusion, options, message):
    with pytest.raises(InputError, match=message):
        make(stable_diffusion, **options)


def test_bad_models(tmp_path):
    with pytest.raises(InputError, match=r"model .*nowhere' is a path, and there is nothing\."):
        DiffusersGenerator(tmp_path / "nowhere", "a cat")
    with pytest.raises(InputError, match="dtype must be the name of a torch type"):
        DiffusersGenerator(tmp_path, "a cat", dtype="float12")


def test_numbers_outside_of_the_range_of_pixels_are_cut(stable_diffusion):
    whole = stable_diffusion.image_processor.postprocess
    stable_diffusion.image_processor.postprocess = lambda *args, **options: whole(*args, **options) * 3 - 1
    generator = make(stable_diffusion)
    z = torch.randn(2, generator.layout.d, generator=torch.Generator().manual_seed(2))
    floats = generator.render(z).detach()
    assert float(floats.min()) < 0
    assert float(floats.max()) > 1
    expected = (floats.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    assert torch.equal(generator(z), expected)


def test_wrong_noise_is_named(stable_diffusion):
    with pytest.raises(InputError, match=r"z must be \(n, 256\); got \(2, 255\)"):
        make(stable_diffusion)(torch.zeros(2, 255))
