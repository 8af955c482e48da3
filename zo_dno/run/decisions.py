"""What a new run decides where its caller leaves it open: how `auto` searches, and how many images a query takes."""

from zo_dno.oracle.policies import call_policies
from zo_dno.reward import Reward
from zo_dno.run.make_reward import rewards_in
from zo_dno.run.options import RunOptions
from zo_dno.spaces import DEFAULT_SPACE
from zo_dno.strategies import DEFAULT_STRATEGY
from zo_dno.types import Generator, HasVjp

PRESELECTED = 4  # images rendered per query where the run decides
FEWEST = 16  # of which half are first draws
FEW = 1024  # beyond, the surrogate has no more to learn from further queries (docs/strategies.md)


def is_noisy(reward: Reward, options: RunOptions) -> bool:
    """Whether the same image may get another score: the reward says so, or the run is to score it again."""
    return reward.noisy or bool(options.repeats)


def with_decisions(options: RunOptions, reward: Reward, generator: Generator, *, near: bool = False) -> RunOptions:
    """Decide whether `auto` searches a surrogate, and whether images are pre-selected; both are written to the config.

    A surrogate is searched where queries cost money or people's time, and neither seconds nor denoiser calls are
    limited; without the generator's gradients only where money is limited and the reward exact, since the search takes
    more images. The front of several rewards and a diverse set are searched so at any cost, if the generator has
    gradients, and nothing is pre-selected for them. For budgets that are too small or too large for it, `PRESELECTED`
    images are rendered per query under the latter conditions (docs/strategies.md).

    Args:
        options: Options of the run.
        reward: Reward of the run.
        generator: Generator of the run.
        near: Whether the search stays near liked noise.
    """
    unlimited = options.nfe is None and options.seconds is None
    auto = options.strategy == DEFAULT_STRATEGY and not options.lag
    climb, screen = options.climb, options.screen
    money_alone = options.max_cost is not None and unlimited and not is_noisy(reward, options)
    if climb is None:
        several = rewards_in(reward) > 1 or options.diverse is not None
        worth = isinstance(generator, HasVjp) and (several or _is_costly(options, reward))
        climb = auto and unlimited and not screen and not near and _fits(options) and (worth or money_alone)
    if screen is None:
        screen = (
            PRESELECTED
            if money_alone and auto and not climb and rewards_in(reward) == 1 and options.diverse is None
            else 0
        )
    return options.model_copy(update={"climb": climb, "screen": screen})


def _fits(options: RunOptions) -> bool:
    planned = options.horizon or options.queries
    return options.space == DEFAULT_SPACE and FEWEST <= planned <= FEW


def _is_costly(options: RunOptions, reward: Reward) -> bool:
    policies = call_policies(reward, options.policy).values()
    return any(policy.has_price or policy.durable for policy in policies)
