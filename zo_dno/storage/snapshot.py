"""A strategy's state in a file: tensors and plain values, so that reading executes nothing."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.storage.atomic import write_whole
from zo_dno.storage.plain_json import parse_json
from zo_dno.types import Candidates


@dataclass(frozen=True, slots=True, eq=False)
class Snapshot:
    """The state of a strategy after an `ask`.

    Attributes:
        population: Number of that `ask`.
        candidates: Candidates that it proposed.
        state: State of the strategy (`state_dict`), with these candidates pending.
        earlier: Candidates of earlier populations that are still pending, by the populations' numbers.
    """

    population: int
    candidates: Candidates
    state: dict[str, Any]
    earlier: dict[int, Candidates] = field(default_factory=dict)


def save(path: Path, snapshot: Snapshot) -> None:
    """Replace the snapshot at `path`; the old one stays until the new one is on the disk.

    Raises:
        StorageError: The file could not be written.
        TypeError: The state holds something that is neither a tensor nor a plain value.
    """
    from safetensors.torch import save_file

    tensors: dict[str, Tensor] = {}
    content = {
        "population": snapshot.population,
        "ids": list(snapshot.candidates.ids),
        "z": _packed(snapshot.candidates.z, tensors),
        "state": _packed(snapshot.state, tensors),
        "earlier": [[number, list(one.ids), _packed(one.z, tensors)] for number, one in snapshot.earlier.items()],
    }
    metadata = {"snapshot": json.dumps(content)}
    write_whole(path, lambda unfinished: save_file(tensors, unfinished, metadata), durable=True)


def load(path: Path) -> Snapshot:
    """Read a snapshot.

    Raises:
        InputError: There is no snapshot, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            content = parse_json(file.metadata()["snapshot"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118, not a dict
        return _read(content, tensors)
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"snapshot {path} cannot be read: {one_line(str(error), 200)}.") from error


def _read(content: dict[str, Any], tensors: dict[str, Tensor]) -> Snapshot:
    candidates = Candidates(_unpacked(content["z"], tensors), tuple(content["ids"]))
    earlier = {number: Candidates(_unpacked(z, tensors), tuple(ids)) for number, ids, z in content.get("earlier", ())}
    return Snapshot(content["population"], candidates, _unpacked(content["state"], tensors), earlier)


def _packed(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, Tensor):
        name = f"tensor {len(tensors)}"
        tensors[name] = value.detach().cpu().clone(memory_format=torch.contiguous_format)
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _packed(entry, tensors)] for key, entry in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_packed(entry, tensors) for entry in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"A strategy's state must be tensors and plain values; got {type(value).__name__}.")


def _unpacked(packed: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unpacked(entry, tensors) for key, entry in content}
    entries = [_unpacked(entry, tensors) for entry in content]
    return tuple(entries) if kind == "tuple" else entries
