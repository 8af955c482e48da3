"""What a model is built from on this machine: every file that is read counts, and nothing else."""

import pytest

from zo_dno.generators.local_files import local_files

FILES = (
    *("one.safetensors", "large.onnx", "large.onnx.data", "style.safetensors", "toy.pt"),
    *("vae/config.json", "vae/diffusion_pytorch_model.safetensors", "ip/ip.bin", "ip/image_encoder/model.safetensors"),
    *("whole/model_index.json", "whole/unet/model.safetensors", "whole/tokenizer/vocab.txt"),
    *("whole/README.md", "whole/ema.ckpt", "whole/.cache/x.json", "vae/picture.png", "scenes/model.safetensors"),
)
SETTINGS = (
    {"model": "one.safetensors", "vae": "vae", "lora": ["style.safetensors:0.8"], "ip_adapter": "ip/ip.bin:0.5"},
    {"model": "whole", "textual_inversion": ["toy.pt:<toy>"], "scheduler": "whole", "lora": []},
    {"model": "large.onnx", "prompt": "vae", "seed": 3},
)
NOT_READ = {"whole/README.md", "whole/ema.ckpt", "whole/.cache/x.json", "vae/picture.png", "scenes/model.safetensors"}


@pytest.fixture
def here(tmp_path, monkeypatch):
    for number, name in enumerate(FILES):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes([number]) * 9)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_file_that_is_read_counts_and_no_other(here):
    named = [list(local_files(one)) for one in SETTINGS]
    assert [[name.removeprefix("content of ") for name in names] for names in named] == [
        ["model one.safetensors", "vae vae", "lora style.safetensors:0.8", "ip_adapter ip/ip.bin:0.5"],
        ["model whole", "textual_inversion toy.pt:<toy>"],
        ["model large.onnx"],
    ]
    before = [local_files(one) for one in SETTINGS]
    for name in FILES:
        content = (here / name).read_bytes()
        (here / name).write_bytes(content[:-1] + b"x")
        changed = sum(local_files(one) != found for one, found in zip(SETTINGS, before, strict=True))
        assert changed == (0 if name in NOT_READ else 1), name
        (here / name).write_bytes(content)
    assert [local_files(one) for one in SETTINGS] == before


def test_what_is_built_in_or_elsewhere_or_code_has_no_file(here):
    for model in ("scenes", "owner/name", "package.module:name", "missing.safetensors"):
        assert local_files({"model": model, "lora": ["owner/name/lora.safetensors:0.5"], "vae": None}) == {}
