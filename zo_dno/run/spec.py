"""The specification of a run: its options, generator, rewards and strategy, checked before anything is written."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from zo_dno.call_policy import CallPolicy
from zo_dno.distributed.reward_actors import Pools
from zo_dno.errors import InputError
from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.combination.threshold import Threshold
from zo_dno.oracle.policies import call_policies, worst_case
from zo_dno.oracle.purse import Purse
from zo_dno.results.step_log import check_installed
from zo_dno.reward import Reward
from zo_dno.run.adaptations import may_turn_noisy
from zo_dno.run.cancellation import Stop
from zo_dno.run.make_reward import rewards_in
from zo_dno.run.options import GENERATOR_ACTORS, RunOptions
from zo_dno.run.transfer import why_not
from zo_dno.search.limits import Limits
from zo_dno.search.objective import Objective
from zo_dno.search.preselection import Preselection
from zo_dno.search.progress import Step
from zo_dno.search.reevaluation import Repeats, kept_back, planned_ends
from zo_dno.search.white_box import check_white_box
from zo_dno.storage.ledger import HELD_OUT, QueryRow
from zo_dno.strategies import DEFAULT_STRATEGY
from zo_dno.strategy import SearchesFronts, Strategy, WhiteBox
from zo_dno.surrogate.distances import make_distance
from zo_dno.surrogate.knowledge import Knowledge, Transfers
from zo_dno.types import Generator
from zo_dno.types.diversity import Distance, SearchesDiverse, UsesMeasures


@dataclass(slots=True)
class RunSpec:
    """What a run is made of. Building it checks every option and writes nothing.

    Attributes:
        options: Options of the run.
        generator: Generator that renders.
        reward: Reward that is maximised.
        held_out: Rewards that score only the first image and the winner.
        build_strategy: Function that makes a fresh strategy, which knows nothing of earlier prompts.
        model_settings: Keys of `config.yaml` that describe the model.
        on_step: Function called after every population.
        stop: Handle that ends the run from another thread.
        pools: Actors that several runs share.
        knowledge: What the strategy starts from; None where there is nothing, or a chosen strategy cannot take it.
        near: Liked noise (n, d) that the search stays near; None where there is none.
        apart: Function that tells the images of a diverse set apart; None takes what the options name.
        untaught: Reason why what earlier prompts taught cannot be used; None if it can, or is not asked for.
        policies: Call policy of the reward, or of each term of a combination, by name.
        limits: Limits of the search.
        purse: Money of the run.
        kept_back: Queries kept for scoring the best again.
        distance: Distance of images of a diverse set; None where none is searched.
    """

    options: RunOptions
    generator: Generator
    reward: Reward
    held_out: list[Reward]
    build_strategy: Callable[..., Strategy]
    model_settings: dict[str, Any]
    on_step: Callable[[Step], None] | None = None
    stop: Stop | None = None
    pools: Pools | None = None
    knowledge: Knowledge | None = None
    apart: Callable[..., Any] | None = None
    near: Tensor | None = None

    policies: dict[str, CallPolicy] = field(init=False)
    limits: Limits = field(init=False)
    purse: Purse = field(init=False)
    kept_back: int = field(init=False)
    untaught: str | None = field(init=False, default=None)
    distance: Distance | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        options = self.options
        check_installed(options.log_to)
        self.limits = Limits(options.queries, options.seconds, options.nfe)
        self.purse = Purse(options.max_cost)
        self.policies = call_policies(self.reward, options.policy)
        if options.max_cost is not None and not any(policy.has_price for policy in self.policies.values()):
            raise InputError(
                f"max_cost must come with a price; {self.reward.name!r} has none. Set price (an image) or token_price "
                "(a million tokens, with max_tokens)."
            )
        for other in self.held_out:
            if isinstance(other, Combination):
                raise InputError(f"held_out must be single rewards; got {other.name!r}. Name its terms instead.")
        self.kept_back = kept_back(self._repeats(), options.queries)
        self.objective()
        strategy = self._checked_strategy()
        check_white_box(strategy, self.generator, self.reward)
        self._check_front(strategy)
        self.distance = self._checked_distance(strategy)
        if options.screen:
            Preselection(options.screen, options.seed)
            if options.lag:
                raise InputError(f"lag must be 0 with screen, which learns from every score first; got {options.lag}.")
            if isinstance(strategy, WhiteBox):
                raise InputError(f"screen must be 0 with {options.strategy}, which needs scores; got {options.screen}.")

    def _check_front(self, strategy: Strategy) -> None:
        """Check that a front has several rewards, and nothing that takes a single one."""
        options, rewards = self.options, rewards_in(self.reward)
        if rewards == 1:
            if isinstance(strategy, SearchesFronts):
                raise InputError(
                    f"reward must be several with {options.strategy}, which searches their front; got "
                    f"{self.reward.name} alone. Give --reward again."
                )
            return
        if options.gamma:
            raise InputError(f"gamma must be 0 with a front, whose rewards have a unit each; got {options.gamma}.")
        if options.screen:
            raise InputError(
                f"screen must be 0 with a front, since pre-selection predicts a single reward; got {options.screen}."
            )

    def _checked_distance(self, strategy: Strategy) -> Distance | None:
        """Return the distance of images of a diverse set, checked together with what else is asked for."""
        options, size = self.options, self.options.diverse
        if isinstance(strategy, UsesMeasures) and not options.measures and options.strategy != DEFAULT_STRATEGY:
            raise InputError(f"measures must be given with {options.strategy}, which keeps the best of their cells.")
        if size is None:
            if isinstance(strategy, SearchesDiverse) and options.strategy != DEFAULT_STRATEGY:
                raise InputError(f"diverse must be given with {options.strategy}, which searches a set; got none.")
            for name in ("apart", "min_distance"):
                if getattr(options, name) != type(options).model_fields[name].default:
                    raise InputError(f"{name} must come with diverse, the number of images that differ; got it alone.")
            return None
        if size > options.queries:
            raise InputError(
                f"diverse must be at most the number of queries, {options.queries}; got {size}. Take fewer images, or "
                "more queries."
            )
        if rewards_in(self.reward) > 1:
            raise InputError(f"diverse must be left out with a front, which has images of its own; got {size}.")
        return make_distance(options.apart if self.apart is None else self.apart)

    def _checked_strategy(self) -> Strategy:
        """Make a strategy, and check that it can start from what earlier prompts taught, if that is asked for."""
        strategy = self.build_strategy()
        if self.knowledge is None and self.options.surrogate is None:
            return strategy
        self.untaught = why_not(strategy, self.reward)
        if self.untaught is not None and self.options.strategy != DEFAULT_STRATEGY:
            raise InputError(f"surrogate must be left out with {self.options.strategy}: {self.untaught}.")
        if self.untaught is not None:
            self.knowledge = None
        return self._taught(strategy)

    def fresh_strategy(self) -> Strategy:
        """Make a strategy that starts from what earlier prompts taught."""
        return self._taught(self.build_strategy())

    def _taught(self, strategy: Strategy) -> Strategy:
        if self.knowledge is not None:
            assert isinstance(strategy, Transfers)
            strategy.start_from(self.knowledge)
        return strategy

    @property
    def ends(self) -> tuple[int, ...]:
        """Numbers of queries after which the search is planned to stop; with pre-selection, no block ends there."""
        if self.options.screen:
            return ()
        planned, repeats = self.options.horizon or self.options.queries, self._repeats()
        return planned_ends(kept_back(repeats, planned) if repeats == "auto" else repeats, planned)

    def _repeats(self) -> Repeats:
        repeats, combined = self.options.repeats, isinstance(self.reward, Combination)
        if repeats and combined:
            raise InputError(
                f"repeats must be 0 with a combination, whose terms cannot be scored again; got {repeats}."
            )
        if repeats is None:
            noisy = self.reward.noisy or may_turn_noisy(self.reward)
            return "auto" if noisy and not combined else 0
        return repeats

    @property
    def config(self) -> dict[str, Any]:
        """What `config.yaml` holds."""
        return self.model_settings | self.options.model_dump(exclude=set(GENERATOR_ACTORS))

    @property
    def keeps_everything(self) -> bool:
        """Whether every score and every image is on disk before the next call."""
        return any(policy.keeps_everything for policy in self.policies.values())

    @property
    def worst_case(self) -> float:
        """The most that one query can cost, with all attempts of all terms."""
        return worst_case(self.reward, self.options.policy)

    @property
    def thresholds(self) -> tuple[Threshold, ...]:
        """What the reward requires of a winner."""
        return self.reward.thresholds if isinstance(self.reward, Combination) else ()

    def policy_of(self, row: QueryRow) -> CallPolicy | None:
        """Return the policy of a recorded query.

        None for a combination, whose terms are called one by one, and for a held-out reward that is none any more.
        """
        if row.stage == HELD_OUT:
            return next((reward.policy for reward in self.held_out if reward.name == row.oracle), None)
        if isinstance(self.reward, Combination):
            return self.policies.get(row.oracle) if row.of_term else None
        return self.policies[self.reward.name]

    def keeps_answers(self, row: QueryRow) -> bool:
        """Whether the reward of a recorded query keeps its scores, so that a call in flight at a kill is not lost."""
        if row.stage == HELD_OUT:
            return any(reward.keeps_answers for reward in self.held_out if reward.name == row.oracle)
        if isinstance(self.reward, Combination):
            return any(term.reward.keeps_answers for term in self.reward.terms if term.name == row.oracle)
        return self.reward.keeps_answers

    def objective(self) -> Objective:
        """Return a fresh objective."""
        options = self.options
        return Objective(
            self.generator.layout, gamma=options.gamma, min_log_prob=options.min_log_prob, seed=options.seed
        )
