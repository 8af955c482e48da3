"""What a run takes from earlier prompts, and leaves for later ones."""

import json
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError, ZoDnoError
from zo_dno.failures import one_line
from zo_dno.reward import Reward, ScoresByChoices
from zo_dno.run.config import RunConfig
from zo_dno.run.decisions import with_decisions
from zo_dno.run.make_reward import name_of, rewards_in
from zo_dno.run.make_strategy import find_strategy
from zo_dno.spaces import DEFAULT_SPACE
from zo_dno.storage.run_folder import KNOWLEDGE_FILE, LEARNED_FILE
from zo_dno.strategies import DEFAULT_STRATEGY
from zo_dno.strategies.surrogate import Surrogate
from zo_dno.strategy import Strategy
from zo_dno.surrogate.knowledge import Knowledge, Transfers
from zo_dno.types import Generator

log = logging.getLogger(__name__)


def identity_of(reward: Reward) -> str:
    """Return everything of a reward that decides a score, as a text."""
    return json.dumps(reward.identity, sort_keys=True, default=str)


def known_before(given: str | Path | Knowledge | None, reward: Reward) -> Knowledge | None:
    """Return what earlier prompts taught: that of a file, where it exists, or what the caller has.

    Raises:
        InputError: The file is damaged, or one of another reward, or there can be no file of that name.
    """
    if given is None:
        return None
    if isinstance(given, Knowledge):
        given.check_reward(identity_of(reward), "what is given")
        return given
    path = Path(given)
    if not _exists(path):
        return None
    known = Knowledge.read(path)
    known.check_reward(identity_of(reward), one_line(str(path), 200))
    return known


def _exists(path: Path) -> bool:
    """Return whether there is a file.

    Raises:
        InputError: There can be none, since its folder is missing, or its name is none.
    """
    try:
        path.stat()
    except FileNotFoundError:
        if not path.parent.is_dir():
            raise InputError(
                f"surrogate must be a file in a folder that exists; got {one_line(str(path), 200)}. Make the folder."
            ) from None
        return False
    except (OSError, ValueError) as error:  # such as a name that is too long
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"surrogate must be a file; {one_line(str(path), 200)}: {reason}. Name another.") from error
    return True


def why_not(strategy: Strategy | None, reward: Reward) -> str | None:
    """Say why what earlier prompts taught cannot be used; None if it can."""
    if isinstance(reward, ScoresByChoices):
        return f"{reward.name} scores by choices, whose scores have a scale of their own in every run"
    if rewards_in(reward) > 1:
        return "a front has several rewards, and the surrogate learns one across prompts"
    return None if strategy is None or isinstance(strategy, Transfers) else "only surrogate learns across prompts"


def leave_behind(strategy: Strategy, prompt: str, reward: Reward, folder: Path | None, file: str | None) -> None:
    """Write what a strategy learned to the folder of its run, and add it to the file that runs share.

    The file is replaced in one step. Of two runs that end at once, the later one is in it for certain. A file that
    cannot be read or written is left as it is, with a warning: the run's result does not depend on it.

    Args:
        strategy: Strategy of the run.
        prompt: Prompt of the run.
        reward: Reward of the run.
        folder: Folder of the run, if it has one.
        file: File of what was learned on earlier prompts, if there is one.
    Raises:
        StorageError: The folder cannot be written.
    """
    if not isinstance(strategy, Transfers) or why_not(strategy, reward):
        return
    learned = strategy.learned
    if learned is None:
        return
    knowledge = Knowledge.of_run(learned, prompt, identity_of(reward))
    if folder is not None:
        knowledge.write(folder / LEARNED_FILE)
    if file is not None:
        add(Path(file), [knowledge])


def add(file: Path, learned: Sequence[Knowledge]) -> None:
    """Add what runs learned to a file, the oldest first; with a warning where that fails."""
    try:
        found = [Knowledge.read(file)] if file.exists() else []
        joined = _joined([*found, *learned])
        if joined is not None:
            joined.write(file)
    except (ZoDnoError, OSError, ValueError) as error:  # of names that no file can have, too
        log.warning("what the surrogate learned was not added to %s: %s", one_line(str(file), 200), error)


def _joined(several: Sequence[Knowledge]) -> Knowledge | None:
    """Join what was learned, the oldest first; None of nothing."""
    whole: Knowledge | None = None
    for one in several:
        whole = one if whole is None else whole.joined(one)
    return whole


@dataclass(frozen=True, slots=True)
class Succession:
    """What each of many prompts starts from: what the file held, and what the prompts `at_once` or more before learned.

    A prompt waits for these, so that its start does not depend on the speed of anything.

    Args:
        start: What the file held when the first prompt began.
        reward: Identity of the reward.
        folders: Folders of the runs, in the order of the prompts.
        at_once: Number of searches in flight.
    """

    start: Knowledge | None
    reward: str
    folders: Sequence[Path]
    at_once: int

    def before(self, number: int, runs: Sequence["Future[Any]"]) -> Callable[[], dict[str, Any]]:
        """Return a function that waits for earlier runs, and returns what the run of a prompt is given.

        Args:
            number: Place of the prompt, from 0.
            runs: Runs of the prompts before it.
        """
        earlier = max(0, number - self.at_once + 1)

        def waited() -> dict[str, Any]:
            wait(runs[:earlier])
            return {"surrogate": _joined([*([self.start] if self.start else []), *self.learned(earlier)])}

        return waited

    def learned(self, n: int) -> list[Knowledge]:
        """Return what the first n prompts learned, where they left something."""
        files = [folder / LEARNED_FILE for folder in self.folders[:n]]
        found = [Knowledge.read(file) for file in files if file.exists()]
        for one in found:
            one.check_reward(self.reward, "an earlier prompt")
        return found


def succession(
    config: RunConfig, generator: Generator, reward: Reward, out: Path, folders: Sequence[Path], at_once: int
) -> Succession | None:
    """Return how many prompts learn from each other; None where their strategy is no surrogate.

    What the config's file holds is kept in `out` when the prompts begin, for those that begin when they are resumed.

    Raises:
        InputError: The file is damaged, or one of another reward.
    """
    if not _learns(config, generator, reward):
        return None
    kept = out / KNOWLEDGE_FILE
    begun = any(folder.exists() for folder in folders)
    start = known_before(kept if begun or kept.exists() else config.surrogate, reward)
    if start is not None and not kept.exists():
        start.write(kept)
    return Succession(start, identity_of(reward), folders, at_once)


def _learns(config: RunConfig, generator: Generator, reward: Reward) -> bool:
    """Whether the runs of a config search by a surrogate that learns across prompts."""
    if why_not(None, reward) or config.space != DEFAULT_SPACE:
        return False
    try:
        if name_of(config.strategy) == DEFAULT_STRATEGY:
            return bool(with_decisions(config, reward, generator).climb)
        target, _ = find_strategy(config.strategy, config.strategy_options)
    except ZoDnoError:  # of which every run says so itself
        return False
    return isinstance(target, type) and issubclass(target, Surrogate)
