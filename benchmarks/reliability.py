"""Kill runs at random instants: is anything lost, or paid for twice?"""

import argparse
import tempfile
from pathlib import Path

from benchmarks.kills import EVERYTHING, IN_FLIGHT, QUERIES, STRATEGIES, trials
from benchmarks.tables import show


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=10, help="for each strategy")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcomes = trials(list(STRATEGIES), options.kills, Path(folder))
    rows = []
    for strategy in STRATEGIES:
        own = [one for one in outcomes if one.strategy == strategy]
        same, again = sum(set(one.same) == set(EVERYTHING) for one in own), sum(one.asked_again for one in own)
        under_way = sum(0 < one.recorded < 0.8 * QUERIES for one in own)
        rows.append([strategy, len(own), under_way, same, again, max(one.repeated for one in own)])
    show(
        f"kill -9 at random instants of {QUERIES} paid queries, {IN_FLIGHT} in flight",
        [
            "strategy",
            "kills",
            "in the middle",
            "same as uninterrupted",
            "recorded scores asked again",
            "most calls repeated",
        ],
        rows,
        {"kills": len(outcomes), "holds": all(one.holds for one in outcomes)},
    )


if __name__ == "__main__":
    main()
