"""One trial: a command is stopped, once or more, then resumed to its end and compared with one that was not."""

import hashlib
import os
import random
import re
import shutil
import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.kills.cases import CASES, contents, has_begun, runs_in, words_of
from benchmarks.kills.difference import difference
from benchmarks.kills.judge import count_of, name_of
from benchmarks.kills.process import NEVER, Death, left_behind, started
from benchmarks.kills.toys import PRICE, png_of
from benchmarks.rater import SimulatedRater
from zo_dno.storage.ledger import Ledger

PATIENCE = 300.0  # seconds after which a command counts as hung
_KILL, _INT = signal.SIGKILL, signal.SIGINT
_SEARCHES = 2  # at a time, at most, each with calls that were about to leave when a signal came
ATTACKS = {
    "SIGKILL": (_KILL,),
    "SIGKILL at a write": (None,),
    "SIGKILL, and again while resuming": (_KILL, _KILL),
    "SIGKILL, and again at a write while resuming": (_KILL, None),
    "SIGKILL three times in a row": (_KILL, _KILL, _KILL),
    "SIGTERM": (signal.SIGTERM,),
    "SIGHUP": (signal.SIGHUP,),
    "SIGINT": (_INT,),
    "SIGINT twice": ((_INT, _INT),),
}
"""What strikes a command, and those that resume it: None is a kill at a write, a pair comes in quick succession."""

_LINK = re.compile(rb"http://\S+token=[^\s\x1b]+")


@dataclass(frozen=True)
class Whole:
    """What a command leaves that nothing happened to.

    Attributes:
        seconds: Time from the start to the end.
        writes: Number of writes to ledger and files.
        contents: Contents of the folder, by name.
        calls: Number of calls of the server, by image.
    """

    seconds: float
    writes: int
    contents: dict[str, Any]
    calls: Counter[str]


@dataclass
class Outcome:
    """What a trial came to.

    Attributes:
        case: Name of the kind of run.
        strategy: Name of the strategy.
        attack: Name of the signals and deaths.
        kills: Number of signals and deaths that struck.
        recorded: Number of responses in the ledgers when the last of them struck.
        repeated: Number of paid calls beyond those of an undisturbed run.
        asked_again: Number of those calls that were not in flight when the command was stopped.
        seconds_to_exit: Longest time from a signal other than SIGKILL to the end of the process.
        wrong: Descriptions of what does not hold; empty where all does.
    """

    case: str
    strategy: str
    attack: str
    kills: int = 0
    recorded: int = 0
    repeated: int = 0
    asked_again: int = 0
    seconds_to_exit: float = 0.0
    wrong: list[str] = field(default_factory=list)


