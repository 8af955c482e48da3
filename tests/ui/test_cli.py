"""The commands, in this process: what they write, say and repeat."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support.answering import answering
from tests.support.judging import judgement
from tests.support.odd_judges import refusal
from zo_dno.generators.function_generator import FunctionGenerator
from zo_dno.run import from_config


def test_run_writes_everything(zo, tiny):
    code, output, _ = zo("run", *tiny, "--held-out", "brightness", "--top", 2, "--baseline", "equal", "--out", "here")
    assert code == 0, output
    folder = Path("here")
    names = {path.name for path in folder.iterdir()}
    pictures = {"first.png", "best.png", "strip.png", "progress.png"}
    assert names >= pictures | {"best.safetensors", "config.yaml", "ledger.db", "result.json", "top"}
    result = json.loads((folder / "result.json").read_text())
    assert set(result) >= {
        *("status", "prompt", "model", "reward", "unit", "strategy", "seed", "queries", "nfe", "failed_queries"),
        *("first", "best", "held_out", "seconds", "versions"),
    }
    assert set(result["best"]) == {"id", "reward", "log_prob", "norm_ratio", "whiteness", "feasible", "image"}
    assert set(result["seconds"]) == {"total", "generate", "score", "strategy", "other"}
    assert result["held_out"]["brightness"].keys() == {"first", "best"}
    assert result["reward"] == "jpeg_smaller"
    assert "best.png" in output
    assert f"{result['best']['reward']:.4g}" in output


@pytest.mark.slow
def test_a_runs_config_runs_again_to_the_same_result(zo, tiny):
    assert zo("run", *tiny, "--reward", "my_rewards:warm", "--seed", 5, "--out", "one")[0] == 0
    assert zo("run", "one/config.yaml", "--out", "two")[0] == 0
    assert zo("run", "one/config.yaml", "--seed", 6, "--out", "three")[0] == 0
    one, two, three = (json.loads(Path(name, "result.json").read_text()) for name in ("one", "two", "three"))
    del one["seconds"], two["seconds"]
    assert one == two
    assert three["best"]["image"] != one["best"]["image"]


@pytest.mark.slow
def test_another_process_gives_the_same_result(zo, tiny):
    assert zo("run", *tiny, "--out", "one")[0] == 0
    command = [sys.executable, "-m", "zo_dno.ui.cli.main", "run", *map(str, tiny), "--out", "two"]
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run(command, check=True, env=environment, capture_output=True)
    one, two = (json.loads(Path(name, "result.json").read_text()) for name in ("one", "two"))
    del one["seconds"], two["seconds"]
    assert one == two


@pytest.mark.slow
def test_files_of_the_current_folder_are_found_by_every_command(zo, own, tiny, monkeypatch):
    for words in (
        ("run", *own, "--prompt", "sea", "--out", "one"),
        ("resume", "one", "--queries", 24),
        ("render", "one"),
        ("run", *own, "--prompts", "prompts.txt", "--out", "many"),
        ("resume", "many", "--queries", 24, "--seconds", 1000, "--nfe", 10**6),
        ("run", *tiny, "--reward", "my_rewards:warm", "--steps", 4, "--draft", 2, "--out", "draft"),
        ("resume", "draft"),
    ):
        with monkeypatch.context() as fresh:
            fresh.setattr(sys, "path", [path for path in sys.path if path != str(Path.cwd())])
            for name in ("my_models", "my_rewards"):
                fresh.delitem(sys.modules, name, raising=False)
            code, output, errors = zo(*words)
        assert code == 0, (words, output, errors)


def test_a_paid_run_says_what_it_cost(zo, tiny):
    price = ("--no-climb", "--price", 0.25, "--attempts", 2, "--max-cost", 3.1, "--in-flight", 2)
    code, output, _ = zo("run", *tiny, *price, "--out", "here")
    assert code == 0
    assert "cost 2.75" in output  # the twelfth could have come to 2.75 + 2 x 0.25
    assert "are spent, and one query can cost" in output
    assert len(list(Path("here", "images").iterdir())) == 11
    assert "cost 2.75" in zo("show", "here")[1]
    assert zo("resume", "here", "--max-cost", 100)[0] == 0
    assert "cost 6" in zo("show", "here")[1]


def test_a_bad_key_pauses_the_run_in_one_line(zo, tiny):
    code, _, errors = zo(
        "run", *tiny, "--reward", "my_rewards:broken", "--attempts", 1, "--breaker", 4, "--out", "here"
    )
    assert code == 1
    (line,) = errors.strip().splitlines()
    assert line.startswith("Error: Paused after 0 completed queries: the last 4 queries all failed, at last with:")
    assert line.endswith("No more queries were sent. Fix it, then: zo-dno resume here")
    assert "no route to the judge" in line
    shown = zo("show", "here")[1]
    assert "4" in shown
    Path("my_rewards.py").write_text(
        Path("my_rewards.py")
        .read_text()
        .replace("def broken(images, prompts):", "broken = warm\n\n\ndef old(images, prompts):")
    )
    sys.modules.pop("my_rewards")
    code, _, _ = zo("resume", "here")  # nothing had a score that the change could have altered
    assert code == 0
    assert "cannot be repeated exactly" not in zo("show", "here")[1]


def test_before_the_first_score_resume_takes_options_of_the_reward(zo, toy_words, monkeypatch):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)

    def answer(asked):
        return (
            refusal("logprobs is not supported", "logprobs") if "logprobs" in json.loads(asked.body) else judgement(8)
        )

    with answering(answer) as (url, _):
        judge = ("--reward-option", f"url={url}/v1", "--reward-option", "model=m", "--reward-option", "mode=expected")
        few = ("--queries", 4, "--strategy-option", "population=4", "--breaker", 2)
        code, _, errors = zo("run", *toy_words, *few, "--reward", "vlm", *judge, "--out", "here")
        assert code == 1
        assert "Change it with --reward-option mode=rubric" in errors
        assert zo("resume", "here", "--reward-option", "mode=rubric")[0] == 0
        code, _, errors = zo("resume", "here", "--reward-option", "lowest=1")
    assert code == 2
    assert "reward_options" in errors


def test_export(zo, tiny):
    import pandas

    assert zo("run", *tiny, "--reward", "my_rewards:warm", "--baseline", 8, "--out", "here")[0] == 0
    assert zo("export", "here", "table.parquet")[0] == 0
    assert zo("export", "here", "table.csv")[0] == 0
    table, text = pandas.read_parquet("table.parquet"), pandas.read_csv("table.csv")
    assert len(table) == len(text) == 32
    assert list(table.columns) == list(text.columns)
    assert {"id", "population", "image", "prompt", "oracle", "status", "value", "told_seq", "cost"} <= set(
        table.columns
    )
    result = json.loads(Path("here", "result.json").read_text())
    search = table[table.stage == "search"]
    assert search[search.feasible].value.max() == result["best"]["reward"]
    assert search.feasible.dtype == search.perturbed.dtype == search.of_term.dtype == bool
    code, _, errors = zo("export", "here", "table.xlsx")
    assert code == 2
    assert "out must end in .parquet or .csv; got table.xlsx" in errors


def test_render_draws_the_winner_again(zo, tiny, stable_diffusion):
    from PIL import Image
    from safetensors.torch import load_file

    assert zo("run", *tiny, "--out", "here")[0] == 0
    code, output, _ = zo("render", "here")
    assert code == 0, output
    assert Image.open("here/render/image.png").tobytes() == Image.open("here/best.png").tobytes()
    latents = load_file("here/render/latents.safetensors")["latents"]
    plain = stable_diffusion("a cat", num_inference_steps=2, guidance_scale=1.0, latents=latents).images[0]
    difference = torch.tensor(list(plain.tobytes())) - torch.tensor(list(Image.open("here/best.png").tobytes()))
    assert int(difference.abs().max()) <= 1  # another batch size may flip the last bit of a float
    assert zo("render", "here", "--steps", 4, "--out", "more")[0] == 0
    assert Image.open("more/image.png").tobytes() != Image.open("here/best.png").tobytes()


def every_step(z):
    """Draw the initial noise, and the noise of a step over it."""
    return (z.reshape(-1, 2, 3, 4, 4).sum(1) / 2).sigmoid()


every_step.shape = ((3, 4, 4), (3, 4, 4))  # type: ignore[attr-defined]


def test_render_takes_the_noise_of_every_step_or_with_other_steps_the_initial_one(zo, monkeypatch):
    from PIL import Image
    from safetensors.torch import load_file

    words = ("--model", f"{__name__}:every_step", "--prompt", "x", "--reward", "brightness", "--queries", 8)
    assert zo("run", *words, "--out", "here")[0] == 0
    assert zo("render", "here")[0] == 0
    assert Image.open("here/render/image.png").tobytes() == Image.open("here/best.png").tobytes()
    latents = load_file("here/render/latents.safetensors")["latents"]
    load, seen = from_config.load_model, []

    def initial_alone(z):
        seen.append(z)
        return z.reshape(-1, 3, 4, 4).sigmoid()

    def with_steps(config, steps=None):
        return FunctionGenerator(initial_alone, (3, 4, 4)) if steps == 5 else load(config)

    monkeypatch.setattr(from_config, "load_model", with_steps)
    assert zo("render", "here", "--steps", 5)[0] == 0
    assert torch.equal(seen[0][0], latents.flatten())
    assert torch.equal(load_file("here/render/latents.safetensors")["latents"], latents)


@pytest.mark.slow
def test_render_of_a_run_that_searched_every_step(zo, tiny):
    from PIL import Image

    options = ("--search", "all", "--generator-option", "eta=1", "--steps", 3)
    assert zo("run", *tiny, *options, "--out", "here")[0] == 0
    assert zo("render", "here")[0] == 0
    assert Image.open("here/render/image.png").tobytes() == Image.open("here/best.png").tobytes()
    assert zo("render", "here", "--steps", 5)[0] == 0


def test_list_names_everything(zo):
    from zo_dno.rewards import REWARDS
    from zo_dno.scenes import SIDES
    from zo_dno.strategies import STRATEGIES

    code, output, _ = zo("list")
    assert code == 0
    for name in (*REWARDS, *STRATEGIES, *SIDES):
        line = next(line for line in output.splitlines() if line.split()[:1] == [name])
        assert len(line.split()) > 3, line
