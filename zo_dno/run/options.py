"""The options of a run but for its model, in groups.

With `model_options`, they are the one list that command line, YAML, `optimize`, help and docs derive from.
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from zo_dno.option_group import OptionGroup, option
from zo_dno.run.option_types import FilePath, Level, Names, Services, policy_changes
from zo_dno.run.several_rewards import as_one
from zo_dno.spaces import DEFAULT_SPACE
from zo_dno.strategies import DEFAULT_STRATEGY

GENERATOR_ACTORS = ("generators", "generator_cpus", "generator_gpus")
"""Options of a cluster that belong to the model; a generator that exists already has them."""


class RewardOptions(OptionGroup):
    """What is maximised, and what is scored beside it."""

    title: ClassVar[str] = "Reward"

    reward: str = option(
        "jpeg_smaller",
        "Name from `zo-dno list`, or package.module:function; several are searched for their front (docs/fronts.md)",
        repeatable=True,
    )
    front: bool | None = option(
        None,
        "Whether several rewards are searched for their front: the candidates that no other beats in all of them; "
        "otherwise for their weighted sum",
        by_default="with several rewards",
    )
    reward_options: dict[str, Any] = option(
        {},
        "Option of the reward; of several, NAME.OPTION, or an option of the front, such as reference",
        flags=("--reward-option",),
        redraw=True,
    )
    require: Names | None = option(
        None, "Threshold that a winner must meet, such as 'prompt_match >= 0.9' (docs/rewards.md)", redraw=True
    )
    held_out: Names = option([], "Reward that scores only the first image and the winner", changeable=True, redraw=True)
    policy: Annotated[dict[str, Any], BeforeValidator(policy_changes)] = option(
        {}, "Changes to the reward's call policy, by the names of the next table", changeable=True, redraw=True
    )
    cache: FilePath | None = option(None, "File of scores that several runs share", changeable=True, redraw=True)

    @model_validator(mode="before")
    @classmethod
    def _several_rewards_are_one(cls, values: Any) -> Any:
        if not isinstance(values, Mapping) or not {"reward", "front"} & values.keys():
            return values
        options = {} if values.get("reward_options") is None else values["reward_options"]
        if not isinstance(options, Mapping) or not all(isinstance(name, str) for name in options):
            return {**values, "reward": cls.model_fields["reward"].default}  # so that their own check refuses them
        named = values.get("reward", cls.model_fields["reward"].default)
        reward, options = as_one(named, values.get("reward_options"), values.get("front"))
        kept = {name: value for name, value in values.items() if name not in ("reward", "front", "reward_options")}
        given = {"reward": reward} if "reward" in values else {}
        return {**kept, **given, **({"reward_options": options} if options or "reward_options" in values else {})}


class SearchOptions(OptionGroup):
    """How the noise is searched."""

    title: ClassVar[str] = "Search"

    strategy: str = option(DEFAULT_STRATEGY, "Name from `zo-dno list`, or package.module:Class")
    strategy_options: dict[str, Any] = option({}, "Option of the strategy", flags=("--strategy-option",))
    space: str = option(DEFAULT_SPACE, "Name of a search space from `zo-dno list` (docs/spaces.md)")
    space_options: dict[str, Any] = option({}, "Option of the search space", flags=("--space-option",))
    seed: int = option(0, "Seed of all random numbers of the search", redraw=True)
    gamma: Annotated[float, Field(ge=0)] | Literal["auto"] = option(
        0.0,
        "Weight of the Gaussian regularizer, or auto, which adapts it to the share of implausible candidates",
        unit="reward per nat",
        redraw=True,
    )
    min_log_prob: Level = option(
        "1%",
        "Plausibility that a winner needs: a level for the tests of log P, norm and whiteness, such as 1%; a number, "
        "which limits log P alone; or none",
        redraw=True,
    )
    init: FilePath | None = option(None, "Noise to start from: best.safetensors of a run, or its folder")
    near: Names = option(
        [], "Liked noise to stay near: a run, a file of noise or a folder of them; several are mixed (docs/spaces.md)"
    )
    distance: Annotated[float, Field(ge=0, le=1)] | Literal["ask"] = option(
        0.3,
        "Share of fresh noise in candidates near liked noise: 0 mixes it alone, 1 forgets it; ask lets a rater choose",
    )
    baseline: Annotated[int, Field(ge=0)] | Literal["equal"] = option(
        0,
        "Queries of a best-of-N run to compare with, or equal (as many as the search); with 0, best-of-N is estimated",
        changeable=True,
    )
    repeats: Annotated[int, Field(ge=0)] | Literal["auto"] | None = option(
        None,
        "Queries reserved for scoring the best images of a noisy reward again, or auto (a fifth of all)",
        by_default="auto for a noisy reward, else 0",
        changeable=True,
    )
    screen: int | None = option(
        None,
        "Images rendered per query; a surrogate selects the ones to score; 0 scores every image",
        by_default="4 with auto and max_cost, but no climb, lag, nfe, seconds or noisy reward; else 0",
        ge=0,
    )
    climb: bool | None = option(
        None,
        "Whether auto searches a surrogate of the reward, by gradients where there are any (docs/strategies.md)",
        by_default="with gradients, if queries cost something; without, as screen",
    )
    diverse: int | None = option(
        None, "Number of good images that differ, which are searched as a set (docs/diverse.md)", ge=2
    )
    apart: str = option(
        "pixels",
        "Distance by which they differ: pixels, picture, colours, bands, modes, embedding:NETWORK, or "
        "package.module:function",
    )
    min_distance: float | None = option(
        None,
        "Least distance of any two of them",
        by_default="0.85 of the mean distance of two prior draws",
        gt=0,
    )
    measures: Names = option(
        [],
        "Measure of images, NAME or NAME=LOW..HIGH: the best candidate of every cell of one or two is kept "
        "(docs/diverse.md)",
    )
    surrogate: FilePath | None = option(
        None,
        "File of what the strategy surrogate learned on earlier prompts, read at the start if it exists, and added to "
        "at the end (docs/strategies.md)",
    )
    lag: int = option(
        0, "Populations that may still lack scores when the next one is proposed (docs/strategies.md)", ge=0
    )


class Budget(OptionGroup):
    """What a run may spend. It ends when the first of these is spent."""

    title: ClassVar[str] = "Budget"

    queries: int = option(512, "Number of queries in all, those served from the cache included", resume=True, ge=1)
    horizon: int | None = option(None, "Number of queries that the strategy plans for", by_default="queries", ge=1)
    nfe: int | None = option(None, "Number of denoiser calls in all", resume=True, ge=1)
    seconds: float | None = option(
        None,
        "Wall-clock time of all sessions together; the population in flight is still finished",
        unit="s",
        resume=True,
        gt=0,
    )
    max_cost: float | None = option(
        None,
        "Money to spend in all, baseline and held-out rewards included; a query that could exceed it is not sent",
        unit="currency",
        resume=True,
        gt=0,
    )
    target: float | None = option(
        None, "Reward at which a feasible candidate ends the search", unit="unit of the reward", changeable=True
    )


class Cluster(OptionGroup):
    """Ray: other processes and machines."""

    title: ClassVar[str] = "Ray: other processes and machines"

    workers: int = option(0, "Number of actors that score; 0 scores in this process", resume=True, redraw=True, ge=0)
    worker_cpus: float = option(
        1, "CPUs that each worker takes; with 0, any number of workers share a CPU", changeable=True, redraw=True, ge=0
    )
    worker_gpus: float = option(0, "GPUs that each worker takes, or a share of one", changeable=True, redraw=True, ge=0)
    worker_resources: dict[str, float] = option(
        {},
        "Custom resource of the cluster that each worker takes",
        flags=("--worker-resource",),
        changeable=True,
        redraw=True,
    )
    generators: int = option(
        0, "Number of actors that render, and take gradients; 0 does both in this process", resume=True, ge=0
    )
    generator_cpus: float = option(1, "CPUs that each generator takes", changeable=True, ge=0)
    generator_gpus: float = option(
        0,
        "GPUs that each generator takes",
        flags=("--gpus-per-generator", "--generator-gpus"),
        changeable=True,
        ge=0,
    )
    ray: str = option(
        "local",
        "Ray to use: local (started for this run), auto (already running on this machine), or HOST:PORT of a cluster",
        resume=True,
        redraw=True,
    )
    ray_env: dict[str, Any] | None = option(
        None,
        "Ray runtime environment of the actors; on the command line, a YAML file",
        form="yaml file",
        changeable=True,
        redraw=True,
    )


class Output(OptionGroup):
    """What a run keeps, and with how many threads it works."""

    title: ClassVar[str] = "Output"

    top: int = option(1, "Number of best images to keep, without near copies", changeable=True, redraw=True, ge=1)
    keep_images: int = option(16, "Keep every k-th image; with a price, every image is kept", changeable=True, ge=1)
    threads: int | None = option(
        None,
        "Number of CPU threads; fixed for a run, since it may change the last bit of an image",
        by_default="all",
        redraw=True,
        ge=1,
    )
    log_to: Services = option(
        [], "Also log to tensorboard, mlflow or wandb; repeatable (docs/watching.md)", resume=True
    )


class RunOptions(Output, Cluster, Budget, SearchOptions, RewardOptions):
    """The options of a run beside its model."""
