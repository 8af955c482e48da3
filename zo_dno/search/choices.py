"""The choices by which populations are scored, where a reward scores by choices among images."""

from zo_dno.reward import Reward, ScoresByChoices
from zo_dno.search.population import Population
from zo_dno.storage.ledger import Ledger
from zo_dno.types import Choice


def recorded_choices(reward: Reward, ledger: Ledger, stage: str, population: Population) -> list[Choice]:
    """Return the choices by which a complete population was scored, and record them once."""
    if not isinstance(reward, ScoresByChoices):
        return []
    recorded = ledger.choices(stage, population.row.number)
    if recorded is not None or population.told is not None:  # or told by an earlier version, without choices
        return recorded or []
    choices = choices_among(reward, ledger, stage, population)
    ledger.put_choices(stage, population.row.number, choices)
    return choices


def choices_among(reward: Reward, ledger: Ledger, stage: str, population: Population) -> list[Choice]:
    """Return the choices by which new images of a population were scored, by ids of candidates."""
    if not isinstance(reward, ScoresByChoices):
        return []
    rows = [*ledger.queries(stage), *population.rows.values()]
    ids = {row.image: row.id for row in reversed(rows)}
    orders = reward.orders({row.image for row in population.rows.values() if not row.cached})
    return [choice for order in orders if (choice := Choice.of(order, ids)).stages]
