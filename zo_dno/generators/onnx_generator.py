"""The ONNX adapter: a session whose noise inputs are searched, and whose other inputs are fixed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zo_dno.errors import InputError, given, sentence, unknown_name
from zo_dno.failures import one_line
from zo_dno.generators.function_generator import FunctionGenerator, Shape
from zo_dno.registry import load

_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
"""onnxruntime's names of types -> NumPy's."""
_LONGEST_REASON = 300  # characters of an error of onnxruntime


class OnnxGenerator(FunctionGenerator):
    """An ONNX model as a generator: its noise inputs are searched, the others are fixed.

    An output of grey images, (n, H, W) or (n, 1, H, W), gets three equal colours, and one with the colours last is
    taken as it is.

    Args:
        model: Session of onnxruntime, or the path of a file, which needs `pip install 'zo-dno[onnx]'`.
        noise: Names of the inputs that are searched, one or several; by default the only input of floats that is not
            fixed.
        fixed: Values of the other inputs, by name, the same for every candidate; the batch axis may be left out.
        shapes: Shapes of noise inputs without the batch axis, by name, where the model leaves sizes open.
        output: Name of the output to take; by default the first.
        output_range: Values of the output that are black and white, such as (-1, 1); others are cut. By default floats
            must be in [0, 1].
        nfe: Number of network calls per image.
        prompt: Prompt that rewards are told.
        batch_size: Largest number of candidates in a call, where the model does not fix it.
        to_image: Function from the output, (n, ...), to images, for people and for rewards that take images; or its
            name, package.module:name. A reward that takes arrays gets the output.
        providers: onnxruntime's execution providers for a file; by default the CPU.
    Raises:
        InputError: The model cannot be loaded, or its inputs or outputs do not fit.
    """

    def __init__(
        self,
        model: Any,
        noise: str | Sequence[str] | None = None,
        *,
        fixed: Mapping[str, Any] | None = None,
        shapes: Mapping[str, Shape] | None = None,
        output: str | None = None,
        output_range: Sequence[float] | None = None,
        nfe: int = 1,
        prompt: str = "",
        batch_size: int | None = None,
        to_image: Callable[[Any], Any] | str | None = None,
        providers: Sequence[str] | None = None,
    ) -> None:
        path = Path(model) if isinstance(model, str | Path) else None
        if path is None and not is_session(model):
            raise InputError(f"model must be an onnxruntime session or the path of an ONNX file; got {given(model)}.")
        self._session: Any = model if path is None else _loaded(path, providers)
        inputs = {one.name: _Input.of(one) for one in self._session.get_inputs()}
        noise = [noise] if isinstance(noise, str) else None if noise is None else list(noise)
        self._noise = _noise_inputs(inputs, noise, fixed or {}, shapes or {})
        self._fixed = _fixed_inputs(inputs, [one.name for one in self._noise], fixed or {})
        self._output = _output_of(self._session, output)
        self._range = _range(output_range)
        self._rows = _rows_of_a_call(self._noise)
        shown_by = load("to_image", {}, to_image) if isinstance(to_image, str) else to_image
        super().__init__(
            self._run,
            [one.shape or (1,) for one in self._noise],
            nfe=nfe,
            prompt=prompt,
            batch_size=self._rows or batch_size,
            to_image=shown_by,
        )
        self.model = path.name if path is not None else "onnx"
        options = {
            "noise": [one.name for one in self._noise],
            "fixed": fixed,
            "shapes": shapes,
            "output": output,
            "output_range": output_range,
            "providers": providers,
            "nfe": None if nfe == 1 else nfe,
            "to_image": to_image if isinstance(to_image, str) else None,
        }
        self._described = {
            "model": str(path) if path is not None else "onnxruntime:<session>",
            "generator_options": {name: _plain(value) for name, value in options.items() if value is not None},
        }

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that decides an image beside z, by the names that a config has for it."""
        own = {} if self.batch_size is None or self._rows else {"batch_size": self.batch_size}
        return {**self._described, "prompt": self.prompt, **own}

    @property
    def takes_prompt(self) -> bool:
        """Whether the model takes a prompt: none does, but as a fixed input."""
        return False

    def _run(self, z: Tensor) -> Tensor:
        n = len(z)
        if self._rows:  # the model's own number of rows
            z = torch.cat([z, z[-1:].expand(self._rows - n, -1)])
        draws = self.layout.split(z.detach())
        feed = {
            one.name: draw.reshape(len(z), *one.shape).numpy().astype(one.type)
            for one, draw in zip(self._noise, draws, strict=True)
        }
        feed |= {name: value(len(z)) for name, value in self._fixed.items()}
        try:
            (found,) = self._session.run([self._output], feed)
        except Exception as error:  # onnxruntime raises types of its own
            reason = one_line(f"{type(error).__name__}: {error}", _LONGEST_REASON)
            raise InputError(f"model {self.model} could not be run: {reason}.") from error
        array = torch.from_numpy(np.array(found))[:n]
        return array if self._to_image is not None else self._image(array)

    def _image(self, array: Tensor) -> Tensor:
        """Bring an output to the form of images."""
        if array.ndim == 3:
            array = array[:, None]
        if not array.is_floating_point():
            return array
        if array.ndim == 4 and array.shape[1] not in (1, 3) and array.shape[3] in (1, 3):
            array = array.permute(0, 3, 1, 2)
        if array.ndim == 4 and array.shape[1] == 1:
            array = array.expand(-1, 3, -1, -1)
        if self._range is not None:
            low, high = self._range
            array = ((array.float() - low) / (high - low)).clamp(0, 1)
        return array


