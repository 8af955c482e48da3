"""Small ONNX models: files written by hand, and a stand-in for a session of onnxruntime."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

_FLOAT, _VERSION, _OPSET = 1, 8, 13


@dataclass
class Declared:
    """An input or an output, as onnxruntime declares it."""

    name: str
    shape: Sequence[int | str | None]
    type: str = "tensor(float)"


class Session:
    """A stand-in for `onnxruntime.InferenceSession`: a function of named arrays."""

    def __init__(
        self, inputs: Sequence[Declared], run: Callable[..., Any], outputs: Sequence[str] = ("image",)
    ) -> None:
        self.inputs, self.function, self.outputs = inputs, run, outputs
        self.fed: list[dict[str, np.ndarray]] = []

    def get_inputs(self) -> Sequence[Declared]:
        return self.inputs

    def get_outputs(self) -> Sequence[Declared]:
        return [Declared(name, ()) for name in self.outputs]

    def run(self, outputs: Sequence[str], feed: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Compute the outputs of a batch."""
        self.fed.append(dict(feed))
        found = self.function(**feed)
        return [found[name] for name in outputs] if isinstance(found, dict) else [found]


def write_sigmoid(path: Path, rows: int | str = "n") -> Path:
    """Write the model image = sigmoid(z), both (rows, 3, 4, 4), in the wire format of protocol buffers."""
    node = _text(1, "z") + _text(2, "image") + _text(4, "Sigmoid")
    graph = _part(1, node) + _text(2, "tiny") + _part(11, _value("z", rows)) + _part(12, _value("image", rows))
    path.write_bytes(_number(1, _VERSION) + _part(7, graph) + _part(8, _number(2, _OPSET)))
    return path


def _value(name: str, rows: int | str) -> bytes:
    sizes = [_text(2, rows) if isinstance(rows, str) else _number(1, rows), *(_number(1, size) for size in (3, 4, 4))]
    shape = b"".join(_part(1, size) for size in sizes)
    return _text(1, name) + _part(2, _part(1, _number(1, _FLOAT) + _part(2, shape)))


def _number(field: int, value: int) -> bytes:
    return bytes([field << 3, value])


def _text(field: int, text: str) -> bytes:
    return _part(field, text.encode())


def _part(field: int, content: bytes) -> bytes:
    assert len(content) < 1 << 14
    length = [len(content)] if len(content) < 128 else [len(content) & 127 | 128, len(content) >> 7]
    return bytes([field << 3 | 2, *length]) + content
