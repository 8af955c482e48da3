"""Many prompts: a search each, in its own thread and folder, over one set of actors and one loaded model."""

import csv
import io
import json
import logging
import math
import re
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from zo_dno.distributed.generator_actors import GeneratorPool, closed_after
from zo_dno.distributed.reward_actors import Pools
from zo_dno.errors import InputError, ZoDnoError
from zo_dno.failures import text_of
from zo_dno.option_group import marked
from zo_dno.oracle.combination.reward import Combination
from zo_dno.oracle.ctrl_c import deferred
from zo_dno.oracle.policies import call_policies
from zo_dno.results.state import STOPPED, RunState
from zo_dno.run import optimize as api
from zo_dno.run.cancellation import Stop
from zo_dno.run.config import RunConfig, as_recorded, checked_changes, validated
from zo_dno.run.make_generator import make_generator
from zo_dno.run.make_reward import make_reward, requiring
from zo_dno.run.options import GENERATOR_ACTORS, RunOptions
from zo_dno.run.transfer import add, succession
from zo_dno.search.progress import Step
from zo_dno.storage.atomic import read_text, read_yaml, remove_unfinished, write_text, write_yaml
from zo_dno.storage.checked_folder import check_folder
from zo_dno.storage.csv_cells import plain_cell
from zo_dno.storage.folder_lock import FolderLock
from zo_dno.storage.plain_json import parse_json
from zo_dno.storage.run_folder import CONFIG, KNOWLEDGE_FILE, PROMPTS, is_used
from zo_dno.storage.signature import SIGNATURE, check_trusted, sign
from zo_dno.types import Differentiable, Generator, HasLatents, HasVjp, RendersArrays, Repromptable, capabilities_of

SUMMARY = "summary.csv"
_CHANGEABLE = tuple(name for name in marked(RunOptions, "changeable") if name not in GENERATOR_ACTORS)
_OF_THE_END = ("top", "held_out", "baseline", "repeats", "target")  # changeable options that alter a run that is over
_AT_ONCE = 4  # searches, where rewards or images are waited for
_COLUMNS = ("prompt", "status", "queries", "first", "best", "unit", "log P", "cost", "folder")
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Line:
    """The outcome of one prompt.

    Attributes:
        prompt: Prompt of the run.
        folder: Folder of the run.
        result: Content of its result.json; None where it has none.
        error: Reason why the run failed.
    """

    prompt: str
    folder: Path
    result: dict[str, Any] | None
    error: str | None = None

    @property
    def cells(self) -> tuple[Any, ...]:
        """Cells of the summary, by its columns."""
        if self.result is None:
            left = STOPPED if (self.folder / CONFIG).exists() else "not begun"
            return (self.prompt, self.error or left, 0, "", "", "", "", "", self.folder.name)
        found = self.result
        best = found["best"]
        values = (found["status"], found["queries"], found["first"]["reward"], best["reward"], found["unit"])
        return (self.prompt, *values, best["log_prob"], found["cost"], self.folder.name)


def read_prompts(path: Path) -> list[str]:
    """Read prompts, one a line; empty lines and those that begin with # are skipped.

    Raises:
        InputError: The file cannot be read, holds no prompt, or holds one twice.
    """
    try:
        # not splitlines, which ends lines at characters such as U+2028 and U+0085, too
        lines = [line.strip() for line in read_text(path).split("\n")]
    except (OSError, UnicodeError) as error:
        raise InputError(f"prompts must be a text file with a prompt a line; {path}: {error}.") from error
    prompts = [line for line in lines if line and not line.startswith("#")]
    twice = next((prompt for prompt in prompts if prompts.count(prompt) > 1), None)
    if not prompts or twice is not None:
        got = f"{twice!r} twice" if prompts else "none"
        raise InputError(f"prompts must hold each prompt once, one a line; {path} has {got}.")
    return prompts


