"""Gradients through pipelines, and runs of the strategies that take them."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch.overrides import _get_current_function_mode

import zo_dno
from tests.support import fake_ray
from tests.support.toys import ToyGenerator
from tests.support.zoo import families
from tests.support.zoo.schedulers import SCHEDULERS
from zo_dno.distributed.generator_actors import GeneratorPool
from zo_dno.errors import InputError
from zo_dno.generators import gradients
from zo_dno.generators.diffusers_generator import DiffusersGenerator
from zo_dno.rewards.brightness import Brightness, Darkness
from zo_dno.rewards.contrast import Contrast
from zo_dno.rewards.prompt_match import PromptMatch
from zo_dno.rewards.saturation import Saturation
from zo_dno.rng import stream
from zo_dno.search.objective import Objective

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # diffusers'
PROMPT = "sea at dusk, with a sailboat"


def tiny(scheduler="DDIM eta=1", **options):
    pipeline = families.stable_diffusion(SCHEDULERS[scheduler.partition(" eta")[0]]("epsilon"))
    eta = {"eta": 1.0} if "eta" in scheduler else {}
    return DiffusersGenerator(pipeline, "a cat", **{"steps": 3, "batch_size": 2, "search": "all", **eta, **options})


def noise(generator, n=2):
    return torch.randn(n, generator.layout.d, generator=stream(1, "noise"))


def weights_of(images):
    return torch.randn(images.shape, generator=stream(2, "weights"))


def test_a_gradient_is_what_autograd_gives_without_recomputing():
    generator = tiny(gradient_checkpointing=False)
    z = noise(generator).requires_grad_()
    images = generator.render(z)
    (wanted,) = torch.autograd.grad((images * weights_of(images)).sum(), z)
    for made in (generator, tiny(gradient_checkpointing=True), tiny()):
        found = made.vjp(z, weights_of)
        assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-5 * float(wanted.abs().max()))
        assert found.dtype == torch.float32


def test_a_gradient_predicts_how_the_image_changes():
    """A central difference along a random direction, in double precision of the sums; 1 % of its size."""
    generator = tiny()
    z = noise(generator, 1)
    direction = torch.randn(z.shape, generator=stream(3, "direction"))
    step = 1e-2
    moved = [generator.render(z + sign * step * direction).detach().double() for sign in (1, -1)]
    slope = ((moved[0] - moved[1]) * weights_of(moved[0])).sum() / (2 * step)
    found = (generator.vjp(z, weights_of).double() * direction).sum()
    assert float(found) == pytest.approx(float(slope), rel=0.01)


def held(generator):
    """Return the bytes that autograd holds between forward and backward."""
    total = 0

    def pack(tensor):
        nonlocal total
        total += tensor.numel() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        generator.vjp(noise(generator), weights_of)
    return total


@pytest.mark.slow
def test_recomputing_keeps_less():
    assert held(tiny(gradient_checkpointing=True)) < 0.6 * held(tiny(gradient_checkpointing=False))


def test_what_would_be_kept_decides_about_recomputing(monkeypatch):
    """By default; the gradient is the same, bit for bit."""
    z, found = noise(tiny(), 3), []
    for most in (2**30, 1000):
        monkeypatch.setattr(gradients, "_MOST_KEPT", most)
        calls, generator = [], tiny()
        generator._pipeline.unet.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        found.append(generator.vjp(z, weights_of))
        found.append(len(calls))
    assert torch.equal(found[0], found[2])
    assert found[3] > found[1]


def test_all_that_is_kept_is_counted():
    """Against the tensors themselves, held until the end, without the weights."""
    generator, plain = tiny(), tiny(gradient_checkpointing=False)
    generator.vjp(noise(generator, 1), weights_of)
    weights = {one.data_ptr() for network in plain._played.tape.networks for one in network.parameters()}
    held = {}

    def pack(tensor):
        if tensor.data_ptr() not in weights:
            held[tensor.untyped_storage().data_ptr()] = tensor
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        plain.vjp(noise(plain, 1), weights_of)
    expected = sum(tensor.untyped_storage().nbytes() for tensor in held.values())
    assert sum(generator._kept) == pytest.approx(expected, rel=0.1)


def test_no_mode_is_active_in_a_network_either_way():
    generator = tiny(gradient_checkpointing=True)
    seen = []
    generator._pipeline.unet.register_forward_pre_hook(lambda *_: seen.append(_get_current_function_mode()))
    generator.vjp(noise(generator), weights_of)
    assert len(seen) > 3  # and again in the backward pass
    assert set(seen) == {None}


def test_weights_ask_for_gradients_again_afterwards():
    generator = tiny()
    weight = next(generator._pipeline.unet.parameters())
    weight.requires_grad_(True)
    generator.vjp(noise(generator), weights_of)
    assert weight.requires_grad
    assert weight.grad is None


@pytest.mark.slow
def test_the_last_calls_alone_can_be_passed_through():
    generator = tiny(gradient_checkpointing=False)
    z = noise(generator)
    whole, three, one = (
        made.vjp(z, weights_of) for made in (generator, tiny(gradient_calls=3), tiny(gradient_calls=1))
    )
    assert torch.allclose(three, whole, rtol=1e-3, atol=1e-5 * float(whole.abs().max()))
    assert not torch.allclose(one, whole, rtol=1e-2)
    last = generator.layout.split(torch.stack([whole[0], one[0]]))[-1]  # comes in after the last but one call
    assert float(torch.cosine_similarity(last[0].flatten(), last[1].flatten(), dim=0)) > 0.9


def test_with_no_call_the_denoiser_is_a_constant_and_the_noise_still_has_a_gradient():
    generator, graphs = tiny(gradient_calls=0), []
    generator._pipeline.unet.register_forward_hook(lambda module, given, out: graphs.append(torch.is_grad_enabled()))
    found = generator.vjp(noise(generator), weights_of)
    assert graphs
    assert not any(graphs)
    assert float(found.abs().max()) > 0


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.fast_cases(1)
def test_lower_precision_comes_near(dtype):
    generator = tiny()
    z = noise(generator)
    found, wanted = tiny(gradient_dtype=dtype).vjp(z, weights_of), generator.vjp(z, weights_of)
    assert float(torch.cosine_similarity(found.flatten(), wanted.flatten(), dim=0)) > 0.95
    assert not torch.equal(found, wanted)


def test_a_cotangent_that_is_missing_is_a_gradient_that_is():
    generator = tiny()
    assert bool(generator.vjp(noise(generator), lambda x: x * torch.nan).isnan().all())


@pytest.fixture(scope="module")
def scenes():
    """Return the same two images as floats and as displayed."""
    generator = DiffusersGenerator.builtin(PROMPT, model="scenes-64", steps=2, batch_size=2)
    z = noise(generator)
    return generator.render(z).detach(), [Image.fromarray(image.numpy()) for image in generator(z)]


@pytest.mark.parametrize("reward", [Brightness(), Darkness(), Contrast(), Saturation(), PromptMatch()])
def test_a_differentiable_reward_is_the_reward_of_the_displayed_image(reward, scenes):
    images, shown = scenes[0].clone(), scenes[1]
    found = reward.differentiable(images.requires_grad_(), [PROMPT] * 2)
    assert found.tolist() == pytest.approx(reward(shown, [PROMPT] * 2), abs=4e-3)
    found.sum().backward()
    assert bool(images.grad.any())


def builtin(**options):
    return DiffusersGenerator.builtin(PROMPT, **{"model": "scenes-64", "steps": 2, "batch_size": 4, **options})


@pytest.mark.parametrize(("queries", "gain"), [(4, 0.0), pytest.param(12, 0.03, marks=pytest.mark.slow)])
def test_dno_climbs_and_every_image_of_it_is_plausible(queries, gain):
    options = {"queries": queries, "strategy_options": {"lr": 0.2}}
    result = zo_dno.optimize(builtin(batch_size=1), "brightness", "dno", **options)
    values = [query.value for query in result.history]
    assert values[-1] > values[0] + gain
    assert all(query.plausible for query in result.history)
    assert result.best.reward == max(values)


HALF = {
    "dno": (8, {"lr": 0.2}),
    "hybrid1": (64, {"population": 8, "lr": 0.05}),
    "hybrid2": (16, {"population": 4}),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HALF)
def test_a_pipeline_in_half_precision_is_climbed_through_as_well(name):
    """Tiny, for CPUs without half-precision arithmetic take minutes for the built-in model."""
    queries, options = HALF[name]
    generator = tiny("DDIM", search="initial", steps=2, batch_size=4, dtype="float16")
    result = zo_dno.optimize(generator, "brightness", name, queries=queries, strategy_options=options)
    own = [query.value for query in result.history if not query.perturbed]
    assert max(own) > own[0]


@pytest.mark.parametrize("kind", [torch.float32, torch.float16])
@pytest.mark.parametrize("name", ["hybrid1", "hybrid2"])
def test_a_run_through_a_function_climbs_and_resumes_to_the_same_end(name, kind, tmp_path):
    def floats(z):
        return z.to(kind).reshape(-1, 3, 4, 4).sigmoid()

    options = {"strategy_options": {"population": 4}, "seed": 2}
    generator = zo_dno.FunctionGenerator(floats, (3, 4, 4))
    whole = zo_dno.optimize(generator, "brightness", name, queries=12, **options)
    first = zo_dno.optimize(generator, "brightness", name, queries=6, horizon=12, out=tmp_path / "run", **options)
    rest = zo_dno.resume(tmp_path / "run", queries=12, generator=generator)
    assert first.queries == 6
    assert [(q.id, q.value, q.image) for q in rest.history] == [(q.id, q.value, q.image) for q in whole.history]
    own = [query.value for query in whole.history if not query.perturbed]
    assert max(own) > own[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hybrid1", "hybrid2"])
def test_a_run_resumes_to_the_same_end(name, tmp_path):
    options = {"strategy_options": {"population": 4}, "seed": 2}
    generator = tiny(batch_size=4)
    whole = zo_dno.optimize(generator, "jpeg_smaller", name, queries=12, **options)
    first = zo_dno.optimize(generator, "jpeg_smaller", name, queries=6, horizon=12, out=tmp_path / "run", **options)
    rest = zo_dno.resume(tmp_path / "run", queries=12, generator=tiny(batch_size=4))
    assert first.queries == 6
    assert [(q.id, q.value, q.image) for q in rest.history] == [(q.id, q.value, q.image) for q in whole.history]


@pytest.mark.slow
def test_images_with_noise_are_scored_and_never_win():
    result = zo_dno.optimize(
        builtin(), "brightness", "hybrid1", queries=12, min_log_prob=None, strategy_options={"population": 4, "mu": 0.3}
    )
    own, noisy = ([q for q in result.history if (q.id % 4 == 0) == is_own] for is_own in (True, False))
    assert not any(query.perturbed for query in own)
    assert all(query.perturbed and query.value is not None for query in noisy)
    assert len({query.image for query in result.history}) == 12
    assert max(query.value for query in noisy) > result.best.reward  # as clipping at black makes noise bright
    assert result.best.id % 4 == 0


def test_noise_that_is_not_plausible_is_moved_to_where_it_is():
    generator = builtin()
    objective = Objective(generator.layout)
    z = torch.randn(3, generator.layout.d, generator=stream(5, "odd"))
    z[0] += 0.4  # a shift
    z.view(3, 4, 16, 16)[1, :, :, 1:] += 0.5 * z.view(3, 4, 16, 16)[1, :, :, :-1]  # neighbours that repeat
    before, after = objective.plausibility(z), objective.project(z)
    assert before.plausible.tolist() == [False, False, True]
    assert objective.plausibility(after).plausible.all()
    assert float((after - z)[:2].norm(dim=1).max()) < 0.6 * z.norm(dim=1).max()
    assert float(torch.cosine_similarity(after[2], z[2], dim=0)) > 0.99  # it had little to spare
    assert torch.equal(Objective(generator.layout, min_log_prob=None).project(z), z)


def bytes_alone():
    return zo_dno.FunctionGenerator(lambda z: (z[:, :192].sigmoid() * 255).byte().reshape(-1, 8, 8, 3), (192,))


@pytest.mark.parametrize(
    ("name", "generator", "reward", "message"),
    [
        ("hybrid2", bytes_alone, "brightness", "must give floats for its gradient; got torch.uint8"),
        ("dno", tiny, "jpeg_smaller", r"'jpeg_smaller' has no differentiable\(images, prompts\). Take hybrid2"),
        ("hybrid2", ToyGenerator, "brightness", r"ToyGenerator has no render\(z\)"),
    ],
)
def test_what_no_gradient_passes_through_is_refused(name, generator, reward, message):
    with pytest.raises(InputError, match=message):
        zo_dno.optimize(generator(), reward, name, queries=8)


REFUSED = "generators must be 0 with Hybrid2"


class Pool(ToyGenerator, GeneratorPool):
    """A pool whose actors are this process."""

    def __init__(self):
        super().__init__()
        vars(self).update(ahead=1, _busy=SimpleNamespace(seconds=0.0))


def test_a_pool_of_generators_is_refused():
    with pytest.raises(InputError, match=REFUSED):
        zo_dno.optimize(Pool(), "brightness", "hybrid2", queries=8)


@pytest.mark.ray
def test_generators_in_actors_are_refused(monkeypatch):
    fake_ray.put_in_place(monkeypatch)
    pool = GeneratorPool(ToyGenerator, 1)
    try:
        with pytest.raises(InputError, match=REFUSED):
            zo_dno.optimize(pool, "brightness", "hybrid2", queries=8)
    finally:
        pool.close()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"gradient_calls": -1}, "gradient_calls must be at least 0; got -1"),
        ({"gradient_dtype": "half"}, None),
        ({"gradient_dtype": "float17"}, "dtype must be the name of a torch type"),
    ],
)
def test_settings_out_of_range_are_refused(options, message):
    if message is None:
        assert tiny(**options).settings["gradient_dtype"] == "half"
        return
    with pytest.raises(InputError, match=message):
        tiny(**options)
