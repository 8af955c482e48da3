"""What a report of a comparison says of fronts, diverse sets and cells of measures."""

from collections.abc import Hashable, Mapping
from typing import Any

from zo_dno.comparison.analysis import Analysis
from zo_dno.comparison.several import CELLS, HYPERVOLUME, REWARD, SET
from zo_dno.results.markup import Table, number, share
from zo_dno.storage.run_folder import DIVERSE_SHEET, ELITES_SHEET, FRONT_SHEET

PICTURES = {REWARD: "best.png", HYPERVOLUME: FRONT_SHEET, SET: DIVERSE_SHEET, CELLS: ELITES_SHEET}
"""File of a run's folder that shows what it is compared by."""
_MEANINGS = {
    HYPERVOLUME: "by the hypervolume of their fronts, each run above its own reference point, which is the same for "
    "all searches at one prompt and seed",
    SET: "by the mean reward over the places of their diverse sets; an empty place counts as a low reward, the "
    "offset, which is the same for all runs of a prompt",
    CELLS: "by the QD score, the sum of the rewards of all cells above one offset for all runs of a prompt",
}
_COLUMNS = {"members": "members", "relative_distance": "distance by that of prior draws", "coverage": "coverage"}


def compared_by(found: Analysis) -> list[str]:
    """Return what runs are compared by where that is not their best reward, a sentence for each reward."""
    pairs = found.table[["reward", "statistic"]].drop_duplicates().itertuples(index=False)
    return [f"Runs for {name} are compared {_MEANINGS[by]}." for name, by in pairs if by in _MEANINGS]


def set_columns(found: Analysis) -> list[str]:
    """Return the heads of what a summary says of sets and cells; none where no run searched any."""
    return [_COLUMNS[name] for name in _known(found)]


def set_cells(found: Analysis, row: Mapping[Hashable, Any]) -> list[str]:
    """Return the cells of these columns in a row of the summary."""
    return [share(row[name]) if name == "coverage" else number(row[name]) for name in _known(found)]


def set_words(found: Analysis, budget: int) -> list[str]:
    """Say what is known of the sets and cells of each entry, a sentence each; none where no run searched any."""
    words = {
        "members": lambda value: f"{number(value)} members",
        "relative_distance": lambda value: f"{number(value)} times as far apart as prior draws",
        "coverage": lambda value: f"{share(value)} of the cells",
    }
    if not (known := _known(found)):
        return []
    return [
        f"{row['entry']}, on average: {', '.join(words[name](row[name]) for name in known)}."
        for row in found.summary(budget).to_dict("records")
    ]


def _known(found: Analysis) -> list[str]:
    columns = {"members": "members", "relative_distance": "members", "coverage": "coverage"}
    return [name for name, column in columns.items() if found.table[column].notna().any()]


def sets_table(found: Analysis, budget: int) -> Table | None:
    """Return means of what is known of sets and cells, a row for each entry, reward and prompt; None without any."""
    if not _known(found):
        return None
    names = ["members", "mean_reward", "mean_distance", "prior_distance", "coverage", "qd_score", "offset"]
    at = found.table[found.table["budget"] == budget]
    names = [name for name in names if at[name].notna().any()]
    means = at.groupby(["reward", "prompt", "entry"], sort=True)[names].mean().reset_index()
    rows = [
        (
            str(row["entry"]),
            f"{row['reward']}: {row['prompt']}",
            *((share if name == "coverage" else number)(float(row[name])) for name in names),
        )
        for row in means.to_dict("records")
    ]
    heads = {"prior_distance": "of prior draws", "qd_score": "QD score"}
    return Table(("", "", *(heads.get(name, name.replace("_", " ")) for name in names)), rows)