def names_onnx(model: str) -> bool:
    """Return whether a model is named by the path of an ONNX file."""
    return model.lower().endswith(".onnx")


def is_session(model: object) -> bool:
    """Return whether an object is a session of onnxruntime, which is not imported for that."""
    return all(callable(getattr(model, name, None)) for name in ("get_inputs", "get_outputs", "run"))


@dataclass(frozen=True)
class _Input:
    """An input of a model; open sizes are None, and the first size is that of the batch."""

    name: str
    sizes: tuple[int | None, ...]
    type: str

    @classmethod
    def of(cls, declared: Any) -> "_Input":
        sizes = tuple(size if isinstance(size, int) and size > 0 else None for size in declared.shape or ())
        return cls(declared.name, sizes, _TYPES.get(str(declared.type), str(declared.type)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes without that of the batch."""
        return tuple(size or 0 for size in self.sizes[1:])

    @property
    def is_float(self) -> bool:
        return self.type.startswith("float")


def _loaded(path: Path, providers: Sequence[str] | None) -> Any:
    if not path.is_file():
        raise InputError(f"model must be an ONNX file; {path} does not exist. Check the path.")
    try:
        import onnxruntime
    except ImportError as error:
        raise InputError(
            f"onnxruntime is missing, which {path} needs. Install it: pip install 'zo-dno[onnx]'."
        ) from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()  # more would be other last bits
    options.log_severity_level = 3
    chosen = list(providers or ["CPUExecutionProvider"])
    for name in chosen:
        if name not in onnxruntime.get_available_providers():
            raise unknown_name("provider", name, onnxruntime.get_available_providers())
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=chosen)
    except Exception as error:  # onnxruntime raises types of its own
        reason = one_line(f"{type(error).__name__}: {error}", _LONGEST_REASON)
        raise InputError(f"model {path} could not be loaded by onnxruntime: {sentence(reason)}") from error


def _noise_inputs(
    inputs: Mapping[str, _Input], noise: Sequence[str] | None, fixed: Mapping[str, Any], shapes: Mapping[str, Shape]
) -> list[_Input]:
    """Return the searched inputs, with all their sizes."""
    for kind, names in (("noise input", noise or ()), ("fixed input", fixed), ("input in shapes", shapes)):
        for name in names:
            if name not in inputs:
                raise unknown_name(kind, str(name), inputs)
    if noise is None:
        noise = [one.name for one in inputs.values() if one.is_float and one.name not in fixed]
        if len(noise) != 1:
            every = ", ".join(f"{one.name} {_shown(one)}" for one in inputs.values())
            raise InputError(
                f"noise must name the inputs to search; the model has {every}. Give noise=[...], and the others as "
                "fixed={name: value}."
            )
    if not noise:
        raise InputError("noise must name at least one input; got none.")
    return [_sized(inputs[name], fixed, shapes) for name in noise]


def _sized(one: _Input, fixed: Mapping[str, Any], shapes: Mapping[str, Shape]) -> _Input:
    if one.name in fixed:
        raise InputError(f"input {one.name!r} must be noise or fixed; got both. Leave one out.")
    if not one.is_float or not one.sizes:
        raise InputError(f"noise input {one.name!r} must be a batch of floats; it is {_shown(one)}. Fix it.")
    sizes = tuple(shapes.get(one.name, one.sizes[1:]))
    fits = len(sizes) == len(one.sizes) - 1 and all(
        own in (None, size) for own, size in zip(one.sizes[1:], sizes, strict=True)
    )
    if not fits:
        raise InputError(f"shape of {one.name!r} must fit the model's {_shown(one)}; got {given(sizes)}.")
    if any(size is None for size in sizes):
        raise InputError(f"shape of {one.name!r} must be given, as shapes={{{one.name!r}: (...)}}; got {_shown(one)}.")
    return _Input(one.name, (one.sizes[0], *sizes), one.type)


def _fixed_inputs(
    inputs: Mapping[str, _Input], noise: Sequence[str], fixed: Mapping[str, Any]
) -> dict[str, Callable[[int], np.ndarray]]:
    """Return functions that make the values of the other inputs for n rows."""
    missing = [one for name, one in inputs.items() if name not in noise and name not in fixed]
    if missing:
        raise InputError(
            f"input {missing[0].name!r} must be fixed, or searched as noise; it is {_shown(missing[0])}. Give "
            f"fixed={{{missing[0].name!r}: value}}."
        )
    return {name: _repeated(inputs[name], value) for name, value in fixed.items()}


def _repeated(one: _Input, value: Any) -> Callable[[int], np.ndarray]:
    try:
        array = np.asarray(value.detach().cpu() if isinstance(value, Tensor) else value).astype(one.type)
    except (TypeError, ValueError) as error:
        raise InputError(f"fixed input {one.name!r} must be {_shown(one)}; got {given(value)}.") from error
    alone = array[None] if array.ndim == len(one.sizes) - 1 else array
    each = bool(one.sizes) and alone.ndim == len(one.sizes) and len(alone) == 1 and one.sizes[0] != 1
    fits = alone.ndim == len(one.sizes) and all(
        own in (None, size) for own, size in list(zip(one.sizes, alone.shape, strict=True))[1 if each else 0 :]
    )
    if not fits:
        raise InputError(f"fixed input {one.name!r} must be {_shown(one)}; got an array of shape {array.shape}.")
    return lambda n: np.repeat(alone, n, axis=0) if each else alone


def _output_of(session: Any, output: str | None) -> str:
    names = [one.name for one in session.get_outputs()]
    if output is not None and output not in names:
        raise unknown_name("output", output, names)
    return output or names[0]


def _range(output_range: Sequence[float] | None) -> tuple[float, float] | None:
    if output_range is None:
        return None
    try:
        low, high = map(float, output_range)
    except (TypeError, ValueError):
        low = high = 0.0
    if not low < high:
        raise InputError(f"output_range must be the values of black and white, such as (-1, 1); got {output_range!r}.")
    return low, high


def _rows_of_a_call(noise: Sequence[_Input]) -> int | None:
    """Return the number of rows that the model fixes, if it does."""
    rows = {one.sizes[0] for one in noise if one.sizes[0] is not None}
    if len(rows) > 1:
        raise InputError(f"noise inputs must have one number of rows; the model has {sorted(rows)}.")
    return next(iter(rows), None)


def _shown(one: _Input) -> str:
    return f"{one.type} ({', '.join('n' if size is None else str(size) for size in one.sizes)})"


def _plain(value: Any) -> Any:
    """Return a value as a config holds it."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, Tensor | np.ndarray | np.generic):
        return value.tolist()
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value
