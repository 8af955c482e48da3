"""The manifest of a run: its config, reward and environment as recorded, compared when the run is resumed."""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from zo_dno.errors import InputError
from zo_dno.generators.local_files import local_files
from zo_dno.results.environment import differences, environment
from zo_dno.run.config import CHANGEABLE, as_recorded
from zo_dno.run.options import RunOptions
from zo_dno.search.blocks import Blocks
from zo_dno.search.reevaluation import Repeats, kept_back, planned_ends
from zo_dno.storage.ledger import REPEAT, Ledger
from zo_dno.storage.run_folder import KNOWLEDGE_FILE

if TYPE_CHECKING:
    from zo_dno.run.spec import RunSpec


log = logging.getLogger(__name__)
WARMED_UP = "warmed_up"  # fact of the run: the warm-up is recorded to its end
_KNOWLEDGE = "knowledge"  # fingerprint of what the strategy started from
FILES = "files"  # a fact that older runs lack: the content of the model's files
_PADDED = "padded"  # a fact that older runs lack, whose blocks of images were all filled up
_ENDS = "ends"  # a fact that older runs lack, whose ends follow from their config
_OF_REWARD = ("reward", "reward_options")
_RULES, _NEWEST = "rules", 4
"""Rules by which a run continues as it began. By the first, which older runs have, perturbed images count for an
automatic gamma, and a search that found nothing feasible leaves the queries that were kept back. By the second, equal
scores of all contenders show an exact reward. By the third, a surrogate begins with 16 prior draws, however few its
queries are, a diverse set may become worse, and measures of candidates that may not win are told."""


@dataclass(frozen=True, slots=True)
class LostCalls:
    """Calls that were in flight when a run was killed, and the most that they can have cost."""

    calls: int = 0
    cost: float = 0.0

    def __str__(self) -> str:
        return (
            f"{self.calls} calls were in flight when the run was killed; what they cost is unknown, so "
            f"{self.cost:.4g}, all of their attempts, count as spent"
        )


def blocks_of(ledger: Ledger, batch_size: int | None) -> Blocks:
    """Return the blocks in which the images of a run's search are rendered, as the facts of the run say.

    Args:
        ledger: Ledger of the run.
        batch_size: Batch size of its generator; None where it has none.
    """
    ends = ledger.get(_ENDS)
    return Blocks(batch_size, _older_ends(ledger) if ends is None else tuple(ends), ledger.get(_PADDED) is not False)


def _older_ends(ledger: Ledger) -> tuple[int, ...]:
    config = as_recorded(ledger.get("config") or {})
    planned: int | None = config.get("horizon") or config.get("queries")
    repeats: Repeats | None = config.get("repeats")
    if planned is None or config.get("screen"):
        return ()
    if repeats is None:
        repeats = "auto" if ledger.queries(REPEAT) else 0  # a noisy reward is scored again, unless the run was stopped
    return planned_ends(kept_back(repeats, planned) if repeats == "auto" else repeats, planned)


def _reward_as_recorded(reward: dict[str, Any], recorded: dict[str, Any]) -> dict[str, Any]:
    """Return a reward's identity without the batch of low precision where the run is older than that fact.

    Runs of today record it with any batch.
    """
    terms = {
        name: _reward_as_recorded(term, recorded.get("parts", {}).get(name, {}))
        for name, term in reward.get("parts", {}).items()
    }
    low = reward.get("settings", {}).get("dtype", "float32") != "float32"
    kept = {name: value for name, value in reward.items() if not (low and name == "batch" and name not in recorded)}
    return kept | ({"parts": terms} if terms else {})


def _without_news(old: Any, new: Any) -> Any:
    """Return an identity without what its servers had not said when the other one was recorded."""
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {name: _without_news(old.get(name), one) for name, one in new.items() if name != "server" or name in old}