def run_many(
    config: RunConfig,
    prompts: Sequence[str],
    out: Path,
    on_step: Callable[[str, Step], None] | None = None,
    *,
    at_once: int | None = None,
    accept_drift: bool = False,
    trust: bool = False,
) -> list[Line]:
    """Run a config for many prompts, or resume them. A run that fails stops no other.

    The runs share the actors and the loaded model, first come, first served. A search never has more than one
    population (and those of its lag) in flight, so none gets ahead of the others. `max_cost` and the rates are divided
    among the runs.

    Runs of the strategy `surrogate` learn from each other: each waits for those `at_once` or more places before it, and
    starts from what they learned and what the config's file held.

    Args:
        config: Config of every run; its own prompt is ignored.
        prompts: Prompts, one run each.
        out: Folder for the folders of the runs.
        on_step: Function that is called with a prompt and the progress of its run after every population.
        at_once: Number of searches in flight; by default 4 where rewards or images are waited for, else 1.
        accept_drift: Whether to resume runs although their beginning cannot be repeated exactly.
        trust: Whether to run code that configs of runs of another user name.
    Raises:
        InputError: Something does not fit any prompt, or one of them.
    """
    _keep(config, prompts, out)
    reward = requiring(make_reward(config.reward, config.reward_options), config.require)
    terms = reward.terms if isinstance(reward, Combination) else ()
    waits = (
        config.workers or config.generators or any(term.is_async for term in [reward, *(one.reward for one in terms)])
    )
    at_once = min(len(prompts), at_once or (_AT_ONCE if waits else 1))
    config = config.model_copy(update=_shared_out(config, at_once, len(prompts), call_policies(reward, config.policy)))
    stop, pools = Stop(), Pools()
    with (
        FolderLock(out, "folder"),
        closed_after(make_generator(config)) as generator,
        ThreadPoolExecutor(at_once, "zo-dno search") as threads,
    ):
        queue = _Queue()
        generators = [_renderer_of(generator, prompt, queue) for prompt in prompts]  # every prompt is checked first
        folders = [out / _name(number, prompt) for number, prompt in enumerate(prompts, 1)]
        passed_on = succession(config, generators[0], reward, out, folders, at_once)
        runs: list[Future[Line]] = []
        try:
            # both stops of a run; and an exception while a thread starts would leave one that is not waited for
            with deferred(stop, times=2):
                for number, (prompt, one, folder) in enumerate(zip(prompts, generators, folders, strict=True)):
                    start = dict if passed_on is None else passed_on.before(number, tuple(runs))
                    run = partial(_run, config, prompt, one, folder, on_step, stop, pools, start)
                    runs.append(threads.submit(run, accept_drift=accept_drift, trust=trust))
                lines = [run.result() for run in runs]
        finally:
            pools.close()
    if passed_on is not None and config.surrogate is not None:
        add(Path(config.surrogate), passed_on.learned(len(folders)))
    file = io.StringIO()
    table = csv.writer(file)
    table.writerow(_COLUMNS)
    table.writerows(map(plain_cell, line.cells) for line in lines)
    write_text(out / SUMMARY, file.getvalue())
    return lines


def resume_many(
    out: Path,
    on_step: Callable[[str, Step], None] | None = None,
    *,
    at_once: int | None = None,
    accept_drift: bool = False,
    trust: bool = False,
    **changes: Any,
) -> list[Line]:
    """Resume the runs of a folder that `run_many` wrote, with the changes that `zo_dno.resume` takes.

    Raises:
        InputError: The folder holds no such runs, or a change does not fit.
    """
    kept, recorded = _kept_prompts(out), as_recorded(read_yaml(out / CONFIG))
    changed = checked_changes(changes)
    check_trusted(out, recorded, trust=trust, without=changed)
    config = validated({**recorded, **changed})
    return run_many(config, kept, out, on_step, at_once=at_once, accept_drift=accept_drift, trust=trust)


