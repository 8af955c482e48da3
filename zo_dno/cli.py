"""The command line."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from zo_dno.errors import InputError, ZoDnoError

app = typer.Typer(
    name="zo-dno",
    help="Search a diffusion pipeline's noise for images that any reward likes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_MODEL, _REWARD, _SEARCH, _OUTPUT = "Model", "Reward", "Search", "Run"


def _option(help_: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=help_, rich_help_panel=panel, show_default=False)


@app.command()
def run(
    config: Annotated[
        Path | None, typer.Argument(help="A YAML file of options; options given here override it.")
    ] = None,
    prompt: Annotated[str | None, _option("What to draw.", _MODEL)] = None,
    model: Annotated[str | None, _option("scenes (built in), a diffusers folder or a hub name.", _MODEL)] = None,
    negative_prompt: Annotated[str | None, _option("What not to draw.", _MODEL)] = None,
    steps: Annotated[int | None, _option("Denoising steps.", _MODEL)] = None,
    guidance: Annotated[float | None, _option("Scale of classifier-free guidance.", _MODEL)] = None,
    size: Annotated[str | None, _option("HEIGHTxWIDTH, such as 512x512.", _MODEL)] = None,
    dtype: Annotated[str | None, _option("Such as float16.", _MODEL)] = None,
    device: Annotated[str | None, _option("Such as cuda.", _MODEL)] = None,
    search: Annotated[str | None, _option("initial noise, or all steps' (initial, all).", _MODEL)] = None,
    batch_size: Annotated[int | None, _option("Images drawn at once (16).", _MODEL)] = None,
    generator_option: Annotated[
        list[str] | None, _option("KEY=VALUE for the pipeline's call, such as eta=1; repeatable.", _MODEL)
    ] = None,
    reward: Annotated[str | None, _option("A name from `zo-dno list`, or package.module:function.", _REWARD)] = None,
    reward_option: Annotated[list[str] | None, _option("KEY=VALUE; repeatable.", _REWARD)] = None,
    held_out: Annotated[
        list[str] | None, _option("A reward asked about first and best only; repeatable.", _REWARD)
    ] = None,
    workers: Annotated[int | None, _option("Ray actors that ask the reward (0: this process).", _REWARD)] = None,
    strategy: Annotated[str | None, _option("A name from `zo-dno list` (snes).", _SEARCH)] = None,
    strategy_option: Annotated[list[str] | None, _option("KEY=VALUE; repeatable.", _SEARCH)] = None,
    queries: Annotated[int | None, _option("Rewards to ask for (512).", _SEARCH)] = None,
    seconds: Annotated[float | None, _option("Stop after this time.", _SEARCH)] = None,
    target: Annotated[float | None, _option("Stop at this reward.", _SEARCH)] = None,
    seed: Annotated[int | None, _option("Of every random number (0).", _SEARCH)] = None,
    gamma: Annotated[float | None, _option("Weight of the Gaussian regulariser (0).", _SEARCH)] = None,
    min_log_prob: Annotated[
        str | None, _option("Smallest log P of a winner: a number, a level such as 1%, or none.", _SEARCH)
    ] = None,
    init: Annotated[Path | None, _option("Noise to start from: best.safetensors of a run.", _SEARCH)] = None,
    baseline: Annotated[str | None, _option("Queries of best-of-N to compare with, or equal (0).", _SEARCH)] = None,
    top: Annotated[int | None, _option("Keep the K best images that differ (1).", _OUTPUT)] = None,
    threads: Annotated[int | None, _option("CPU threads (all).", _OUTPUT)] = None,
    out: Annotated[Path, _option("New folder for everything that is found.", _OUTPUT)] = Path("runs/latest"),
) -> None:
    """Search the noise of a pipeline for an image with a high reward."""
    from zo_dno.config import read_yaml, validated

    given = {
        "prompt": prompt,
        "model": model,
        "negative_prompt": negative_prompt,
        "steps": steps,
        "guidance": guidance,
        "size": size,
        "dtype": dtype,
        "device": device,
        "search": search,
        "batch_size": batch_size,
        "generator_options": _pairs("--generator-option", generator_option),
        "reward": reward,
        "reward_options": _pairs("--reward-option", reward_option),
        "held_out": held_out,
        "workers": workers,
        "strategy": strategy,
        "strategy_options": _pairs("--strategy-option", strategy_option),
        "queries": queries,
        "seconds": seconds,
        "target": target,
        "seed": seed,
        "gamma": gamma,
        "init": init,
        "baseline": baseline,
        "top": top,
        "threads": threads,
    }
    values = (read_yaml(config) if config else {}) | {key: value for key, value in given.items() if value is not None}
    if min_log_prob is not None:
        values["min_log_prob"] = None if min_log_prob == "none" else _number(min_log_prob)
    checked = validated(values)

    from zo_dno import display

    with display.quiet_libraries(), display.progress() as on_step:
        from zo_dno.runs import run as run_config

        result = run_config(checked, out, on_step)
    display.summary(result)
    if result.status == "interrupted":
        raise typer.Exit(130)  # as the shell counts Ctrl-C


@app.command("list")
def list_() -> None:
    """List the strategies, rewards and models, a line each."""
    from zo_dno import display
    from zo_dno.rewards import REWARDS
    from zo_dno.strategies import STRATEGIES
    from zo_dno.tables import first_line, load

    display.listing("strategies", {name: first_line(load("strategy", STRATEGIES, name)) for name in STRATEGIES})
    display.listing("rewards", {name: first_line(load("reward", REWARDS, name)) for name in REWARDS})
    display.listing(
        "models",
        {
            "scenes": "Landscapes of 64x64 pixels by a small latent diffusion model that is built in.",
            "FOLDER | HUB NAME": "Any diffusers text-to-image pipeline.",
        },
    )


@app.command()
def render(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    steps: Annotated[int | None, typer.Option(help="Draw with other steps than the run did.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write; by default RUN/render.")] = None,
) -> None:
    """Draw a run's winner again, and write its initial latents for plain diffusers (`latents=`)."""
    from zo_dno import display

    if steps is not None and steps < 1:
        raise InputError(f"steps must be at least 1; got {steps}.")
    with display.quiet_libraries():
        from PIL import Image
        from safetensors.torch import save_file

        from zo_dno import runs

        image, latents = runs.render(folder, steps=steps)
        out = out or folder / "render"
        out.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.numpy()).save(out / "image.png")
        save_file({"latents": latents.contiguous()}, out / "latents.safetensors")
    display.files(out, {"image.png": "the winner", "latents.safetensors": "its initial latents, for `latents=`"})


def _pairs(option: str, texts: list[str] | None) -> dict[str, str] | None:
    if texts is None:
        return None
    pairs = [text.partition("=") for text in texts]
    for (key, equals, _), text in zip(pairs, texts, strict=True):
        if not key or not equals:
            raise InputError(f"{option} must be KEY=VALUE; got {text!r}.")
    return {key: _yaml_value(value) if option == "--generator-option" else value for key, _, value in pairs}


def _yaml_value(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def main() -> None:
    """Run the command line: a mistake is one line and exit code 2, a failed run one line and exit code 1."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
    try:
        app()
    except ZoDnoError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, InputError) else 1)


if __name__ == "__main__":
    main()
