"""The command line."""

import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zo_dno.errors import InputError, RunError, ZoDnoError
from zo_dno.generators.quiet import quiet_libraries

if TYPE_CHECKING:
    from zo_dno.results.result import Result
    from zo_dno.run.config import RunConfig

app = typer.Typer(
    name="zo-dno",
    help="Search a diffusion pipeline's noise for images that any reward likes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_MODEL, _REWARD, _POLICY, _SEARCH, _OUTPUT = "Model", "Reward", "How the reward is asked", "Search", "Run"
_RAY = "Ray: other processes and machines"


def _option(help_: str, panel: str, *names: str) -> Any:
    return typer.Option(*names, help=help_, rich_help_panel=panel, show_default=False)


@app.command()
def run(
    config: Annotated[
        Path | None, typer.Argument(help="A YAML file of options; options given here override it.")
    ] = None,
    prompt: Annotated[str | None, _option("What to draw.", _MODEL)] = None,
    prompts: Annotated[
        Path | None, _option("File of prompts, one a line: a run each, in folders of --out.", _MODEL)
    ] = None,
    at_once: Annotated[int | None, _option("Of many prompts, searches at the same time.", _RAY)] = None,
    model: Annotated[
        str | None, _option("scenes (built in), a diffusers folder or hub name, or package.module:name.", _MODEL)
    ] = None,
    negative_prompt: Annotated[str | None, _option("What not to draw.", _MODEL)] = None,
    steps: Annotated[int | None, _option("Denoising steps.", _MODEL)] = None,
    guidance: Annotated[float | None, _option("Scale of classifier-free guidance.", _MODEL)] = None,
    size: Annotated[str | None, _option("HEIGHTxWIDTH, such as 512x512.", _MODEL)] = None,
    dtype: Annotated[str | None, _option("Such as float16.", _MODEL)] = None,
    device: Annotated[str | None, _option("Such as cuda.", _MODEL)] = None,
    search: Annotated[str | None, _option("initial noise, or all steps' (initial, all).", _MODEL)] = None,
    draft: Annotated[
        int | None, _option("Search with so few steps, then ask about the best at --steps.", _SEARCH)
    ] = None,
    batch_size: Annotated[str | None, _option("Images drawn at once (8), or auto.", _MODEL)] = None,
    frames: Annotated[int | None, _option("Of a video, put side by side (4).", _MODEL)] = None,
    compile_: Annotated[bool | None, _option("Compile the denoiser.", _MODEL, "--compile/--no-compile")] = None,
    channels_last: Annotated[bool | None, _option("Memory format of convolutions.", _MODEL)] = None,
    attention: Annotated[str | None, _option("Back end, such as native, flash or sdpa.", _MODEL)] = None,
    vae_slicing: Annotated[bool | None, _option("Decode one image after the other.", _MODEL)] = None,
    vae_tiling: Annotated[bool | None, _option("Decode images in tiles.", _MODEL)] = None,
    offload: Annotated[str | None, _option("To the CPU's memory: model or sequential.", _MODEL)] = None,
    gradient_checkpointing: Annotated[
        bool | None, _option("Recompute networks in the backward pass (on).", _MODEL)
    ] = None,
    gradient_dtype: Annotated[str | None, _option("Of networks in gradients (autocast).", _MODEL)] = None,
    gradient_calls: Annotated[int | None, _option("Last denoiser calls that gradients pass (all).", _MODEL)] = None,
    generator_option: Annotated[
        list[str] | None, _option("KEY=VALUE for the pipeline's call, such as eta=1; repeatable.", _MODEL)
    ] = None,
    reward: Annotated[str | None, _option("A name from `zo-dno list`, or package.module:function.", _REWARD)] = None,
    reward_option: Annotated[list[str] | None, _option("KEY=VALUE; repeatable.", _REWARD)] = None,
    require: Annotated[
        list[str] | None, _option("What a winner must have, such as 'prompt_match >= 0.9'; repeatable.", _REWARD)
    ] = None,
    held_out: Annotated[
        list[str] | None, _option("A reward asked about first and best only; repeatable.", _REWARD)
    ] = None,
    in_flight: Annotated[int | None, _option("Calls under way at once (1).", _POLICY)] = None,
    timeout: Annotated[float | None, _option("Seconds for one call.", _POLICY)] = None,
    deadline: Annotated[float | None, _option("Seconds for one query with all its calls.", _POLICY)] = None,
    attempts: Annotated[int | None, _option("Calls for one query at most (5).", _POLICY)] = None,
    requests_per_minute: Annotated[float | None, _option("Calls started, at most.", _POLICY)] = None,
    tokens_per_minute: Annotated[float | None, _option("Tokens asked for, at most.", _POLICY)] = None,
    price: Annotated[float | None, _option("Money for one image.", _POLICY)] = None,
    token_price: Annotated[float | None, _option("Money for a million tokens.", _POLICY)] = None,
    max_tokens: Annotated[int | None, _option("The most tokens that one call can use.", _POLICY)] = None,
    breaker: Annotated[int | None, _option("Pause once so many calls in a row failed (16; 0: never).", _POLICY)] = None,
    durable: Annotated[
        bool | None, _option("Keep every answer and image at once; always so with a price.", _POLICY)
    ] = None,
    cache: Annotated[Path | None, _option("File of answers that runs share.", _POLICY)] = None,
    strategy: Annotated[str | None, _option("A name from `zo-dno list` (snes).", _SEARCH)] = None,
    strategy_option: Annotated[list[str] | None, _option("KEY=VALUE; repeatable.", _SEARCH)] = None,
    space: Annotated[str | None, _option("What of the noise is searched; see `zo-dno list` (all).", _SEARCH)] = None,
    space_option: Annotated[list[str] | None, _option("KEY=VALUE; repeatable.", _SEARCH)] = None,
    queries: Annotated[int | None, _option("Rewards to ask for (512).", _SEARCH)] = None,
    horizon: Annotated[int | None, _option("Queries that the strategy plans for (--queries).", _SEARCH)] = None,
    nfe: Annotated[int | None, _option("Stop after these denoiser calls.", _SEARCH)] = None,
    seconds: Annotated[float | None, _option("Stop after this time.", _SEARCH)] = None,
    max_cost: Annotated[float | None, _option("Never spend more than this.", _SEARCH)] = None,
    target: Annotated[float | None, _option("Stop at this reward.", _SEARCH)] = None,
    seed: Annotated[int | None, _option("Of every random number (0).", _SEARCH)] = None,
    gamma: Annotated[str | None, _option("Weight of the Gaussian regulariser (0), or auto.", _SEARCH)] = None,
    min_log_prob: Annotated[
        str | None, _option("Smallest log P of a winner: a number, a level such as 1%, or none.", _SEARCH)
    ] = None,
    init: Annotated[Path | None, _option("Noise to start from: best.safetensors of a run.", _SEARCH)] = None,
    baseline: Annotated[str | None, _option("Queries of best-of-N to compare with, or equal (0).", _SEARCH)] = None,
    repeats: Annotated[
        str | None, _option("Of the queries, for asking again about the best: a number, or auto (0).", _SEARCH)
    ] = None,
    screen: Annotated[
        int | None,
        _option(
            "Images to draw for one query; the most promising are asked about (0: all; 4: auto with --max-cost).",
            _SEARCH,
        ),
    ] = None,
    lag: Annotated[
        int | None, _option("Populations that may be unanswered when the next is asked for (0).", _SEARCH)
    ] = None,
    workers: Annotated[int | None, _option("Actors that ask the reward (0: this process).", _RAY)] = None,
    worker_cpus: Annotated[float | None, _option("That each of them counts as (1).", _RAY)] = None,
    worker_gpus: Annotated[float | None, _option("That each of them takes (0).", _RAY)] = None,
    worker_resource: Annotated[list[str] | None, _option("NAME=AMOUNT of a cluster's own; repeatable.", _RAY)] = None,
    generators: Annotated[int | None, _option("Actors that draw (0: this process).", _RAY)] = None,
    generator_cpus: Annotated[float | None, _option("That each of them counts as (1).", _RAY)] = None,
    generator_gpus: Annotated[
        float | None, _option("That each of them takes (0).", _RAY, "--gpus-per-generator", "--generator-gpus")
    ] = None,
    ray: Annotated[str | None, _option("local, auto (what runs here), or a cluster's HOST:PORT (local).", _RAY)] = None,
    ray_env: Annotated[Path | None, _option("YAML file of Ray's runtime environment.", _RAY)] = None,
    top: Annotated[int | None, _option("Keep the K best images that differ (1).", _OUTPUT)] = None,
    keep_images: Annotated[int | None, _option("Keep every so-manieth image (16).", _OUTPUT)] = None,
    threads: Annotated[int | None, _option("CPU threads (all).", _OUTPUT)] = None,
    out: Annotated[Path, _option("New folder for everything that is found.", _OUTPUT)] = Path("runs/latest"),
) -> None:
    """Search the noise of a pipeline for an image with a high reward."""
    from zo_dno.run.config import validated
    from zo_dno.storage.atomic import read_yaml

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
        "batch_size": int(batch_size) if batch_size is not None and batch_size.isdigit() else batch_size,
        "frames": frames,
        "compile": compile_,
        "channels_last": channels_last,
        "attention": attention,
        "vae_slicing": vae_slicing,
        "vae_tiling": vae_tiling,
        "offload": offload,
        "gradient_checkpointing": gradient_checkpointing,
        "gradient_dtype": gradient_dtype,
        "gradient_calls": gradient_calls,
        "generator_options": _pairs("--generator-option", generator_option),
        "reward": reward,
        "reward_options": _pairs("--reward-option", reward_option),
        "require": require,
        "held_out": held_out,
        "workers": workers,
        "worker_cpus": worker_cpus,
        "worker_gpus": worker_gpus,
        "worker_resources": _pairs("--worker-resource", worker_resource),
        "generators": generators,
        "generator_cpus": generator_cpus,
        "generator_gpus": generator_gpus,
        "ray": ray,
        "ray_env": None if ray_env is None else read_yaml(ray_env),
        "cache": cache,
        "strategy": strategy,
        "strategy_options": _pairs("--strategy-option", strategy_option),
        "space": space,
        "space_options": _pairs("--space-option", space_option),
        "queries": queries,
        "horizon": horizon,
        "nfe": nfe,
        "seconds": seconds,
        "max_cost": max_cost,
        "target": target,
        "seed": seed,
        "gamma": None if gamma is None else _number(gamma),
        "init": init,
        "baseline": baseline,
        "repeats": repeats,
        "screen": screen,
        "lag": lag,
        "top": top,
        "keep_images": keep_images,
        "threads": threads,
    }
    policy = {
        "in_flight": in_flight,
        "timeout": timeout,
        "deadline": deadline,
        "attempts": attempts,
        "requests_per_minute": requests_per_minute,
        "tokens_per_minute": tokens_per_minute,
        "price": price,
        "token_price": token_price,
        "max_tokens": max_tokens,
        "breaker": breaker,
        "durable": durable,
    }
    values = (read_yaml(config) if config else {}) | _given(given)
    if queries is not None and horizon is None:
        values.pop("horizon", None)  # a config that a run wrote names it
    values["policy"] = (values.get("policy") or {}) | _given(policy)
    if min_log_prob is not None:
        values["min_log_prob"] = None if min_log_prob == "none" else _number(min_log_prob)
    from zo_dno.ui import display

    if prompts is not None:
        _run_many(values, prompts, out, at_once)
        return
    checked = validated(values)
    if draft is not None:
        _run_draft(checked, draft, out)
        return
    with quiet_libraries(), display.progress() as on_step:
        from zo_dno.run.from_config import run as run_config

        result = run_config(checked, out, on_step)
    _end(result)


