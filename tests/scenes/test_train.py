"""Training: every stage takes a step, and a killed run goes on exactly as if it had not been."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.support.dying import KilledError
from zo_dno.errors import InputError
from zo_dno.scenes import autoencoder, data, denoiser, enlarge, train
from zo_dno.scenes.evaluate import CARD, update_card
from zo_dno.scenes.judge import Judge
from zo_dno.scenes.loop import Plan
from zo_dno.scenes.loop import train as train_steps
from zo_dno.scenes.pipeline import load, render_prompts

TINY = {
    stage: replace(plan, steps=2, batch=4, rate=1e-3, warmup=1, decay=0.4, save_every=1)
    for stage, plan in train.PLANS.items()
}
STAGE_MODELS = {
    "autoencoder": "autoencoder",
    "enlarge": "large",
    "judge": "judge",
    "denoiser": "teacher",
    "distil": "student",
}


@pytest.fixture(scope="module", autouse=True)
def narrow():
    """Networks of the same shape with few channels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autoencoder, "CHANNELS", 8)
        patch.setattr(denoiser, "_CHANNELS", (8, 16, 16))
        yield


@pytest.fixture(scope="module")
def whole(tmp_path_factory, narrow):
    """A tiny training of every stage, uninterrupted."""
    training = train.Training(tmp_path_factory.mktemp("whole"), TINY, pictures_count=12)
    for stage in train.STAGES:
        training.run(stage, training.work / "weights")
    return training


def check_render(weights):
    """Render with the weights that stages wrote, and let the judge read the images."""
    images = render_prompts(load(weights / "pipeline"), ["sea at day"] * 2, seed=0, steps=2)
    assert len(Judge.load(weights / "judge.safetensors").read(images)) == 2


def test_weights_that_a_stage_writes_load_and_render(tmp_path):
    training = train.Training(tmp_path, TINY)
    vars(training).update(autoencoder=autoencoder.build(), student=denoiser.Denoiser(), judge=Judge())
    for stage in ("judge", "distil"):
        training.run(stage, tmp_path)
    check_render(tmp_path)


@pytest.mark.slow
def test_weights_of_a_training_load_and_render(whole):
    check_render(whole.work / "weights")


def test_a_larger_autoencoder_begins_as_the_small_one():
    """It decodes the same latents to twice the size, and its deeper layers encode as those of the small one."""
    small, plan = autoencoder.build(), replace(TINY["enlarge"], steps=0)
    pictures = data.held_out(2, seed=0, side=128)
    large = enlarge.fit(pictures, small, plan, Path("unused"), torch.device("cpu"))
    latents = torch.randn(2, 4, 16, 16)
    assert large.decode(latents).sample.shape == (2, 3, 128, 128)
    assert large.encode(pictures.batch(torch.arange(2))).latents.shape == latents.shape
    features = torch.randn(2, 8, 64, 64)
    torch.testing.assert_close(large.encoder.layers[2:](features), small.encoder.layers[1:](features))
    begun = [model.decoder.layers[:15](latents) for model in (large, small)]
    torch.testing.assert_close(*begun)


def line_fitted(folder, stop=None, **changes):
    """Train a line for 6 steps, and die in one of them."""

    def batch(generator):
        made.append(1)
        if len(made) == stop:
            raise KilledError
        x = torch.randn(4, 3, generator=generator)
        return x, x.sum(1, keepdim=True) + torch.randn(4, 1, generator=generator)

    made = []
    model = nn.Sequential(nn.Linear(3, 1), nn.BatchNorm1d(1))
    for weight in model.parameters():
        nn.init.constant_(weight, 0.5)
    plan = Plan(**{"steps": 6, "batch": 4, "rate": 0.1, "warmup": 2, "save_every": 2, "shards": 1, **changes})
    averaged = train_steps("line", model, batch, lambda x, y: (model(x) - y).square().mean(), plan, folder)
    return [*averaged.state_dict().values(), *model.state_dict().values()]


def test_a_stage_that_is_killed_goes_on_from_its_checkpoint(tmp_path):
    whole = line_fitted(tmp_path / "whole")
    with pytest.raises(KilledError):
        line_fitted(tmp_path / "parts", stop=6)
    with pytest.raises(KilledError):
        line_fitted(tmp_path / "parts", stop=2)  # the checkpoint is of the 4th step
    parts = line_fitted(tmp_path / "parts")
    assert all(torch.equal(one, other) for one, other in zip(whole, parts, strict=True))
    with pytest.raises(InputError, match=r"seed must be that of .*line.pt, 0; got 1"):
        line_fitted(tmp_path / "parts", seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("stages", [("judge",), tuple(STAGE_MODELS)])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, stages):
    """Every stage stops after one step, and a new process's worth of objects resumes from the checkpoint."""
    for stage, model in STAGE_MODELS.items():
        if stage not in stages:
            continue
        short = {**TINY, stage: replace(TINY[stage], steps=1, decay=0.0)}
        full = {**TINY, stage: replace(TINY[stage], decay=0.0)}
        getattr(train.Training(tmp_path / "a", short, pictures_count=12), model)
        resumed = getattr(train.Training(tmp_path / "a", full, pictures_count=12), model)
        straight = getattr(train.Training(tmp_path / "b", full, pictures_count=12), model)
        for name, value in straight.state_dict().items():
            assert torch.equal(value, resumed.state_dict()[name]), (stage, name)


def test_training_pictures_are_those_of_their_seed(tmp_path):
    first, again = (data.training_pictures(tmp_path / name, 6, seed=1) for name in "ab")
    other = data.training_pictures(tmp_path / "a", 6, seed=2)
    assert (first.pixels == again.pixels).all()
    assert (first.pixels != other.pixels).any()
    assert data.training_pictures(tmp_path / "a", 6, seed=1).scene(0) == first.scene(0)


def test_rate_rises_stays_and_falls_to_nothing():
    plan = Plan(steps=1000, batch=1, rate=1.0, warmup=100, decay=0.4)
    assert plan.rate_at(0) == pytest.approx(0.01)
    assert plan.rate_at(300) == 1.0
    assert plan.rate_at(800) == pytest.approx(0.5)
    assert plan.rate_at(1000) == 0.0


def test_steps_without_a_stage_are_refused(capsys):
    with pytest.raises(SystemExit) as caught:
        train.main(["--steps", "5"])
    assert caught.value.code == 2
    assert "--steps must be positive and go with one stage; got 5" in capsys.readouterr().err


@pytest.mark.slow
def test_checkpoint_of_another_seed_is_refused(whole):
    other = {stage: replace(plan, seed=1) for stage, plan in TINY.items()}
    with pytest.raises(InputError, match="seed must be that of .*autoencoder.pt, 0; got 1"):
        _ = train.Training(whole.work, other, pictures_count=12).autoencoder


def test_card_takes_new_figures(tmp_path):
    card = tmp_path / "CARD.md"
    card.write_text(CARD.read_text())
    figures = {"small": {"autoencoder_psnr_db": 31.25}, "large": {"autoencoder_psnr_db": 30.0}}
    update_card(figures, "a test", card)
    assert "| figure | small | large | must reach |" in card.read_text()
    assert "| autoencoder_psnr_db | 31.250 | 30.000 | 28 |" in card.read_text()
    assert card.read_text().startswith(CARD.read_text().split("<!-- figures -->")[0])
