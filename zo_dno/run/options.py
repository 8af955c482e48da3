"""What a run is asked to do beside its model."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.oracle.combination.reward import Combination
from zo_dno.registry import checked_options
from zo_dno.reward import Reward
from zo_dno.search.objective import DEFAULT_LEVEL, Gamma
from zo_dno.search.reranking import Repeats
from zo_dno.spaces import DEFAULT_SPACE
from zo_dno.strategies import DEFAULT_STRATEGY

KEEP_IMAGES = 16  # of free rewards, the image of every so-manieth candidate
SCREENED = 4  # images for a query, where that is decided here
_MONEY = ("price", "token_price", "max_tokens")


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


def policies(reward: Reward, changes: Mapping[str, Any]) -> CallPolicy:
    """Return a reward's terms with a run's changes.

    Raises:
        InputError: a change is unknown or out of range.
    """
    return replace(reward.policy, **checked_options("policy", CallPolicy, changes))


def call_policies(reward: Reward, changes: Mapping[str, Any]) -> dict[str, CallPolicy]:
    """Return the terms of everything that is asked, by its name: of a reward, or of each part of a combination.

    A run's changes are for the parts that count. What a part says of itself goes before them.

    Raises:
        InputError: a change does not fit, or it is a price and several parts count.
    """
    if not isinstance(reward, Combination):
        return {reward.name: policies(reward, changes)}
    counting = [term.name for term in reward.optimised]
    for name in _MONEY:
        if name in changes and len(counting) > 1:
            example = f"{{{counting[0]!r}: {{'policy': {{{name!r}: {changes[name]}}}}}}}"
            raise InputError(
                f"{name} must be given to one part; got it for {', '.join(counting)}. Such as parts={example}."
            )
    return {
        term.name: policies(term.reward, {**(changes if term.weight else {}), **term.policy}) for term in reward.terms
    }
