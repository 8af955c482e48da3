"""A run's winner is rendered again as the run rendered it."""

import sqlite3
from contextlib import closing

import pytest
import torch

from zo_dno.run.config import validated
from zo_dno.run.from_config import render, run


def fewer_are_brighter(z, prompt):
    """Render images that show with how many others they were rendered."""
    return torch.full((len(z), 4, 4, 3), 250 - len(z) // 2, dtype=torch.uint8)


fewer_are_brighter.shape = (3, 4, 4)  # type: ignore[attr-defined]


@pytest.mark.parametrize("older", [False, True])
def test_the_winner_is_rendered_with_as_many_others_as_in_the_run(tmp_path, older):
    """Blocks end where the budget does, after 22 queries, so the last two were rendered by themselves."""
    folder = tmp_path / "run"
    options = {"reward": "brightness", "queries": 22, "min_log_prob": None, "threads": 1}
    options |= {"strategy": "snes", "strategy_options": {"population": 20}}
    model = {"model": f"{__name__}:fewer_are_brighter", "batch_size": 8, "prompt": "any"}
    found = run(validated({**model, **options}), folder)
    if older:
        with closing(sqlite3.connect(folder / "ledger.db")) as ledger, ledger:
            ledger.execute("DELETE FROM run WHERE key = 'ends'")
    assert found.best.id == 20
    assert found.best.image.max() == 250 - 2 // 2
    assert torch.equal(render(folder)[0], torch.from_numpy(found.best.image))
