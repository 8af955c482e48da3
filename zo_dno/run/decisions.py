"""What a new run decides where its caller leaves it open: how `auto` searches, and how many images a query takes."""

from zo_dno.oracle.policies import call_policies
from zo_dno.reward import Reward
from zo_dno.run.options import RunOptions
from zo_dno.spaces import DEFAULT_SPACE
from zo_dno.strategies import DEFAULT_STRATEGY
from zo_dno.types import Generator, HasVjp

PRESELECTED = 4  # images rendered per query where the run decides
FEWEST = 32  # below, most of the queries are first draws
FEW = 1024  # beyond, the surrogate has no more to learn from further queries (docs/strategies.md)


def is_noisy(reward: Reward, options: RunOptions) -> bool:
    """Whether the same image may get another score: the reward says so, or the run is to score it again."""
    return reward.noisy or bool(options.repeats)


def with_decisions(options: RunOptions, reward: Reward, generator: Generator) -> RunOptions:
    """Decide whether `auto` climbs a surrogate, and whether images are pre-selected; both are written to the config.

    A surrogate is climbed where the generator takes gradients, queries cost money or people's time, and neither
    seconds nor denoiser calls are limited. Otherwise `PRESELECTED` images are rendered per query if only money is
    limited, unless the reward is noisy, where predictions do not help (docs/strategies.md).
    """
    unlimited = options.nfe is None and options.seconds is None
    auto = options.strategy == DEFAULT_STRATEGY and not options.lag
    climb, screen = options.climb, options.screen
    if climb is None:
        climb = auto and unlimited and not screen and _pays(options, reward, generator)
    if screen is None:
        money_alone = options.max_cost is not None and unlimited
        screen = PRESELECTED if money_alone and auto and not climb and not is_noisy(reward, options) else 0
    return options.model_copy(update={"climb": climb, "screen": screen})


def _pays(options: RunOptions, reward: Reward, generator: Generator) -> bool:
    if options.space != DEFAULT_SPACE or not isinstance(generator, HasVjp):
        return False
    policies = call_policies(reward, options.policy).values()
    costly = any(policy.has_price or policy.durable for policy in policies)
    planned = options.horizon or options.queries
    return costly and FEWEST <= planned <= FEW