def _run_draft(config: "RunConfig", steps: int, out: Path) -> None:
    from zo_dno.run.draft import run_draft
    from zo_dno.run.from_config import import_from_here, with_threads
    from zo_dno.ui import display

    import_from_here()
    with quiet_libraries(), display.progress() as on_step:
        drafted = run_draft(with_threads(config), steps, out, on_step)
    display.drafted(drafted)
    _end(drafted.full)


def _run_many(values: dict[str, Any], prompts: Path, out: Path, at_once: int | None) -> None:
    from zo_dno.run.config import validated
    from zo_dno.run.from_config import import_from_here, with_threads
    from zo_dno.run.many_prompts import read_prompts, run_many
    from zo_dno.ui import display

    if "prompt" in values:
        raise InputError("prompt must be left out with prompts; got both. Write it into the file.")
    import_from_here()
    found = read_prompts(prompts)
    config = with_threads(validated({**values, "prompt": found[0]}))
    with quiet_libraries(), display.progress_of_many() as on_step:
        lines = run_many(config, found, out, on_step, at_once=at_once)
    display.many(lines, out)


@app.command()
def resume(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, or of many prompts.")],
    queries: Annotated[int | None, typer.Option(help="Rewards to ask for in all.", show_default=False)] = None,
    nfe: Annotated[int | None, typer.Option(help="Denoiser calls in all.", show_default=False)] = None,
    seconds: Annotated[float | None, typer.Option(help="Time of all sessions.", show_default=False)] = None,
    max_cost: Annotated[float | None, typer.Option(help="Money to spend in all.", show_default=False)] = None,
    workers: Annotated[int | None, typer.Option(help="Ray actors that ask the reward.", show_default=False)] = None,
    generators: Annotated[int | None, typer.Option(help="Ray actors that draw.", show_default=False)] = None,
    ray: Annotated[str | None, typer.Option(help="Where the actors are.", show_default=False)] = None,
    accept_drift: Annotated[
        bool, typer.Option("--accept-drift", help="Go on although the beginning cannot be repeated exactly.")
    ] = False,
) -> None:
    """Go on with a run that was stopped, paused or killed, or spend a larger budget on a finished one."""
    from zo_dno.ui import display

    if (folder / "prompts.json").exists():
        from zo_dno.run.many_prompts import resume_many

        changed = {"queries": queries, "max_cost": max_cost, "workers": workers, "generators": generators, "ray": ray}
        with quiet_libraries(), display.progress_of_many() as on_step_of:
            lines = resume_many(folder, on_step_of, **changed)
        display.many(lines, folder)
        return
    if (folder / "draft.yaml").exists():
        from zo_dno.run.draft import resume_draft

        with quiet_libraries(), display.progress() as on_step:
            drafted = resume_draft(folder, on_step)
        display.drafted(drafted)
        _end(drafted.full)
        return
    with quiet_libraries(), display.progress() as on_step:
        from zo_dno.run import from_config as runs

        budgets = {"queries": queries, "nfe": nfe, "seconds": seconds, "max_cost": max_cost}
        actors = {"workers": workers, "generators": generators, "ray": ray}
        result = runs.resume(folder, on_step, accept_drift=accept_drift, **budgets, **actors)
    _end(result)