def _kept_prompts(out: Path) -> list[str]:
    check_folder(out)
    try:
        kept = parse_json((out / PROMPTS).read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{out / PROMPTS} must hold a list of prompts; it cannot be read: {error}.") from error
    if not isinstance(kept, list) or not all(isinstance(prompt, str) for prompt in kept) or not kept:
        raise InputError(f"{out / PROMPTS} must hold a list of prompts; got {type(kept).__name__}.")
    return kept


def _run(
    config: RunConfig,
    prompt: str,
    generator: Generator,
    folder: Path,
    on_step: Callable[[str, Step], None] | None,
    stop: Stop,
    pools: Pools,
    start: Callable[[], dict[str, Any]],
    *,
    accept_drift: bool,
    trust: bool,
) -> Line:
    def tell(step: Step) -> None:
        if on_step is not None:
            on_step(prompt, step)

    try:
        shared: dict[str, Any] = {"on_step": tell, "stop": stop, "pools": pools}
        learned = {} if (folder / CONFIG).exists() else start()
        if stop.called or _is_over(config, folder):
            return Line(prompt, folder, RunState.of(folder).result or None)
        if (folder / CONFIG).exists():
            changes = {name: getattr(config, name) for name in _CHANGEABLE}
            found = api.resume(folder, accept_drift=accept_drift, trust=trust, generator=generator, **shared, **changes)
        else:
            found = api.optimize(generator, out=folder, **{**config.search_arguments, **shared, **learned})
    except ZoDnoError as error:
        return Line(prompt, folder, None, str(error))
    except KeyboardInterrupt:  # of a second stop, while the run began
        return Line(prompt, folder, RunState.of(folder).result or None)
    except (Exception, SystemExit) as error:  # of a model's function, for instance; the other prompts go on
        log.exception("run %s failed", folder)
        return Line(prompt, folder, None, text_of(error))
    return Line(prompt, folder, found.to_dict())


def _is_over(config: RunConfig, folder: Path) -> bool:
    """Whether a run has nothing left to do: it ended by itself, and the config alters nothing of its end."""
    state = RunState.of(folder)
    if not (state.ended and state.has_completed(config.queries)):
        return False
    recorded = RunOptions().model_dump() | as_recorded(read_yaml(folder / CONFIG))
    return all(getattr(config, name) in (None, recorded[name]) for name in _OF_THE_END)


def _keep(config: RunConfig, prompts: Sequence[str], out: Path) -> None:
    """Write down what is run, or check that the folder holds the same.

    Raises:
        InputError: The folder holds something else.
    """
    text = json.dumps(list(prompts), indent=1, ensure_ascii=False) + "\n"
    path = out / PROMPTS
    if path.exists() and path.read_text(encoding="utf-8") != text:
        raise InputError(f"out must be a new folder, or hold the same prompts; {out} has others. Name another.")
    if not path.exists() and is_used(out):
        raise InputError(f"out must be a new folder; {out} exists. Name another, or remove it.")
    out.mkdir(parents=True, exist_ok=True)
    # not in the folders of its runs, which may be at work for another process
    remove_unfinished(out, (PROMPTS, SUMMARY, CONFIG, SIGNATURE, KNOWLEDGE_FILE))
    own = {"batch_size"} - config.model_fields_set  # a function of the caller's has its own, unless it is set
    values = config.model_dump(mode="json", exclude=own)
    sign(out, values)
    write_text(path, text)
    write_yaml(out / CONFIG, values)


def _shared_out(config: RunConfig, at_once: int, n: int, policies: dict[str, Any]) -> dict[str, Any]:
    """Divide money among all runs, and rates and calls in flight among those that run at the same time."""
    policy = dict(config.policy)
    for name in ("requests_per_minute", "tokens_per_minute"):
        if policy.get(name):
            policy[name] = policy[name] / at_once
    if not config.workers and at_once > 1:
        policy["in_flight"] = max(1, math.ceil(max(one.in_flight for one in policies.values()) / at_once))
    return {"policy": policy, "max_cost": config.max_cost and config.max_cost / n}


class _Queue:
    """A lock that threads get in the order in which they asked for it; its owner may take it again."""

    def __init__(self) -> None:
        self._changed, self._next, self._serving = threading.Condition(), 0, 0
        self._owner, self._depth = 0, 0

    def __enter__(self) -> None:
        if self._owner != threading.get_ident():
            with self._changed:
                mine, self._next = self._next, self._next + 1
                self._changed.wait_for(lambda: self._serving == mine)
                self._owner = threading.get_ident()
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            with self._changed:
                self._owner, self._serving = 0, self._serving + 1
                self._changed.notify_all()


class _InTurn:
    """A generator that shares its model with others; one of them renders or takes gradients or latents at a time.

    All three are in turn: while a pipeline plays given noise, calls of its networks are replaced.
    """

    def __init__(self, generator: Generator, queue: _Queue) -> None:
        self._generator, self._queue = generator, queue
        self.layout, self.nfe = generator.layout, generator.nfe
        known = capabilities_of(generator)
        if isinstance(generator, Differentiable):
            known["render"] = self._in_turn(generator.render)
        if isinstance(generator, HasVjp):
            known["vjp"] = self._in_turn(generator.vjp)
        if isinstance(generator, HasLatents):
            known["latents"] = self._in_turn(generator.latents)
        if isinstance(generator, RendersArrays):
            known["render_arrays"] = self._in_turn(generator.render_arrays)
        vars(self).update(known)

    def __call__(self, z: Tensor) -> Tensor:
        with self._queue:
            return self._generator(z)

    def _in_turn(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def waiting(*args: Any) -> Any:
            with self._queue:
                return function(*args)

        return waiting


def _renderer_of(generator: Generator, prompt: str, queue: _Queue) -> Generator:
    """Return the generator of one prompt.

    Raises:
        InputError: The prompt cannot be rendered.
    """
    assert isinstance(generator, Repromptable)
    made = generator.with_prompt(prompt)
    return made if isinstance(made, GeneratorPool) else _InTurn(made, queue)


def _name(number: int, prompt: str) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")
    return f"{number:03d}-{words[:40].rstrip('-')}".rstrip("-")