class Trial:
    """A command in a folder of its own, with a server that counts its calls.

    Args:
        case: Name of the kind of run.
        strategy: Name of the strategy.
        folder: New folder of the trial; its name is the trial's path on the server.
        url: Address of the server.
        logs: Folder of the server's logs.
        port: Port of the rating page.
    """

    def __init__(self, case: str, strategy: str, folder: Path, url: str, logs: Path, port: int) -> None:
        folder.mkdir(parents=True)
        self.case, self.name, self.strategy, self.folder, self.out = CASES[case], case, strategy, folder, folder / "out"
        self._log = logs / folder.name
        self._robot: SimulatedRater | None = None
        self._words = words_of(case, strategy, folder, f"{url}/{folder.name}", port)

    def whole(self) -> Whole:
        """Run to the end without a disturbance."""
        begin = time.monotonic()
        code = self._finish()
        if code != 0:
            raise RuntimeError(f"{self.name}, {self.strategy} ended with exit code {code}:\n{self.output[-2000:]}")
        seconds = time.monotonic() - begin
        writes = int((self.folder / "writes.txt").read_text("ascii"))
        return Whole(seconds, writes, contents(self.out), count_of(self._log))

    def attacked(self, attack: str, whole: Whole, instants: random.Random) -> Outcome:
        """Stop the command as an attack says, resume it to its end, and compare."""
        outcome = Outcome(self.name, self.strategy, attack)
        try:
            for number, stop in enumerate(ATTACKS[attack]):
                short = attack == "SIGKILL three times in a row" and number > 0
                self._stop(stop, whole, instants, outcome, short=short)
            before, recorded = count_of(self._log), self._recorded()
            code = self._finish()
            if code != 0:
                outcome.wrong.append(f"exit code {code} at the end: {self.output[-1500:]}")
            self._compare(whole, outcome, before, recorded)
        except TimeoutError:
            outcome.wrong.append(f"it hung: {self.output[-1500:]}")
        return outcome

    def close(self, *, keep: bool = False) -> None:
        """Stop its robot, and remove its files unless they are kept."""
        if self._robot is not None:
            self._robot.stop()
        if not keep:
            shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def output(self) -> str:
        """What all of its commands printed."""
        path = self.folder / "output.txt"
        return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""

    def _start(self, death: Death) -> BaseProcess:
        resumes = self.case.command == "run" and has_begun(self.out)
        process = started(["resume", str(self.out)] if resumes else self._words, self.folder, death)
        if self.case.rated:
            self._rate(process)
        return process

    def _rate(self, process: BaseProcess) -> None:
        """Let the robot join in as soon as there is a link; it stays while the page comes and goes."""
        while self._robot is None and process.is_alive():
            found = _LINK.search(self.output.replace("\n", "").encode())
            if found:
                self._robot = SimulatedRater(found[0].decode(), _taste, patient=True)
                self._robot.start()
            time.sleep(0.02)

    def _finish(self) -> int:
        process = self._start(NEVER)
        _await(process)
        return process.exitcode or 0

    def _stop(self, stop: Any, whole: Whole, instants: random.Random, outcome: Outcome, *, short: bool) -> None:
        if stop is None:
            process = self._start(Death(instants.randint(1, whole.writes), instants.random() < 0.5))
            _await(process)
            outcome.kills += process.exitcode == -_KILL
            return
        signals: Sequence[signal.Signals] = stop if isinstance(stop, tuple) else (stop,)
        delay = instants.uniform(0, 0.3 if short else whole.seconds)
        process = self._start(NEVER)
        process.join(delay)
        gap = instants.uniform(0, 0.3)
        begin = time.monotonic()
        for number, one in enumerate(signals):
            if number:
                process.join(gap)
            outcome.kills += process.is_alive()
            if process.is_alive():
                _send(process, one)
        before = count_of(self._log).total()
        _await(process)
        if stop != _KILL:
            outcome.seconds_to_exit = max(outcome.seconds_to_exit, time.monotonic() - begin)
            later = count_of(self._log).total() - before
            ended = process.exitcode == 0  # a stopped run has another code, however late a busy machine stops it
            if ended and later > _SEARCHES * self.case.in_flight and not self.case.distributed:
                outcome.wrong.append(f"{later} calls after the signal")
            self._check_exit(process, outcome, once=len(signals) == 1)

    def _check_exit(self, process: BaseProcess, outcome: Outcome, *, once: bool) -> None:
        """A run that was stopped by a signal leaves its result, and nothing else: no process, no temporary file."""
        wrong = []
        if "Traceback" in self.output:
            wrong.append(f"a traceback: {self.output[-1500:]}")
        if once and self.case.command == "run" and self.name not in ("many prompts", "draft"):
            scored = any(
                row.status == "scored" for run in runs_in(self.out) for row in _rows(run) if row.stage == "search"
            )
            if scored and not (self.out / "result.json").exists():
                wrong.append(f"no result.json, exit code {process.exitcode}: {self.output[-800:]}")
        if process.exitcode not in (0, 1, 130, -signal.SIGTERM, -signal.SIGHUP):
            wrong.append(f"exit code {process.exitcode}")
        deadline = time.monotonic() + 60  # the processes of a Ray of its own end by themselves, a while later
        while (left := left_behind(self.folder)) and time.monotonic() < deadline:
            time.sleep(0.2)
        if left:
            wrong.append(f"processes left: {left}")
        if once and (files := [path.name for path in (self.folder / "temporary").glob("zo-dno*")]):
            wrong.append(f"temporary files left: {files}")
        outcome.wrong.extend(wrong)

    def _recorded(self) -> Counter[str]:
        """Count the responses that were paid for and recorded, by the server's name for their image."""
        names = Counter[str]()
        for run in runs_in(self.out):
            for row in _rows(run):
                if row.completed and row.cost > 0 and (file := run / "images" / f"{row.image}.png").is_file():
                    names[name_of(png_of(Image.open(file)))] += 1
        return names

    def _compare(self, whole: Whole, outcome: Outcome, before: Counter[str], recorded: Counter[str]) -> None:
        calls, lost = count_of(self._log), before - recorded
        outcome.recorded = recorded.total()
        if self.case.priced:
            outcome.repeated = (calls - whole.calls).total()
            outcome.asked_again = (calls - whole.calls - lost).total()
            if outcome.asked_again:
                outcome.wrong.append(f"{outcome.asked_again} recorded responses requested again")
            if outcome.repeated > self.case.in_flight * max(outcome.kills, 1):
                outcome.wrong.append(f"{outcome.repeated} calls repeated")
        if not self.case.exact and calls.total() * PRICE > (cap := self.case.options["max_cost"]) + 1e-9:
            outcome.wrong.append(f"the server charged {calls.total() * PRICE:.2f}, the cap was {cap:.2f}")
        if self.case.exact:
            found = contents(self.out)
            for name in sorted(whole.contents.keys() | found):
                if where := difference(whole.contents.get(name), found.get(name)):
                    outcome.wrong.append(f"{name} differs at {where}")


def _send(process: BaseProcess, number: signal.Signals) -> None:
    """Send a signal as a terminal, a scheduler or the kernel does: Ctrl-C reaches all of the group."""
    assert process.pid is not None
    try:
        if number == _INT and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:
            os.kill(process.pid, number)
    except ProcessLookupError:
        pass


def _await(process: BaseProcess) -> None:
    process.join(PATIENCE)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError


def _rows(run: Path) -> list[Any]:
    return Ledger(run / "ledger.db", read_only=True).all_queries()


def _taste(images: Sequence[Image.Image]) -> list[float]:
    return [float(int(hashlib.sha256(image.convert("RGB").tobytes()).hexdigest()[:8], 16)) for image in images]
