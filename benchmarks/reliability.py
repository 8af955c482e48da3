"""Stop runs of every kind in every way at random instants: is anything lost, or paid for twice?

Every trial stops a fresh run with a signal or at one of its writes, some of them again while they resume, lets it end,
and compares everything with a run that nothing happened to. A server in another process counts the calls.
"""

import argparse
import json
import random
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.kills.cases import CASES, STRATEGIES
from benchmarks.kills.judge import judge
from benchmarks.kills.process import warm_up
from benchmarks.kills.trial import ATTACKS, Outcome, Trial, Whole
from benchmarks.tables import show

COLUMNS = (
    "",
    "trials",
    "signals and kills",
    "mid-run",  # at the last of these, some responses had been recorded
    "same",
    "asked again",
    "repeated",
    "exit (s)",
)


def decks(cards: Sequence[str], rng: random.Random) -> Iterator[str]:
    """Deal cards for ever, each once before any comes again."""
    while True:
        yield from rng.sample(list(cards), len(cards))


def planned(kills: int, cases: Sequence[str], strategies: Sequence[str], seed: int) -> list[tuple[str, str, str]]:
    """Draw trials, (case, strategy, attack): as many of a case as its share says, with every attack in turn."""
    rng, total = random.Random(seed), sum(CASES[case].share for case in cases)
    trials: list[tuple[str, str, str]] = []
    for case in cases:
        number = max(1, round(kills * CASES[case].share / total))
        able = [strategy for strategy in strategies if strategy in CASES[case].strategies]
        dealt = zip(decks(able, rng), decks(list(ATTACKS), rng), strict=False)
        trials += [(case, *next(dealt)) for _ in range(number)]
    return rng.sample(trials, len(trials))


class Harness:
    """Trials side by side in a temporary folder, all with one counting server.

    Args:
        folder: Empty folder.
        seed: Seed of the instants.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self._folder, self._seed, self._logs, self._url = folder, seed, folder / "logs", ""
        self._logs.mkdir()
        self._wholes: dict[tuple[str, str], Whole] = {}
        self._locks = {(case, strategy): threading.Lock() for case in CASES for strategy in STRATEGIES}

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run the server."""
        warm_up()
        with judge(self._logs) as self._url:
            yield

    def trial(self, number: int, case: str, strategy: str, attack: str) -> Outcome:
        """Make a trial, after its undisturbed run if that was not made yet."""
        try:
            whole = self._whole(case, strategy)
        except RuntimeError as error:
            return Outcome(case, strategy, attack, wrong=[f"undisturbed: {error}"])
        trial = self._new(f"{number:04d}", case, strategy)
        outcome = trial.attacked(attack, whole, random.Random(f"{self._seed} {number}"))
        trial.close(keep=bool(outcome.wrong))
        return outcome

    def _whole(self, case: str, strategy: str) -> Whole:
        with self._locks[case, strategy]:
            for attempt in range(3):  # on a busy machine Ray may not start in time
                if (case, strategy) in self._wholes:
                    break
                trial = self._new(f"{case.replace(' ', '-')}-{strategy}-{attempt}", case, strategy)
                try:
                    self._wholes[case, strategy] = trial.whole()
                except RuntimeError:
                    if attempt == 2 or not CASES[case].distributed:
                        raise
                trial.close()
            return self._wholes[case, strategy]

    def _new(self, name: str, case: str, strategy: str) -> Trial:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        return Trial(case, strategy, self._folder / name, self._url, self._logs, port)


def carried_out(
    trials: Sequence[tuple[str, str, str]], folder: Path, *, at_once: int = 2, seed: int = 0, out: Path | None = None
) -> list[Outcome]:
    """Make all trials; those that a file of earlier outcomes has are not made again."""
    outcomes: dict[int, Outcome] = {}
    if out is not None and out.exists():
        for line in map(json.loads, out.read_text(encoding="utf-8").splitlines()):
            number = line.pop("number")
            outcomes[number] = Outcome(**line)
    harness = Harness(folder, seed)
    with harness.running(), ThreadPoolExecutor(at_once) as small, ThreadPoolExecutor(1) as large:
        left = [number for number in range(len(trials)) if number not in outcomes]
        made = {}
        for number in left:  # what takes several processes is alone among its like
            pool = large if CASES[trials[number][0]].distributed else small
            made[pool.submit(harness.trial, number, *trials[number])] = number
        for done, future in enumerate(as_completed(made), 1):
            number, outcome = made[future], future.result()
            outcomes[number] = outcome
            if out is not None:
                with out.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"number": number, **asdict(outcome)}) + "\n")
            if outcome.wrong:
                print(f"trial {number}: {outcome.case}, {outcome.strategy}, {outcome.attack}: {outcome.wrong}")
            if sys.stderr.isatty():
                print(f"\r{done} of {len(left)}", end="", file=sys.stderr)
    return [outcomes[number] for number in sorted(outcomes)]


def rows_by(outcomes: Sequence[Outcome], what: str) -> list[list[Any]]:
    """Sum up outcomes by an attribute of theirs; the columns are COLUMNS."""
    rows = []
    for name in sorted({getattr(outcome, what) for outcome in outcomes}):
        own = [outcome for outcome in outcomes if getattr(outcome, what) == name]
        rows.append(
            [
                name,
                len(own),
                sum(outcome.kills for outcome in own),
                sum(outcome.recorded > 0 for outcome in own),
                sum(not outcome.wrong for outcome in own),
                sum(outcome.asked_again for outcome in own),
                max(outcome.repeated for outcome in own),
                round(max(outcome.seconds_to_exit for outcome in own), 2),
            ]
        )
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=60, help="number of trials")
    parser.add_argument("--cases", nargs="+", default=list(CASES), choices=list(CASES))
    parser.add_argument("--strategies", nargs="+", default=list(STRATEGIES), choices=STRATEGIES)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, help="file of outcomes, a line each; trials in it are not made again")
    parser.add_argument("--keep", type=Path, help="folder for what trials left that went wrong")
    options = parser.parse_args()
    trials = planned(options.kills, options.cases, options.strategies, options.seed)
    if options.keep is not None:
        options.keep.mkdir(parents=True)
    with nullcontext(options.keep) if options.keep else tempfile.TemporaryDirectory() as folder:
        outcomes = carried_out(trials, Path(folder), at_once=options.at_once, seed=options.seed, out=options.out)
    found = {what: rows_by(outcomes, what) for what in ("case", "strategy", "attack")}
    failed = [outcome for outcome in outcomes if outcome.wrong]
    figures = {
        "trials": len(outcomes),
        "kills": sum(outcome.kills for outcome in outcomes),
        "same": len(outcomes) - len(failed),
        "asked again": sum(outcome.asked_again for outcome in outcomes),
        "columns": COLUMNS,
        **found,
        "failed": [asdict(outcome) for outcome in failed],
    }
    rows = [row for what in found.values() for row in (*what, [""] * len(COLUMNS))]
    show(f"{len(outcomes)} runs that were stopped and resumed", COLUMNS, rows, figures)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