@app.command()
def show(folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, finished or not.")]) -> None:
    """Show how far a run is, what failed, and what it cost; the run may be under way."""
    from zo_dno.results.overview import overview
    from zo_dno.ui import display

    display.overview(overview(folder))


@app.command()
def export(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run, finished or not.")],
    out: Annotated[Path, typer.Argument(help="File to write: .parquet or .csv.")],
) -> None:
    """Write every query of a run as a table, a row each."""
    from zo_dno.results.export import export as write
    from zo_dno.ui import display

    rows = write(folder, out)
    display.files(out.parent, {out.name: f"{rows} queries"})


@app.command()
def compare(
    plan: Annotated[Path, typer.Argument(metavar="CONFIG", help="YAML file; see docs/comparing.md.")],
    out: Annotated[Path, typer.Option(help="New folder, or that of the same comparison to go on with.")] = Path(
        "runs/comparison"
    ),
    at_once: Annotated[int | None, typer.Option(help="Runs under way (one a CPU).", min=1, show_default=False)] = None,
    early_stopping: Annotated[
        bool, typer.Option("--early-stopping", help="Stop runs that are behind; never for figures to show.")
    ] = False,
    ray: Annotated[str, typer.Option(help="local, auto or a cluster's HOST:PORT.")] = "local",
) -> None:
    """Run strategies x spaces x rewards x prompts x seeds with Ray Tune, and write table and report."""
    from zo_dno.comparison.compare import TABLE, run_plan
    from zo_dno.comparison.plan import read_plan
    from zo_dno.run.from_config import import_from_here
    from zo_dno.storage.atomic import read_yaml
    from zo_dno.ui import display

    import_from_here()
    made = read_plan({"threads": 1, **read_yaml(plan)})
    with quiet_libraries(), display.progress_of_trials() as on_trial:
        found = run_plan(made, out, at_once=at_once, early_stopping=early_stopping, ray=ray, on_trial=on_trial)
    found.report()
    display.comparison(found)
    display.files(out, {TABLE: "a row for each run and budget", "report.html": "open it in a browser"})
    if found.unfinished:
        raise typer.Exit(1)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="A run, a comparison, or several runs.")],
    out: Annotated[
        Path | None, typer.Option(help="HTML file to write (report.html in the folder).", show_default=False)
    ] = None,
) -> None:
    """Write a run, a comparison, or several runs side by side as one HTML file."""
    from zo_dno.comparison.compare import Comparison
    from zo_dno.comparison.plan import PLAN
    from zo_dno.results.report import write_run_report
    from zo_dno.ui import display

    if len(folders) > 1:
        path = Comparison.of_runs(folders).report(out or Path("report.html"))
    elif (folders[0] / PLAN).exists():
        path = Comparison.load(folders[0]).report(out)
    else:
        path = write_run_report(folders[0], out)
    display.files(path.parent, {path.name: "open it in a browser"})


