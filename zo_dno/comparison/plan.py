"""The plan of a comparison: a run for each strategy, search space, reward, prompt and seed."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from numbers import Integral
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar

from pydantic import AfterValidator, BeforeValidator

from zo_dno.comparison.statistics import pairs_needed
from zo_dno.errors import InputError, unknown_name
from zo_dno.option_group import OptionGroup, option
from zo_dno.reward import Reward
from zo_dno.run.config import RunConfig, validated
from zo_dno.run.make_generator import check_scene
from zo_dno.run.make_reward import make_reward, name_of
from zo_dno.run.make_strategy import find_space, find_strategy
from zo_dno.spaces import DEFAULT_SPACE

BASELINE = "random_search"  # best-of-N is in every comparison
PLAN = "comparison.yaml"  # file of the plan in a comparison's folder
_OF_RUNS = ("prompt", "reward", "reward_options", "strategy", "strategy_options", "space", "space_options", "seed")

Named = str | Mapping[str, Any] | Callable[..., Any]
_T = TypeVar("_T")


def _listed(values: Any) -> Any:
    if isinstance(values, str | bytes) or not isinstance(values, Sequence):
        raise ValueError(_DIFFERENT)
    return list(values)


def _different(values: list[_T]) -> list[_T]:
    if not values or len(set(map(str, values))) < len(values):
        raise ValueError(_DIFFERENT)
    return values


def _named(given: Any) -> Any:
    """Refuse what YAML may hold in the place of a name: a number, a list, nothing."""
    if isinstance(given, str | Reward) or callable(given):
        return given
    raise ValueError("a name, or an object of Python")


def _named_or_described(given: Any) -> Any:
    if isinstance(given, Mapping):
        return given
    try:
        return _named(given)
    except ValueError as error:
        raise ValueError("a list of names and mappings") from error


def _seeds(given: Any) -> int | list[int]:
    """Take the number of seeds, or the seeds themselves."""
    if _is_whole(given):
        if given < 1:
            raise ValueError("at least 1")
        return int(given)
    seeds = list(given) if isinstance(given, Sequence) and not isinstance(given, str | bytes) else []
    if not seeds or not all(map(_is_whole, seeds)) or len(set(seeds)) < len(seeds):
        raise ValueError("a number of seeds or a list of different whole numbers")
    return [int(seed) for seed in seeds]


def _is_whole(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


_DIFFERENT = "a list of different values"
_Different = Annotated[list[_T], BeforeValidator(_listed), AfterValidator(_different)]
_Thing = Annotated[Any, BeforeValidator(_named)]
_Entry = Annotated[Any, BeforeValidator(_named_or_described)]


class PlanOptions(OptionGroup):
    """What a comparison's file holds beside the options of its runs."""

    kind: ClassVar[str] = "comparison key"

    strategies: _Different[_Entry] = option(..., "Names of strategies, or mappings")
    prompts: _Different[str] = option(..., "Prompts of the model")
    rewards: _Different[_Entry] = option(..., "Names of rewards, or mappings")
    seeds: Annotated[Any, BeforeValidator(_seeds)] = option(..., "Number of seeds, or the seeds themselves")
    spaces: _Different[str] = option(..., "Search spaces")
    queries: int = option(..., "Queries of every run", ge=1)
    budgets: list[int] = option(..., "Queries at which curves are read")


class StrategyEntry(OptionGroup):
    """A strategy of a comparison with its options."""

    kind: ClassVar[str] = "strategy key"

    name: str = option("", "Name to show", by_default="that of the strategy")
    strategy: _Thing = option(..., "Name of the strategy")
    strategy_options: dict[str, Any] = option({}, "Option of the strategy")
    space: str = option(DEFAULT_SPACE, "Search space")
    space_options: dict[str, Any] = option({}, "Option of the search space")


class RewardEntry(OptionGroup):
    """A reward of a comparison with its options."""

    kind: ClassVar[str] = "reward key"

    name: str = option("", "Name to show", by_default="that of the reward")
    reward: _Thing = option(..., "Name of the reward")
    reward_options: dict[str, Any] = option({}, "Option of the reward")


