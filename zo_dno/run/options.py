"""What a run is asked to do beside its model."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from zo_dno.errors import InputError
from zo_dno.reward import Reward
from zo_dno.search.objective import DEFAULT_LEVEL, Gamma
from zo_dno.search.reranking import Repeats
from zo_dno.spaces import DEFAULT_SPACE
from zo_dno.strategies import DEFAULT_STRATEGY

KEEP_IMAGES = 16  # of free rewards, the image of every so-manieth candidate
SCREENED = 4  # images for a query, where that is decided here


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is asked to do beside its model; the fields are the keys of its `config.yaml` and `optimize`'s."""

    reward: str
    strategy: str
    reward_options: dict[str, Any] = field(default_factory=dict)
    require: list[str] | None = None
    policy: dict[str, Any] = field(default_factory=dict)
    cache: str | None = None
    held_out: list[str] = field(default_factory=list)
    strategy_options: dict[str, Any] = field(default_factory=dict)
    space: str = DEFAULT_SPACE
    space_options: dict[str, Any] = field(default_factory=dict)
    queries: int = 512
    horizon: int | None = None
    nfe: int | None = None
    seconds: float | None = None
    max_cost: float | None = None
    target: float | None = None
    baseline: int | Literal["equal"] = 0
    repeats: Repeats | None = None
    screen: int | None = None
    lag: int = 0
    seed: int = 0
    gamma: Gamma = 0.0
    min_log_prob: float | str | None = DEFAULT_LEVEL
    init: str | None = None
    top: int = 1
    keep_images: int = KEEP_IMAGES
    workers: int = 0
    worker_cpus: float = 1
    worker_gpus: float = 0
    worker_resources: dict[str, float] = field(default_factory=dict)
    ray: str = "local"
    ray_env: dict[str, Any] | None = None
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.baseline != "equal" and self.baseline < 0:
            raise InputError(f"baseline must be at least 0; got {self.baseline}.")
        for name, least in (("top", 1), ("keep_images", 1), ("workers", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}; got {getattr(self, name)}.")


def is_noisy(reward: Reward, options: Options) -> bool:
    """Whether the same image may get another score: the reward says so, or the run is to ask again."""
    return reward.noisy or bool(options.repeats)


def with_preselection(options: Options, reward: Reward) -> Options:
    """Decide how many images are drawn for a query where nobody did: `SCREENED` where money is all that is limited.

    A noisy reward is not screened, since guesses do not help there (docs/strategies.md).
    """
    if options.screen is not None:
        return options
    money_alone = options.max_cost is not None and options.nfe is None and options.seconds is None
    able = options.strategy == DEFAULT_STRATEGY and not options.lag and not is_noisy(reward, options)
    return replace(options, screen=SCREENED if money_alone and able else 0)
