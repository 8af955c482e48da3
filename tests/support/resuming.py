"""Runs that are stopped and resumed, and what must not depend on when they were stopped."""

import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import yaml

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.errors import RunError
from zo_dno.storage.ledger import Ledger

PICTURES = ("first.png", "best.png", "strip.png", "progress.png")
PAID = {"price": 0.01, "attempts": 1}


def brightness(images, prompts):
    return [float(np.asarray(image).mean()) for image in images]


def run(folder, reward=brightness, strategy="snes", toy=None, **options):
    options = {"queries": 48, "seed": 3, "strategy_options": {"population": 8}, **options}
    return zo_dno.optimize(toy or ToyGenerator(), reward, strategy, out=folder, **options)


def resume(folder, reward=brightness, toy=None, **options):
    return zo_dno.resume(folder, generator=toy or ToyGenerator(), reward=reward, **options)


def content(folder):
    """Everything that must not depend on when a run was stopped."""
    result = json.loads((folder / "result.json").read_text())
    ledger = Ledger(folder / "ledger.db", read_only=True)
    rows = [replace(row, seconds=0, attempts=0, cost=0) for row in ledger.all_queries()]
    populations = [(row.stage, row.number, row.first_id, row.size, row.noise) for row in ledger.populations()]
    del result["seconds"], result["cost"]
    return result, rows, populations, ledger.artifacts(), [(folder / name).read_bytes() for name in PICTURES]


def settled(images, prompts):
    return brightness(images, prompts)


vars(settled).update(version="1")


def stops(at, error, after=False):
    """The reward `settled`, but for an error at one call, or from it on."""
    calls = []

    def reward(images, prompts):
        calls.append(1)
        if len(calls) == at or (after and len(calls) > at):
            raise error
        return settled(images, prompts)

    reward.__name__ = reward.__qualname__ = "settled"
    vars(reward).update(version="1", calls=calls)
    return reward


def check_ctrl_c(run, tmp_path, at, **options):
    """Stop a run of `settled` at a call, go on, and find what one finds that was not stopped."""
    run(tmp_path / "whole", settled, **options)
    try:
        run(tmp_path / "parts", stops(at, KeyboardInterrupt()), **options)
    except RunError:
        assert at == 1
    resume(tmp_path / "parts", settled)
    assert content(tmp_path / "parts") == content(tmp_path / "whole")


class Crash(BaseException):
    """The process is gone."""


@contextmanager
def crashing(monkeypatch, at, after):
    """End the process, as it were, at a write of the ledger, before or after it."""
    put, left = Ledger.put, [at]

    def crashes(self, *arguments, **named):
        left[0] -= 1
        if left[0] == 0 and not after:
            raise Crash
        put(self, *arguments, **named)
        if left[0] == 0:
            raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "put", crashes)
        yield


def edit(folder, **changes):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    (folder / "config.yaml").write_text(yaml.safe_dump(config | changes))