@dataclass(frozen=True, slots=True)
class Trial:
    """One run of a comparison.

    Attributes:
        number: Position in the plan, from 0.
        entry: Name of the strategy with its space and options.
        reward: Name of the reward.
        config: Options of the run.
        given: Python objects that replace names of the config, by "reward" or "strategy".
    """

    number: int
    entry: str
    reward: str
    prompt: str
    seed: int
    config: RunConfig
    given: Mapping[str, Any] = field(default_factory=dict)

    def folder(self, out: Path) -> Path:
        """Return the run's folder in the comparison's folder `out`."""
        words = re.sub(r"[^A-Za-z0-9_]+", "-", f"{self.reward} {self.entry} seed {self.seed}").strip("-")
        return out / "runs" / f"{self.number:04d}-{words}"


@dataclass(frozen=True, slots=True)
class Plan:
    """The plan of a comparison.

    Args:
        strategies: Names, or mappings with strategy, strategy_options, space, space_options and the name to show.
        rewards: Names, functions, or mappings with reward, reward_options and the name to show.
        prompts: Prompts of the model.
        seeds: Number of seeds, or the seeds themselves.
        spaces: Search spaces; a strategy that names none is run in all of them.
        queries: Number of queries of every run.
        budgets: Queries at which curves are read, by default powers of two from 16, and `queries`.
        settings: Options of every run, by their names in `zo-dno run`.
    Raises:
        InputError: An argument does not fit; nothing was run.
    """

    strategies: Sequence[Named]
    prompts: Sequence[str]
    rewards: Sequence[Named] = ("jpeg_smaller",)
    seeds: int | Sequence[int] = 5
    spaces: Sequence[str] = (DEFAULT_SPACE,)
    queries: int = 256
    budgets: Sequence[int] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    trials: tuple[Trial, ...] = field(init=False)

    def __post_init__(self) -> None:
        if self.settings.get("surrogate") is not None:
            raise InputError(
                "surrogate must be left out of a comparison, whose runs must not depend on each other; got "
                f"{self.settings['surrogate']!r}."
            )
        refused = [name for name in self.settings if name in _OF_RUNS]
        if refused:
            raise InputError(f"{refused[0]} must be given in the plural, as a list; got {self.settings[refused[0]]!r}.")
        checked = PlanOptions(**{name: getattr(self, name) for name in PlanOptions.model_fields})
        for name, value in checked.given.items():
            object.__setattr__(self, name, value)
        budgets = sorted(set(self.budgets or _powers(self.queries)) | {self.queries})
        if budgets[0] < 1 or budgets[-1] > self.queries:
            raise InputError(f"budgets must be between 1 and the {self.queries} queries; got {list(self.budgets)}.")
        object.__setattr__(self, "budgets", tuple(budgets))
        object.__setattr__(self, "trials", tuple(self._trials()))

    @property
    def all_seeds(self) -> list[int]:
        """All seeds as a list."""
        return list(range(self.seeds)) if isinstance(self.seeds, int) else list(self.seeds)

    @property
    def entries(self) -> dict[str, tuple[dict[str, Any], Any]]:
        """Options of each strategy by the entry's name, and the Python object that replaces its name."""
        found: dict[str, tuple[dict[str, Any], Any]] = {}
        spaces = [{"space": space} for space in self.spaces]
        for given in (BASELINE, *self.strategies):
            entry, thing = _described(given, "strategy", StrategyEntry)
            for space in [{}] if given == BASELINE or "space" in entry else spaces:
                full = {"space": DEFAULT_SPACE, **entry, **space}
                suffix = "" if full["space"] == DEFAULT_SPACE or "name" in entry else f", {full['space']}"
                name = f"{full.pop('name', full['strategy'])}{suffix}"
                if name in found and name != BASELINE:
                    raise InputError(f"strategies must have different names; {name!r} is there twice. Set name.")
                find_strategy(thing or full["strategy"], full.get("strategy_options") or {})
                find_space(full["space"], full.get("space_options") or {})
                found[name] = full, thing
        return found

    @property
    def named_rewards(self) -> dict[str, tuple[dict[str, Any], Any]]:
        """Options of each reward by its name, and the Python object that replaces its name."""
        found: dict[str, tuple[dict[str, Any], Any]] = {}
        for given in self.rewards:
            full, thing = _described(given, "reward", RewardEntry)
            name = full.pop("name", full["reward"])
            if name in found:
                raise InputError(f"rewards must have different names; {name!r} is there twice. Set name.")
            make_reward(thing or full["reward"], full.get("reward_options"))
            found[name] = full, thing
        return found

    @property
    def too_few_runs(self) -> str:
        """A sentence about the seeds that claims need, where no claim can be significant; empty otherwise."""
        n_claims, cells = len(self.entries) - 1, len(self.prompts) * len(self.named_rewards)
        pairs, needed = cells * len(self.all_seeds), pairs_needed(n_claims)
        if not n_claims or pairs >= needed:
            return ""
        return (
            f"No claim of this comparison can be significant: {pairs} pairs of runs cannot be told from chance with "
            f"{n_claims} {'claim' if n_claims == 1 else 'claims'}, which take {needed}. Give at least "
            f"{math.ceil(needed / cells)} seeds."
        )

    def _trials(self) -> Iterable[Trial]:
        """Make the trials seed by seed, so that an unfinished comparison is one of fewer seeds."""
        # All runs share the model and so its own random numbers, in any order of the runs.
        common = {"generator_seed": 0, "queries": self.queries, **self.settings}
        combinations = product(self.all_seeds, self.prompts, self.named_rewards.items(), self.entries.items())
        for number, (seed, prompt, (reward, (of_reward, judge)), (entry, (of_entry, strategy))) in enumerate(
            combinations
        ):
            config = validated({**common, **of_reward, **of_entry, "prompt": prompt, "seed": seed})
            check_scene(config)
            given = {name: thing for name, thing in (("reward", judge), ("strategy", strategy)) if thing is not None}
            yield Trial(number, entry, reward, prompt, seed, config, given)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `comparison.yaml`."""
        return {
            "strategies": [_written(one, "strategy") for one in self.strategies],
            "rewards": [_written(one, "reward") for one in self.rewards],
            "prompts": list(self.prompts),
            "seeds": self.all_seeds,
            "spaces": list(self.spaces),
            "queries": self.queries,
            "budgets": list(self.budgets),
            **self.settings,
        }


def read_plan(values: Mapping[str, Any]) -> Plan:
    """Turn the content of a comparison's YAML file into a plan.

    Raises:
        InputError: A key or a value does not fit.
    """
    missing = [name for name in ("strategies", "prompts") if name not in values]
    if missing:
        raise InputError(f"{missing[0]} is missing; a comparison needs strategies and prompts.")
    own = {name: values[name] for name in PlanOptions.model_fields if name in values}
    rest = {name: value for name, value in values.items() if name not in own}
    for name in rest:
        if name not in RunConfig.model_fields:
            raise unknown_name(PlanOptions.kind, str(name), {**PlanOptions.model_fields, **RunConfig.model_fields})
    return Plan(**own, settings=rest)


def _described(given: Named, kind: str, model: type[OptionGroup]) -> tuple[dict[str, Any], Any]:
    """Return the config's keys of a name, an object or a mapping, and the object that replaces the name."""
    entry = {str(name): value for name, value in given.items()} if isinstance(given, Mapping) else {kind: given}
    if kind not in entry and entry.keys() <= model.model_fields.keys():
        raise InputError(f"{kind} is missing in {entry}; each entry names its {kind}.")
    described = model(**entry).given
    thing = described[kind]
    if isinstance(thing, str):
        return described, None
    described.setdefault("name", name_of(thing).rpartition(".")[2].rpartition(":")[2])
    return {**described, kind: name_of(thing)}, thing


def _written(given: Named, kind: str) -> Any:
    if isinstance(given, Mapping):
        return {**given, kind: name_of(given[kind])}
    return name_of(given)


def _powers(queries: int) -> list[int]:
    return [2**power for power in range(4, queries.bit_length()) if 2**power <= queries]
