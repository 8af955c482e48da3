"""The file of what surrogates learned on earlier prompts."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from zo_dno.errors import InputError, StorageError
from zo_dno.rng import stream
from zo_dno.surrogate.knowledge import ROWS, Knowledge, Learned


def learned(n=20, seed=0):
    features = torch.randn(n, 5, generator=stream(seed, "features"))
    return Learned(features, features[:, 0].clone(), ("picture", "own"), (3, 2))


def knowledge(n=20, prompt="sea", seed=0):
    return Knowledge.of_run(learned(n, seed), prompt, "jpeg")


def same(one, other):
    return one.fingerprint == other.fingerprint


def test_what_is_written_is_read(tmp_path):
    both = knowledge().joined(knowledge(prompt="hills", seed=1))
    both.write(tmp_path / "file")
    found = Knowledge.read(tmp_path / "file")
    assert same(found, both)
    assert found.prompts == ("sea", "hills")
    assert not same(found, replace(found, rewards=found.rewards + 1))
    assert not same(found, replace(found, prompts=("sea", "dunes")))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_prompt_that_comes_again_replaces_its_rows():
    twice = knowledge().joined(knowledge(prompt="hills", seed=1)).joined(knowledge(9, seed=2))
    assert twice.prompts == ("hills", "sea")
    assert twice.prompt_of.tolist() == [0] * 20 + [1] * 9
    assert torch.equal(twice.features[20:], learned(9, 2).features)


def test_the_latest_prompts_keep_their_best_and_evenly_spread_rows():
    whole = knowledge(100, "0")
    for number in range(1, 40):
        whole = whole.joined(knowledge(100, str(number), number))
        assert len(whole) <= ROWS
    assert whole.prompts == tuple(map(str, range(8, 40)))
    assert torch.bincount(whole.prompt_of).tolist() == [16] * 32
    last = learned(100, 39).rewards
    kept = whole.rewards[whole.prompt_of == 31]
    assert torch.equal(kept.sort().values[8:], last.sort().values[-8:])
    places = [int((last == one).nonzero()) for one in kept]
    assert places == sorted(places)
    assert places[0] < 10
    assert places[-1] > 90


def test_one_run_keeps_no_more_than_a_file_may_have():
    assert len(knowledge(600)) == ROWS
    assert len(knowledge().thinned(16)) == 16
    assert same(knowledge().thinned(20), knowledge())


@pytest.mark.parametrize(
    ("newer", "said"),
    [
        (
            replace(knowledge(), reward="clip"),
            "surrogate must be of the same reward; the newer rows has clip, this run",
        ),
        (
            replace(knowledge(), names=("picture", "other")),
            r"this run, picture \(3\), own \(2\); got picture \(3\), oth",
        ),
        (replace(knowledge(), sizes=(2, 3)), "Name another file for these features"),
    ],
)
def test_rows_of_another_kind_are_not_joined(newer, said):
    with pytest.raises(InputError, match=said):
        knowledge().joined(newer)


def broken(**changes):
    return lambda path: replace(knowledge(), **changes).write(path)


DAMAGES = [
    lambda path: None,
    lambda path: path.mkdir(),
    lambda path: path.write_bytes(b""),
    lambda path: path.write_bytes(bytes(range(256)) * 8),
    lambda path: path.write_bytes(path.read_bytes()[:-50]),
    lambda path: save_file({"z": torch.zeros(4)}, path),
    lambda path: save_file({"z": torch.zeros(4)}, path, {"knowledge": "{}"}),
    lambda path: save_file({"z": torch.zeros(4)}, path, {"knowledge": "[[[" * 4000}),
    lambda path: save_file({"z": torch.zeros(4)}, path, {"knowledge": '{"prompts": 3}'}),
    lambda path: path.open("wb").truncate(2**29),
    broken(features=torch.zeros(20, 4)),
    broken(features=torch.zeros(20, 5, dtype=torch.float64)),
    broken(rewards=torch.full((20,), torch.nan)),
    broken(features=torch.full((20, 5), torch.inf)),
    broken(rewards=torch.zeros(19)),
    broken(prompt_of=torch.full((20,), 1)),
    broken(prompt_of=torch.full((20,), -1)),
    broken(prompt_of=torch.zeros(20)),
    broken(prompts=(3,)),
    broken(names=("one",)),
    broken(sizes=(6, -1)),
    broken(sizes=(3.0, 2.0)),
    broken(reward=None),
    broken(**{name: getattr(knowledge(), name)[:0] for name in ("features", "rewards", "prompt_of")}),
    broken(
        **{name: getattr(knowledge(), name).repeat_interleave(30, 0) for name in ("features", "rewards", "prompt_of")}
    ),
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_one_line(tmp_path, damage):
    path = tmp_path / "file"
    if damage in DAMAGES[4:5]:
        knowledge().write(path)
    damage(path)
    with pytest.raises(InputError, match="surrogate must be a file that a run of the surrogate wrote; got") as error:
        Knowledge.read(path)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 500


def test_a_file_that_cannot_be_written_stays_as_it_was(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match="it is a folder"):
        knowledge().write(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == [tmp_path / "folder"]
