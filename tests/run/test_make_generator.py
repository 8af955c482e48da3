"""The model of a run from its config: everything that was put on a pipeline, and pipelines that no config can name."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import zo_dno
from tests.support.command_line import exit_code
from tests.support.weight_files import configs_of, inversion_file, lora_file, single_file
from zo_dno.comparison.table import check_alike
from zo_dno.errors import InputError
from zo_dno.run.config import validated
from zo_dno.run.from_config import render, resume
from zo_dno.run.make_generator import make_generator
from zo_dno.storage.atomic import read_yaml

PROMPT = "a <toy> cat"


@pytest.fixture(scope="module")
def flags(tmp_path_factory, stable_diffusion_folder, loaded_stable_diffusion):
    """Options of a model with everything that can be put on it, as the command line takes them."""
    folder, pipeline = tmp_path_factory.mktemp("model"), loaded_stable_diffusion
    pipeline.vae.save_pretrained(folder / "vae")
    return [
        *("--model", single_file(pipeline, folder / "one.safetensors")),
        *("--pipeline-config", configs_of(stable_diffusion_folder, folder / "configs")),
        *("--lora", f"{lora_file(pipeline.unet, folder / 'ink.safetensors')}:0.8"),
        *("--lora", lora_file(pipeline.unet, folder / "grain.safetensors", seed=5)),
        *("--scheduler", "EulerDiscreteScheduler", "--scheduler-option", "timestep_spacing=trailing"),
        *("--textual-inversion", inversion_file(folder / "toy.safetensors", "<toy>", 16)),
        *("--vae", folder / "vae"),
        *("--prompt", PROMPT, "--steps", 2, "--batch-size", 2, "--threads", 1),
    ]


@pytest.fixture
def by_hand(flags, stable_diffusion):
    """The generator of the same pipeline, prepared by hand."""
    from diffusers import EulerDiscreteScheduler

    config = stable_diffusion.scheduler.config
    stable_diffusion.scheduler = EulerDiscreteScheduler.from_config(config, timestep_spacing="trailing")
    folder = Path(flags[1]).parent
    stable_diffusion.load_textual_inversion(str(folder / "toy.safetensors"))
    for name in ("ink", "grain"):
        stable_diffusion.load_lora_weights(str(folder / f"{name}.safetensors"), adapter_name=name)
    stable_diffusion.set_adapters(["ink", "grain"], [0.8, 1.0])
    return zo_dno.DiffusersGenerator(stable_diffusion, PROMPT, steps=2, batch_size=2)


def test_one_command_runs_it_and_its_folder_is_enough(flags, by_hand, tmp_path, caplog):
    """Images are byte for byte those of the pipeline prepared by hand; the config alone resumes and renders."""
    options = ("--reward", "brightness", "--strategy", "random_search", "--strategy-option", "population=2")
    assert (
        exit_code(["run", *flags, *options, "--queries", 2, "--min-log-prob", "none", "--out", tmp_path / "run"]) == 0
    )
    found = resume(tmp_path / "run", queries=4)
    assert found.queries == 4
    assert torch.equal(render(tmp_path / "run")[0], torch.from_numpy(found.best.image))
    pair = torch.stack([one.z for one in sorted((found.first, found.best), key=lambda one: one.id)])
    images = {one.id: torch.from_numpy(one.image) for one in (found.first, found.best)}
    assert found.best.id != 0, "the test needs two images"
    assert torch.equal(by_hand(pair)[0], images[0])
    assert torch.equal(by_hand(pair)[1], images[found.best.id])

    config = read_yaml(tmp_path / "run" / "config.yaml")
    assert config["lora"][0].endswith("ink.safetensors:0.8")
    assert config["scheduler_options"] == {"timestep_spacing": "trailing"}
    assert config["generator_options"] == {}

    grain = Path(config["lora"][1])
    before, other = grain.read_bytes(), load_file(grain)
    save_file({name: 2 * one for name, one in other.items()}, grain)
    with pytest.raises(
        InputError, match=r"it began: content of lora \S+grain.safetensors: sha256 \w{12}, now sha256 \w"
    ):
        resume(tmp_path / "run", queries=6)
    assert not caplog.text
    render(tmp_path / "run")
    assert "the image is not the one that the run recorded: content of lora " in caplog.text
    grain.write_bytes(before)
    assert resume(tmp_path / "run", queries=6).queries == 6


@pytest.mark.ray
@pytest.mark.slow  # the fast test beside it loads the same config in this process
def test_actors_load_the_same(flags, by_hand):
    values = {"lora": [], "scheduler_options": {"timestep_spacing": "trailing"}}
    for flag, value in zip(flags[::2], flags[1::2], strict=True):
        name = str(flag).removeprefix("--").replace("-", "_")
        if name == "lora":
            values["lora"].append(str(value))
        elif name != "scheduler_option":
            values[name] = str(value) if isinstance(value, Path) else value
    pool = make_generator(validated({**values, "generators": 1}))
    try:
        z = torch.randn(2, by_hand.layout.d, generator=torch.Generator().manual_seed(0))
        assert torch.equal(pool(z), by_hand(z))
        assert torch.equal(pool.with_prompt("a dog")(z), by_hand.with_prompt("a dog")(z))
        assert pool.settings["lora"] == values["lora"]
    finally:
        pool.close()


def test_a_run_of_a_loaded_pipeline_says_how_to_continue(stable_diffusion, tmp_path):
    generator = zo_dno.DiffusersGenerator(stable_diffusion, "a cat", steps=1, batch_size=2)
    options = {"strategy": "random_search", "strategy_options": {"population": 2}, "min_log_prob": None}
    zo_dno.optimize(generator, "brightness", queries=2, out=tmp_path / "run", **options)
    what = "generator must be given: the run's model was a Python object, StableDiffusionPipeline. "
    with pytest.raises(InputError) as resumed:
        resume(tmp_path / "run", queries=4)
    assert str(resumed.value) == (
        f"{what}Resume it from Python: zo_dno.resume(RUN, generator=...), with the generator it had."
    )
    with pytest.raises(InputError) as rendered:
        render(tmp_path / "run")
    assert str(rendered.value) == f"{what}Render its winner from Python: generator(zo_dno.load(RUN).best.z[None])."

    found = zo_dno.resume(tmp_path / "run", generator=generator, queries=4)
    z = zo_dno.load(tmp_path / "run").best.z[None]
    assert torch.equal(generator(z.expand(2, -1))[0], torch.from_numpy(found.best.image))


def test_runs_with_different_loras_are_not_compared(stable_diffusion_folder, loaded_stable_diffusion, tmp_path):
    lora = lora_file(loaded_stable_diffusion.unet, tmp_path / "ink.safetensors")
    options = {"strategy": "random_search", "strategy_options": {"population": 2}, "min_log_prob": None}
    for name, loras in (("plain", []), ("inked", [str(lora)])):
        generator = zo_dno.DiffusersGenerator.from_pretrained(stable_diffusion_folder, "a cat", steps=1, lora=loras)
        zo_dno.optimize(generator, "brightness", queries=2, out=tmp_path / name, **options)
    with pytest.raises(InputError, match=r"runs must be of one model; .* differ: lora is None and \['.*ink"):
        check_alike([tmp_path / "plain", tmp_path / "inked"])


def test_a_model_that_is_no_path_on_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = ["run", "--prompt", "a cat", "--reward", "brightness", "--queries", 2, "--out", "out"]
    assert exit_code([*run, "--model", "./missing"]) == 2
    assert "is a path, and there is nothing" in " ".join(capsys.readouterr().err.split())
    assert exit_code([*run, "--guidance", -3]) == 2
    assert "guidance must be at least 0; got -3" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()
