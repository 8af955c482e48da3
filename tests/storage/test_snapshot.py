"""A strategy's state comes back from its file as it was, and nothing but such a state is read."""

import json
import re

import pytest
import torch
from safetensors.torch import save_file

from tests.support.play import make, play, shifted_sphere
from zo_dno.errors import InputError
from zo_dno.storage.snapshot import Snapshot, load, save
from zo_dno.types import Candidates


def equal(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return type(one) is type(other) and len(one) == len(other) and all(map(equal, one, other))
    return type(one) is type(other) and one == other


STATE = {
    "tensors": [torch.arange(6).reshape(2, 3).T, torch.tensor(0.5, dtype=torch.float64), torch.zeros(0, 3)],
    "plain": (1, -2.5, True, None, "text \u2603", 10**30),
    "nested": {"by number": {3: [], 4: ()}, "tensor": torch.tensor([True, False])},
    "infinite": [float("inf"), float("-inf")],
}


def test_tensors_and_plain_values_come_back_with_their_types(tmp_path):
    candidates = Candidates(torch.randn(2, 3), (4, 5))
    earlier = {6: Candidates(torch.randn(1, 3), (2,)), 7: Candidates(torch.randn(1, 3), (3,))}
    save(tmp_path / "state", Snapshot(8, candidates, STATE, earlier))
    found = load(tmp_path / "state")
    assert found.population == 8
    assert equal(found.state, STATE)
    assert (found.candidates.ids, [*found.earlier]) == ((4, 5), [6, 7])
    assert torch.equal(found.candidates.z, candidates.z)
    assert all(torch.equal(found.earlier[n].z, earlier[n].z) and found.earlier[n].ids == earlier[n].ids for n in (6, 7))


@pytest.mark.parametrize("name", ["snes", "cmaes", "nevergrad"])
def test_a_strategy_goes_on_from_its_file(tmp_path, name):
    strategy = make(name, d=8, population=6)
    play(strategy, shifted_sphere, 2)
    candidates = strategy.ask()
    save(tmp_path / "state", Snapshot(2, candidates, strategy.state_dict()))
    other, found = make(name, d=8, population=6), load(tmp_path / "state")
    other.load_state_dict(found.state)
    for one in (strategy, other):
        one.tell(candidates, shifted_sphere(candidates.z))
    assert torch.equal(strategy.ask().z, other.ask().z)


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j])
def test_what_is_neither_tensor_nor_plain_is_refused_and_the_file_stays(tmp_path, value):
    candidates = Candidates(torch.zeros(1, 3), (0,))
    save(tmp_path / "state", Snapshot(0, candidates, {"good": 1}))
    with pytest.raises(TypeError, match="state must be tensors and plain values; got"):
        save(tmp_path / "state", Snapshot(1, candidates, {"deep": [{"bad": value}]}))
    assert load(tmp_path / "state").state == {"good": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["state"]


@pytest.mark.parametrize(
    "write",
    [
        lambda path: None,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"\x80\x04\x95 a pickle"),
        lambda path: save_file({"tensor 0": torch.zeros(1, 3)}, path),
        lambda path: save_file({"tensor 0": torch.zeros(1, 3)}, path, {"other": "{}"}),
    ],
    ids=["missing", "empty", "no safetensors", "no metadata", "metadata of others"],
)
def test_a_file_that_is_no_snapshot_is_one_line(tmp_path, write):
    write(tmp_path / "state")
    with pytest.raises(InputError, match=f"snapshot {re.escape(str(tmp_path / 'state'))} cannot be read") as raised:
        load(tmp_path / "state")
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "content", ["{", "[" * 90_000, "[]", "{}", json.dumps({"population": 1, "ids": [], "z": {"dict": 3}, "state": {}})]
)
def test_a_snapshot_of_others_that_does_not_fit_is_one_line(tmp_path, content):
    path = tmp_path / "strategy.safetensors"
    save_file({"x": torch.zeros(1)}, path, {"snapshot": content})
    with pytest.raises(InputError, match=r"^snapshot .*strategy\.safetensors cannot be read: .*$"):
        load(path)
