"""Noise that others bring: finite floats as a Gaussian draws them, or one line."""

import pytest
import torch
from safetensors.torch import save_file

from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.run.optimize import optimize
from zo_dno.storage.artifacts import Artifacts
from zo_dno.storage.noise_files import checked_noise, load_noise, write_noise
from zo_dno.strategies.listed import Listed
from zo_dno.strategy import Problem

BAD = [
    pytest.param(torch.tensor([1.0, float("nan")]), "between -100 and 100; got nan", id="nan"),
    pytest.param(torch.tensor([1.0, float("-inf")]), "between -100 and 100; got inf", id="infinite"),
    pytest.param(torch.tensor([1.0, 1e30]), "between -100 and 100; got 1e+30", id="large"),
    pytest.param(torch.tensor([1.0, 1e300], dtype=torch.float64), "between -100 and 100; got inf", id="larger"),
    pytest.param(torch.tensor([1, 2]), "floats; got (2,) of int64", id="int"),
    pytest.param(torch.tensor([True, False]), "floats; got (2,) of bool", id="bool"),
    pytest.param(torch.tensor([1j, 2]), "floats; got (2,) of complex64", id="complex"),
    pytest.param(torch.zeros(0), "floats; got (0,) of float32", id="empty"),
    pytest.param(torch.zeros(()), "floats; got () of float32", id="a number"),
]


@pytest.mark.parametrize(("z", "message"), BAD)
def test_what_is_no_noise_is_refused_wherever_it_comes_in(tmp_path, z, message):
    path, rows = tmp_path / "best.safetensors", z[None]
    message_of_rows = message.replace("(2,)", "(1, 2)").replace("(0,)", "(1, 0)").replace(" () ", " (1,) ")
    write_noise(path, z)
    save_file({"z": rows.clone()}, tmp_path / "rows.safetensors")
    for come_in in (
        lambda: checked_noise(z, "noise"),
        lambda: load_noise(path),
        lambda: load_noise(tmp_path),
        lambda: optimize(ToyGenerator(), "brightness", init=z),
        lambda: optimize(ToyGenerator(), "brightness", init=path),
    ):
        with pytest.raises(InputError) as caught:
            come_in()
        assert message in str(caught.value)
    for noise in (rows, tmp_path / "rows.safetensors"):
        with pytest.raises(InputError) as caught:
            Listed(Problem(2, 3, 0), noise=noise)
        assert message_of_rows in str(caught.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_noise_of_any_precision_is_read_as_float32(tmp_path, dtype):
    z = torch.tensor([1.5, -100.0], dtype=dtype)
    write_noise(tmp_path / "best.safetensors", z)
    assert torch.equal(load_noise(tmp_path), torch.tensor([1.5, -100.0]))


@pytest.mark.parametrize("content", [None, b"", b"no tensors", {"x": torch.zeros(2)}])
def test_a_file_without_noise_is_one_line(tmp_path, content):
    path = tmp_path / "best.safetensors"
    if isinstance(content, dict):
        save_file(content, path)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"^noise must be a best\.safetensors that a run wrote; got .*\)\.$"):
        load_noise(path)


@pytest.mark.parametrize("other", [torch.full((4,), 1e30), torch.full((4,), torch.nan), torch.ones(4), None])
def test_a_candidate_s_noise_that_was_changed_is_as_good_as_gone(tmp_path, other):
    z = torch.arange(4.0)
    artifacts = Artifacts(tmp_path, durable=True)
    (tmp_path / "noise").mkdir()
    artifacts.keep_noise("search", 3, z)
    assert torch.equal(artifacts.noise("search", 3), z)
    path = tmp_path / "noise" / "search-000003.safetensors"
    path.write_bytes(b"x") if other is None else write_noise(path, other)
    assert artifacts.noise("search", 3) is None
