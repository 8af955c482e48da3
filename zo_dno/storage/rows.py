"""Rows of the ledger, made from queries and their responses, and read back as scores."""

import math
from typing import Protocol

from zo_dno.storage.ledger import QueryRow
from zo_dno.types import Query, Response, Score


class Named(Protocol):
    """A reward, or a term of a combination."""

    @property
    def name(self) -> str: ...
    @property
    def version(self) -> str: ...


class Tested(Protocol):
    """The results of the plausibility tests for one candidate, such as a `PlausibilityOfOne`."""

    @property
    def log_prob(self) -> float: ...
    @property
    def norm_ratio(self) -> float: ...
    @property
    def whiteness(self) -> float: ...
    @property
    def noise_violation(self) -> float: ...
    @property
    def plausible(self) -> bool: ...


def query_row(
    stage: str,
    population: int,
    reward: Named,
    tested: Tested,
    query: Query,
    response: Response | None = None,
    earlier: QueryRow | None = None,
) -> QueryRow:
    """Make the row of a query that is sent, or of its response.

    Calls and costs are added to those of `earlier`, the row of the same query from an earlier session.
    """
    score = response.score if response is not None else None
    missing = score is not None and score.missing
    calls, failures = (response.attempts, response.failures) if response is not None else (0, ())
    return QueryRow(
        stage=stage,
        id=query.id,
        population=population,
        image=query.sha256,
        prompt=query.prompt,
        oracle=reward.name,
        version=reward.version,
        repeat=query.repeat,
        rater=query.rater,
        status="asked" if score is None else "missing" if missing else "scored",
        value=None if score is None or missing else score.value,
        told=None,
        told_seq=None,
        log_prob=tested.log_prob,
        norm_ratio=tested.norm_ratio,
        whiteness=tested.whiteness,
        noise_violation=tested.noise_violation,
        plausible=tested.plausible,
        cached=response is not None and response.cached,
        attempts=calls + (earlier.attempts if earlier else 0),
        failures="; ".join([*([earlier.failures] if earlier and earlier.failures else []), *failures]),
        kind=score.kind if score else None,
        error=score.error if score else None,
        seconds=score.seconds if score else 0.0,
        tokens=(score.tokens if score else 0) + (earlier.tokens if earlier else 0),
        cost=(response.cost if response else 0.0) + (earlier.cost if earlier else 0.0),
        raw=score.raw if score else None,
        spread=score.spread if score else None,
        reward_violation=score.reward_violation if score else 0.0,
        components=score.components if score else None,
    )


def score_of(row: QueryRow) -> Score:
    """Return the score in a completed row, without its cost and time."""
    return Score(
        value=math.nan if row.value is None else row.value,
        error=row.error,
        raw=row.raw,
        kind=row.kind,
        components=row.components,
        spread=row.spread,
        reward_violation=row.reward_violation,
    )
