"""The programs of the recipes run as they stand, with small stand-ins for models and fewer queries."""

import inspect
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import zo_dno
from tests.project.test_readme import blocks
from tests.support.command_line import exit_code
from tests.support.toys import ToyGenerator
from zo_dno.rewards import REWARDS

PAGE = (Path(__file__).parents[2] / "docs" / "recipes.md").read_text()


class Loaded:
    """A pipeline that was loaded."""

    @classmethod
    def from_pretrained(cls, name, *, dtype):
        assert name.count("/") == 1
        assert dtype in (torch.float16, torch.bfloat16)
        return cls()

    def to(self, device):
        assert device == "cuda"
        return self


@pytest.fixture
def small(monkeypatch):
    """Replace models by a toy; what `optimize` was given stays what it must be."""
    optimize, constructor = zo_dno.optimize, zo_dno.DiffusersGenerator
    made = []

    class Small:
        def __new__(cls, pipeline, prompt, **options):
            inspect.signature(constructor).bind(pipeline, prompt, **options)
            assert isinstance(pipeline, Loaded)
            return ToyGenerator(prompt=prompt)

        @staticmethod
        def builtin(**options):
            inspect.signature(constructor.builtin).bind(**options)
            return ToyGenerator(prompt=options["prompt"])

    def few(generator, reward, **options):
        assert set(options["held_out"]) <= set(REWARDS)
        less = {"queries": 64, "held_out": ["brightness"], "strategy_options": {}, "threads": 1}
        made.append(optimize(generator, reward, **options | less))
        return made[-1]

    monkeypatch.setattr(zo_dno, "DiffusersGenerator", Small)
    monkeypatch.setattr(zo_dno, "optimize", few)
    monkeypatch.setitem(sys.modules, "diffusers", SimpleNamespace(StableDiffusionPipeline=Loaded, FluxPipeline=Loaded))
    return made


def test_programs_run_and_luck_is_no_gain(small, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    programs = [block for block in blocks(PAGE, "python") if "zo_dno.optimize" in block]
    for program in programs:
        exec(compile(program, "recipes.md", "exec"), {})
    stable, flux, control = small
    assert Path("lighthouse.png").exists()
    assert stable.best.reward > stable.first.reward
    assert Path("runs/flux/ledger.db").exists()
    assert flux.best.reward > flux.first.reward
    assert control.baseline.measured
    assert abs(control.best.reward - control.baseline.reward) < 0.1, "both are the best of 64 random numbers"


@pytest.mark.slow
def test_the_command_for_stable_diffusion_runs(stable_diffusion_folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = blocks(PAGE, "sh")[0].replace("\\\n", " ")
    words = shlex.split(text, comments=True)[1:]
    for option, value in {"--model": stable_diffusion_folder, "--device": "cpu", "--dtype": "float32"}.items():
        words[words.index(option) + 1] = str(value)
    for option, value in {"--steps": "1", "--queries": "64", "--batch-size": "16"}.items():
        words[words.index(option) + 1] = value
    assert exit_code([*words, "--threads", "1"]) == 0
    assert (tmp_path / "runs" / "lighthouse" / "best.png").exists()
