"""What is found out about one pipeline with one scheduler, and that a replay equals the pipeline's own output."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import _get_current_function_mode

from tests.support.zoo.schedulers import ETA, SCHEDULERS
from tests.support.zoo.table import FAMILIES
from zo_dno.generators.diffusers_generator import DiffusersGenerator
from zo_dno.generators.tape import denoisers_of
from zo_dno.generators.trace import frozen

BATCH = 3


@dataclass(frozen=True)
class Finding:
    """A row of the table in docs/pipelines.md."""

    family: str
    scheduler: str
    initial: int
    in_steps: int
    dead: int
    shared: int
    nfe: int
    steps: int
    gradient: bool

    def row(self) -> str:
        """Write it as Markdown."""
        cells = (self.family, self.scheduler, self.steps, self.nfe, self.initial, self.in_steps, self.dead, self.shared)
        return "| " + " | ".join(map(str, cells)) + f" | {'yes' if self.gradient else 'no'} |"


def build(family: str, scheduler: str):
    """Build a pipeline, and the arguments of its call."""
    found = FAMILIES[family]
    pipeline = found.build(SCHEDULERS[scheduler](found.prediction))
    pipeline.set_progress_bar_config(disable=True)
    known = inspect.signature(pipeline.__call__).parameters
    eta = {"eta": ETA[scheduler]} if scheduler in ETA and "eta" in known else {}
    return pipeline, {**found.arguments, **eta}


def generator_of(pipeline, family: str, arguments, **options) -> DiffusersGenerator:
    found = FAMILIES[family]
    options = {"search": "all", "batch_size": BATCH, "steps": found.steps, **options}
    return DiffusersGenerator(pipeline, found.prompt, **options, **arguments)


def check(family: str, scheduler: str) -> Finding:
    """Check everything that is promised of a pipeline; AssertionError where it is not kept."""
    pipeline, arguments = build(family, scheduler)
    modes: list[object] = []
    for denoiser in denoisers_of(pipeline):
        denoiser.register_forward_pre_hook(lambda *_: modes.append(_get_current_function_mode()))
    generator = generator_of(pipeline, family, arguments)
    draws, searched = generator._played.trace.draws, generator._searched
    assert set(modes) == {None}, "something stands around the denoiser"

    plain, own = plain_call(pipeline, family, arguments, generator)
    assert len(own) == len(draws), "the pipeline draws something else than was recorded"
    z = generator.layout.join([own[number].reshape(BATCH, *draws[number].shape) for number in searched])
    generator(z)
    with no_encoding(pipeline):
        assert torch.equal(generator(z), plain), "a replay is not the pipeline's own output"

    base = z[:1]
    with torch.no_grad():
        image = generator.render(base)
        for i, draw in enumerate(generator.draws(base)):
            others = [-draw if i == j else other for j, other in enumerate(generator.draws(base))]
            changed = generator.render(generator.layout.join(others))
            assert not torch.equal(changed, image), f"draw {searched[i]} is dead"

    return Finding(
        family,
        scheduler,
        initial=sum(not draws[i].in_step for i in searched),
        in_steps=sum(draws[i].in_step for i in searched),
        dead=sum(not draw.shared for draw in draws) - len(searched),
        shared=sum(draw.shared for draw in draws),
        nfe=generator.nfe,
        steps=FAMILIES[family].steps,
        gradient=passes_gradient(generator, base),
    )


def plain_call(pipeline, family, arguments, generator) -> tuple[Tensor, list[Tensor]]:
    """Call the pipeline as its users do, with its noise from torch's own generator, and note what it drew.

    What it draws once for all images is put in, since a search takes that from its seed.
    """
    found, draws = FAMILIES[family], generator._played.trace.draws
    drawn: list[Tensor] = []
    shared = {i: frozen(draw, i, draw.shape, generator._played._seed) for i, draw in enumerate(draws) if draw.shared}
    randn = torch.randn

    def noted(*args, **kwargs):
        drawn.append(shared.get(len(drawn), randn(*args, **kwargs)))
        return drawn[-1]

    given = {**how_many(pipeline, found), **arguments, "num_inference_steps": found.steps, "output_type": "np"}
    with torch.random.fork_rng(), mock.patch.object(torch, "randn", noted):
        torch.manual_seed(5)
        images = torch.as_tensor(pipeline(**given)[0])
    if images.ndim == 5:
        images = torch.cat(list(images.unbind(1)), dim=2)  # frames side by side
    return (images * 255).round().to(torch.uint8), drawn


def how_many(pipeline, found) -> dict[str, Any]:
    """Say how a user asks for several images of one prompt."""
    if found.prompt_list:
        return {"prompt": [found.prompt] * BATCH}
    known = inspect.signature(pipeline.__call__).parameters
    count = next(name for name in ("num_images_per_prompt", "batch_size") if name in known)
    return {count: BATCH} | ({"prompt": found.prompt} if "prompt" in known else {})


@contextmanager
def no_encoding(pipeline) -> Iterator[None]:
    """Let every text encoder fail that is called inside."""
    names = [name for name in vars(pipeline) if "text_encoder" in name and vars(pipeline)[name] is not None]
    handles = [getattr(pipeline, name).register_forward_pre_hook(_refuse) for name in names]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _refuse(*_):
    raise AssertionError("the prompt is encoded again")


def passes_gradient(generator: DiffusersGenerator, z: Tensor) -> bool:
    """Tell whether autograd reaches the noise through `render`."""
    z = z.clone().requires_grad_()
    try:
        generator.render(z).sum().backward()
    except RuntimeError:
        return False
    return z.grad is not None and bool((z.grad != 0).any())
