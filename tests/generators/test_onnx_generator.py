"""ONNX models as generators: what is searched, what is fixed, and what becomes an image."""

import re

import numpy as np
import pytest
import torch

import zo_dno
from tests.support.tiny_onnx import Declared, Session, write_sigmoid
from zo_dno.errors import InputError
from zo_dno.run.config import validated
from zo_dno.run.make_generator import generator_from, load_model

Z = Declared("z", ("n", 3, 4, 4))


def sigmoid(z):
    return 1 / (1 + np.exp(-z.astype(np.float64)))


def images(**options):
    """Return a session that draws the sigmoid of z."""
    return Session([Z], lambda z: sigmoid(z).astype(np.float32), **options)


def test_the_only_input_of_floats_is_searched():
    generator = zo_dno.OnnxGenerator(images())
    assert generator.layout.shapes == ((3, 4, 4),)
    z = torch.randn(5, 48)
    expected = (z.sigmoid().reshape(-1, 3, 4, 4).permute(0, 2, 3, 1) * 255).round().to(torch.uint8)
    assert torch.equal(generator(z), expected)


def test_a_session_is_searched_as_it_is():
    result = zo_dno.optimize(images(), "brightness", queries=48)
    assert result.best.reward > result.first.reward
    assert result.model == "onnx"


def test_several_inputs_are_searched_and_others_fixed():
    inputs = [
        Declared("w", ("n", 2, 8), "tensor(float16)"),
        Declared("noise", ("n", 32)),
        Declared("truncation", ("n", 1)),
        Declared("scale", ()),
        Declared("label", ("n",), "tensor(int64)"),
    ]

    def draw(w, noise, truncation, scale, label):
        flat = np.concatenate([w.reshape(len(w), -1).astype(np.float32), noise], 1)
        return sigmoid(flat * truncation * scale + label[:, None]).astype(np.float32).reshape(-1, 3, 4, 4)

    session = Session(inputs, draw)
    fixed = {"truncation": 0.5, "scale": 2.0, "label": [3]}
    fixed["truncation"] = [0.5]
    generator = zo_dno.OnnxGenerator(session, ["w", "noise"], fixed=fixed)
    assert generator.layout.shapes == ((2, 8), (32,))
    generator(torch.randn(3, 48))
    fed = session.fed[0]
    assert (fed["w"].shape, fed["w"].dtype) == ((3, 2, 8), np.float16)
    assert (fed["truncation"].shape, fed["label"].tolist()) == ((3, 1), [3, 3, 3])
    assert (fed["scale"].shape, fed["label"].dtype) == ((), np.int64)


def test_a_fixed_number_of_rows_is_filled_up():
    session = Session([Declared("z", (4, 3, 4, 4))], lambda z: sigmoid(z).astype(np.float32))
    generator = zo_dno.OnnxGenerator(session)
    z = torch.randn(6, 48)
    assert torch.equal(generator(z), zo_dno.OnnxGenerator(images())(z))
    assert {len(fed["z"]) for fed in session.fed} == {4}
    assert generator.batch_size == 4


@pytest.mark.parametrize(
    ("output", "options", "levels"),
    [
        (lambda z: z[:, 0] * 0 + 1, {}, (255, 255)),
        (lambda z: z[:, :1] * 0 + 1, {}, (255, 255)),
        (lambda z: z.transpose(0, 2, 3, 1) * 0, {}, (0, 0)),
        (lambda z: (z * 0).astype(np.uint8).transpose(0, 2, 3, 1) + 7, {}, (7, 7)),
        (lambda z: z * 0, {"output_range": (-1, 1)}, (128, 128)),
        (lambda z: z * 0 - 3, {"output_range": (-1, 1)}, (0, 0)),
        (lambda z: {"mask": z * 0, "image": z * 0 + 1}, {"output": "image"}, (255, 255)),
    ],
)
def test_outputs_become_images(output, options, levels):
    session = Session([Z], output, outputs=["mask", "image"] if "output" in options else ["image"])
    found = zo_dno.OnnxGenerator(session, **options)(torch.randn(2, 48))
    assert found.shape == (2, 4, 4, 3)
    assert (int(found.min()), int(found.max())) == levels


def test_any_output_is_shown_by_a_function_and_scored_as_it_is():
    session = Session([Declared("z", ("n", 16))], lambda z: z.reshape(-1, 4, 4) * 1000)
    seen = []

    def highest(arrays):
        seen.extend(arrays)
        return [float(one.max()) for one in arrays]

    def shaded(heights):
        return (heights[:, None] / 2000 + 0.5).clamp(0, 1).expand(-1, 3, -1, -1)

    generator = zo_dno.OnnxGenerator(session, to_image=shaded)
    result = zo_dno.optimize(generator, highest, queries=32)
    assert seen[0].shape == (4, 4)
    assert result.best.reward > 1000
    assert result.best.image.shape == (4, 4, 3)


