"""Checks of a strategy or reward of one's own: the laws that the built-in ones are held to.

    from zo_dno.testing import check_reward, check_strategy

    def test_follow():
        check_strategy(Follow, step=0.3)

    def test_channel():
        check_reward(Channel(which=2))

STRATEGY_LAWS and REWARD_LAWS hold the laws one by one, for tests that are parametrized over them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from PIL import Image

from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.reward import Reward
from zo_dno.strategy import Problem, Strategy
from zo_dno.testing.law import LawError as LawError
from zo_dno.testing.reward_laws import REWARD_LAWS as REWARD_LAWS
from zo_dno.testing.reward_laws import pictures
from zo_dno.testing.search import with_model
from zo_dno.testing.strategy_laws import STRATEGY_LAWS as STRATEGY_LAWS


def check_strategy(strategy: Callable[..., Strategy], **options: Any) -> None:
    """Hold a strategy to every law of its contract, in seconds and without a model.

    Args:
        strategy: Class, or function of a Problem and the options.
        **options: Options of the strategy.
    Raises:
        LawError: A law is broken; the message names it and what was found.
    """

    def make(problem: Problem) -> Strategy:
        return with_model(strategy(problem, **options))

    name = getattr(strategy, "__qualname__", type(strategy).__qualname__)
    _check(name.rpartition(".")[2], STRATEGY_LAWS, make)


def check_reward(
    reward: Reward | Callable[..., Any],
    images: Sequence[Image.Image] | None = None,
    prompt: str = "mountains at dusk",
    at_once: int | None = None,
) -> None:
    """Hold a reward to every law of its contract.

    Args:
        reward: Reward, or function of images and prompts.
        images: Images that it can score, at least two; by default blurred noise.
        prompt: Prompt of all images.
        at_once: Largest number of images in one call; by default the reward's `batch`.
    Raises:
        LawError: A law is broken; the message names it and what was found.
    """
    made = reward if isinstance(reward, Reward) else FunctionReward(reward)
    made.begin(None)
    shown = list(images or pictures(5))
    _check(made.name, REWARD_LAWS, made, shown, prompt, at_once or made.batch)


def _check(name: str, laws: Mapping[str, Callable[..., None]], *arguments: Any) -> None:
    for law, holds in laws.items():
        try:
            holds(*arguments)
        except LawError as broken:
            raise LawError(f"{name} breaks the law {law!r}: {broken}") from None
        except Exception as error:
            raise LawError(f"{name} breaks the law {law!r}: it raises {type(error).__name__}: {error}") from error
