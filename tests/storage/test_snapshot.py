"""Snapshots: what was saved is read, and what others wrote is refused in one line."""

import json

import pytest
import torch
from safetensors.torch import save_file

from zo_dno.errors import InputError
from zo_dno.storage.snapshot import Snapshot, load, save
from zo_dno.types import Candidates


def test_a_state_is_read_as_it_was_saved(tmp_path):
    z, state = torch.arange(6.0).reshape(2, 3), {"step": 3, "inner": {1: [torch.ones(2), (None, "x")]}}
    save(tmp_path / "strategy.safetensors", Snapshot(4, Candidates(z, (8, 9)), state, {3: Candidates(z + 1, (6, 7))}))
    read = load(tmp_path / "strategy.safetensors")
    assert (read.population, read.candidates.ids, read.earlier[3].ids) == (4, (8, 9), (6, 7))
    assert torch.equal(read.candidates.z, z)
    ones, plain = read.state["inner"][1]
    assert torch.equal(ones, torch.ones(2))
    assert (read.state["step"], plain) == (3, (None, "x"))


@pytest.mark.parametrize(
    "content", ["{", "[" * 90_000, "[]", "{}", json.dumps({"population": 1, "ids": [], "z": {"dict": 3}, "state": {}})]
)
def test_a_snapshot_of_others_that_does_not_fit_is_one_line(tmp_path, content):
    path = tmp_path / "strategy.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"snapshot": content})
    with pytest.raises(InputError, match=r"^snapshot .*strategy\.safetensors cannot be read: .*$"):
        load(path)