@app.command("list")
def list_() -> None:
    """List the strategies, rewards and models, a line each."""
    from zo_dno.registry import first_lines
    from zo_dno.rewards import REWARDS
    from zo_dno.spaces import SPACES
    from zo_dno.strategies import STRATEGIES
    from zo_dno.ui import display

    display.listing("strategies", first_lines(STRATEGIES))
    display.listing("spaces", first_lines(SPACES))
    display.listing("rewards", first_lines(REWARDS))
    display.listing(
        "models",
        {
            "scenes": "Landscapes of 64x64 pixels by a small latent diffusion model that is built in.",
            "FOLDER | HUB NAME": "Any diffusers pipeline that draws images or videos.",
            "MODULE:NAME": "Any Python function z -> images, generator, or class of generators.",
        },
    )


@app.command()
def serve_reward(
    reward: Annotated[str, typer.Argument(help="A name from `zo-dno list`, or package.module:function.")],
    port: Annotated[int, typer.Option(help="To listen on; 0: any that is free.", min=0, max=65535)] = 8011,
    host: Annotated[str, typer.Option(help="Address to listen on; others than loopback need a token.")] = "127.0.0.1",
    reward_option: Annotated[list[str] | None, typer.Option(help="KEY=VALUE; repeatable.", show_default=False)] = None,
    in_flight: Annotated[int | None, typer.Option(help="Calls of the reward at once.", show_default=False)] = None,
    most_images: Annotated[int, typer.Option(help="In one call.", min=1)] = 64,
    replicas: Annotated[int, typer.Option(help="Processes of Ray Serve (0: this one, without Ray).", min=0)] = 0,
) -> None:
    """Serve a reward at POST /score, so that it can live in its own environment or machine.

    Clients send the token that the environment variable ZO_DNO_TOKEN holds here, if it is set.
    """
    from zo_dno.run.build import make_reward
    from zo_dno.run.from_config import import_from_here
    from zo_dno.ui import display
    from zo_dno.web.reward_app import reward_app
    from zo_dno.web.server import WebServer, is_loopback, token_for

    token = token_for(host)
    import_from_here()
    options = _pairs("--reward-option", reward_option)
    made = make_reward(reward, options)
    if replicas:
        from zo_dno.deployment import reward_deployment, serve_reward

        deployed = reward_deployment(
            reward, options, replicas=replicas, most_images=most_images, in_flight=in_flight, loopback=is_loopback(host)
        )
        url = serve_reward(deployed, host, port)
        display.served(f"{url}/score", made, token_needed=bool(token))
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
        return
    server = WebServer(reward_app(made, token=token, most_images=most_images, in_flight=in_flight), host, port)
    display.served(f"{server.url}/score", made, token_needed=bool(token))
    server.run()