TWO = [Z, Declared("w", ("n", 8))]


@pytest.mark.parametrize(
    ("inputs", "options", "message"),
    [
        (TWO, {}, "noise must name the inputs to search; the model has z float32 (n, 3, 4, 4), w float32 (n, 8)."),
        (TWO, {"noise": "z"}, "input 'w' must be fixed, or searched as noise; it is float32 (n, 8)."),
        (TWO, {"noise": "x"}, "noise input 'x' is unknown. "),
        (TWO, {"noise": "z", "fixed": {"v": 1}}, "fixed input 'v' is unknown."),
        (
            TWO,
            {"noise": "z", "fixed": {"w": [1, 2]}},
            "fixed input 'w' must be float32 (n, 8); got an array of shape (2,)",
        ),
        (TWO, {"noise": "z", "fixed": {"w": "many"}}, "fixed input 'w' must be float32 (n, 8); got 'many'."),
        (TWO, {"noise": ["z", "w"], "fixed": {"w": [0] * 8}}, "input 'w' must be noise or fixed; got both."),
        ([Declared("z", ("n", "h", "w"))], {}, "shape of 'z' must be given, as shapes={'z': (...)}"),
        (
            [Declared("z", ("n", 4))],
            {"shapes": {"z": (5,)}},
            "shape of 'z' must fit the model's float32 (n, 4); got (5,)",
        ),
        (
            [Declared("z", ("n", 4), "tensor(int64)")],
            {"noise": "z"},
            "noise input 'z' must be a batch of floats; it is int64",
        ),
        ([Z], {"output": "picture"}, "output 'picture' is unknown."),
        (
            [Z],
            {"output_range": (1, 1)},
            "output_range must be the values of black and white, such as (-1, 1); got (1, 1).",
        ),
    ],
)
def test_what_does_not_fit_is_one_line(inputs, options, message):
    with pytest.raises(InputError, match=re.escape(message)) as raised:
        zo_dno.OnnxGenerator(Session(inputs, lambda **_: None), **options)
    assert "\n" not in str(raised.value)


def test_an_error_of_the_session_is_one_line():
    def fails(z):
        raise RuntimeError("[ONNXRuntimeError] :\n out of tune")

    with pytest.raises(InputError, match=r"onnx could not be run: RuntimeError: \[ONNXRuntimeError\] : out of tune\."):
        zo_dno.OnnxGenerator(Session([Z], fails))(torch.randn(1, 48))


def test_open_sizes_are_given():
    session = Session([Declared("z", (None, "d"))], lambda z: sigmoid(z).astype(np.float32).reshape(-1, 3, 4, 4))
    assert zo_dno.OnnxGenerator(session, shapes={"z": (48,)}).layout.shapes == ((48,),)


def test_a_file_that_is_missing_is_one_line():
    with pytest.raises(InputError, match="model must be an ONNX file; nowhere.onnx does not exist"):
        load_model(validated({"model": "nowhere.onnx"}))


def test_a_file_is_a_model_of_a_config(tmp_path):
    pytest.importorskip("onnxruntime")
    path = write_sigmoid(tmp_path / "tiny.onnx")
    generator = load_model(validated({"model": str(path), "generator_options": {"nfe": 2}}))
    z = torch.randn(3, 48)
    assert (generator(z).int() - zo_dno.OnnxGenerator(images())(z).int()).abs().max() <= 1
    result = zo_dno.optimize(generator, "brightness", queries=32, out=tmp_path / "run", threads=1)
    assert result.nfe == 64
    more = zo_dno.resume(tmp_path / "run", queries=48)
    assert more.drift is None
    assert generator_from(generator.settings).settings == generator.settings


def test_a_file_that_is_no_model_is_one_line(tmp_path):
    pytest.importorskip("onnxruntime")
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    with pytest.raises(InputError, match=r"broken.onnx could not be loaded by onnxruntime: .*") as raised:
        zo_dno.OnnxGenerator(tmp_path / "broken.onnx")
    assert "\n" not in str(raised.value)
    with pytest.raises(InputError, match="provider 'TPU' is unknown"):
        zo_dno.OnnxGenerator(write_sigmoid(tmp_path / "tiny.onnx"), providers=["TPU"])