def changed_files(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """Return the differences of files that are on this machine in both sessions; what is missing fails by itself."""
    short = ({name: f"sha256 {files[name][:12]}" for name in old.keys() & new.keys()} for files in (old, new))
    return differences(*short)


class Manifest:
    """The facts of a run in its ledger, written when it starts and compared when it is resumed.

    Args:
        ledger: Ledger of the run; it may be empty.
        spec: Specification that starts or resumes the run.
        accept_drift: Whether to resume although something differs, which is then recorded.
    Attributes:
        padded: Whether every block of images is filled up to the batch size.
        rules: Number of the rules by which the run began.
    Raises:
        InputError: Something differs, or the ledger is too old to resume from.
    """

    def __init__(self, ledger: Ledger, spec: "RunSpec", *, accept_drift: bool = False) -> None:
        self._ledger = ledger
        known = None if spec.knowledge is None else spec.knowledge.fingerprint
        _ = spec.reward.identity  # a server that responds counts before what was recorded of it
        spec.reward.recall(ledger.get("reward") or {})
        facts = {"config": spec.config, "reward": spec.reward.identity, "environment": environment(), _KNOWLEDGE: known}
        facts = json.loads(json.dumps(facts, default=str)) | {FILES: local_files(spec.config)}
        self._environment = facts["environment"]
        recorded = {name: ledger.get(name) for name in (*facts, _PADDED, _ENDS, _RULES)}
        if recorded["config"] is not None:
            self._compare(recorded, facts, accept_drift)
        elif ledger.all_queries():
            raise InputError(
                "run must have been written by version 0.2 of zo-dno or later, which keeps what resuming needs. It can "
                "be shown and exported."
            )
        completed = sum(row.completed for row in ledger.queries())
        if completed > spec.options.queries:
            raise InputError(f"queries must be at least the {completed} scored already; got {spec.options.queries}.")
        self._recorded_environment = recorded["environment"] or self._environment
        self.padded: bool = recorded["config"] is not None and recorded[_PADDED] is not False
        self.rules: int = _NEWEST if recorded["config"] is None else recorded[_RULES] or 1
        facts[FILES] = (recorded[FILES] or {}) | facts[FILES]
        written = {name: fact for name, fact in facts.items() if name != "environment" or recorded[name] is None}
        ledger.set({**written, _PADDED: self.padded, _RULES: self.rules, _ENDS: recorded[_ENDS] or spec.ends})
        self._settle_lost_calls(spec)

    @property
    def drift(self) -> str | None:
        """Note on what of the run cannot be repeated exactly; None where all of it can."""
        notes = self._ledger.get("drift")
        return "; ".join(notes["notes"]) if notes else None

    @property
    def adopted(self) -> bool:
        """Whether the strategy was resumed from a snapshot, so that its beginning cannot be replayed."""
        return bool((self._ledger.get("drift") or {}).get("adopted"))

    def note_drift(self, note: str, *, adopted: bool = False) -> None:
        """Record for good that something differs."""
        notes = self._ledger.get("drift") or {"notes": [], "adopted": False}
        notes["notes"] = list(dict.fromkeys([*notes["notes"], note, *self._changes()]))
        notes["adopted"] = notes["adopted"] or adopted
        self._ledger.set({"drift": notes, "environment": self._environment})

    def note_reward(self, identity: dict[str, Any]) -> None:
        """Record the identity of the reward again: its server may have said more since."""
        self._ledger.set({"reward": json.loads(json.dumps(identity, default=str))})

    def refusal(self, reasons: list[str]) -> InputError:
        """Build the error for a run that cannot be resumed as it was."""
        changes = self._changes()
        why = f" What changed: {', '.join(changes)}." if changes else " No version and no setting is known to differ."
        return InputError(
            f"the run cannot be resumed as it began: {'; '.join(reasons)}.{why} Undo it, or accept it with "
            "--accept-drift: then the result says so."
        )

    def _changes(self) -> list[str]:
        return differences(self._recorded_environment, self._environment)

    def _compare(self, recorded: dict[str, Any], facts: dict[str, Any], accept_drift: bool) -> None:
        if recorded[_KNOWLEDGE] != facts[_KNOWLEDGE]:
            what = "missing" if facts[_KNOWLEDGE] is None else "not the one that it began with"
            raise InputError(
                f"run must have the {KNOWLEDGE_FILE} that its search began with; in its folder, that is {what}. Put it "
                "back, or start a new run."
            )
        self._recorded_environment = recorded["environment"] or self._environment
        old, new = (
            {k: v for k, v in as_recorded(one["config"]).items() if k not in CHANGEABLE} for one in (recorded, facts)
        )
        old = RunOptions().model_dump(include=new.keys() - old.keys()) | old  # options that there were not are at rest
        of_reward = [
            line
            for name in _OF_REWARD
            for line in differences({name: old.pop(name, None)}, {name: new.pop(name, None)})
        ]
        if recorded["reward"] is not None:  # else the process was killed between its first facts
            reward = _reward_as_recorded(_without_news(recorded["reward"], facts["reward"]), recorded["reward"])
            of_reward += [f"reward {line}" for line in differences(recorded["reward"], reward)]
        if of_reward and not any(row.value is not None for row in self._ledger.all_queries()):
            self._begin_again(recorded, of_reward)
            of_reward = []
        reasons = differences(old, new) + changed_files(recorded[FILES] or {}, facts[FILES]) + of_reward
        if reasons and not accept_drift:
            raise self.refusal(reasons)
        for reason in reasons:
            self.note_drift(reason)

    def _begin_again(self, recorded: dict[str, Any], changes: list[str]) -> None:
        """Accept another reward while no query has a score, and send all queries again. Their cost still counts."""
        if self._ledger.all_queries():
            log.warning("the reward has changed (%s); no query had a score, and all are sent again", "; ".join(changes))
        self._ledger.set_aside({WARMED_UP: False})
        recorded[_ENDS] = None

    @property
    def lost_calls(self) -> LostCalls:
        """Calls that were in flight when a session was killed."""
        return LostCalls(**(self._ledger.get("lost_calls") or {}))

    def _settle_lost_calls(self, spec: "RunSpec") -> None:
        """Count calls that were in flight when a session was killed as charged in full, since their cost is unknown."""
        settled, cost = [], 0.0
        for row in self._ledger.all_queries():
            policies = spec.policy_of(row)
            lost = row.status == "asked" and row.error is None and not spec.keeps_answers(row)
            if lost and policies is not None:
                worst = policies.worst_case(1)
                attempts = row.attempts + policies.attempts
                row = replace(row, cost=row.cost + worst, attempts=attempts, error="the run was stopped")
                settled.append(row)
                cost += worst
            spec.purse.settle(0.0, row.cost)
        if not settled:
            return
        before = self.lost_calls
        calls = LostCalls(before.calls + len(settled), before.cost + cost)
        self._ledger.put(settled, facts={"lost_calls": asdict(calls)})
        if cost:
            log.warning("%s", calls)