@app.command()
def rate(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run with the reward human.")],
    port: Annotated[int, typer.Option(help="To listen on; 0: any that is free.", min=0, max=65535)] = 8012,
    host: Annotated[str, typer.Option(help="Address to listen on, such as 0.0.0.0 for other machines.")] = "127.0.0.1",
) -> None:
    """Serve the rating page of a run, whether or not its search is running.

    The link holds a token that is kept in the run's folder, or the environment variable ZO_DNO_TOKEN.
    """
    from zo_dno.judges.rating_store import RATINGS, Ratings
    from zo_dno.storage.run_folder import check_is_run
    from zo_dno.web.rating_page import Page

    check_is_run(folder)
    if not (folder / RATINGS).exists():
        raise InputError(f"run must have the reward human; {folder} has no {RATINGS}.")
    page = Page(Ratings(folder / RATINGS), folder, host=host, port=port)
    print(f"Rate the images at {page.link}", flush=True)
    page.run()


@app.command()
def render(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run.")],
    steps: Annotated[int | None, typer.Option(help="Draw with other steps than the run did.")] = None,
    out: Annotated[Path | None, typer.Option(help="Where to write; by default RUN/render.")] = None,
) -> None:
    """Draw a run's winner again, and write its initial latents for plain diffusers (`latents=`)."""
    from zo_dno.ui import display

    if steps is not None and steps < 1:
        raise InputError(f"steps must be at least 1; got {steps}.")
    with quiet_libraries():
        from PIL import Image
        from safetensors.torch import save_file

        from zo_dno.run import from_config as runs

        image, latents = runs.render(folder, steps=steps)
        out = out or folder / "render"
        out.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.numpy()).save(out / "image.png")
        save_file({"latents": latents.contiguous()}, out / "latents.safetensors")
    display.files(out, {"image.png": "the winner", "latents.safetensors": "its initial latents, for `latents=`"})


def _end(result: "Result") -> None:
    from zo_dno.ui import display

    display.summary(result)
    if result.pause is not None:
        raise RunError(result.pause)
    if result.status == "interrupted":
        raise typer.Exit(130)  # as the shell counts Ctrl-C


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


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
