"""Whatever others write comes in through one door each: Hypothesis throws anything at them, often slightly wrong.

A door returns what it promises or raises its own error, of one line; it never fails in another way. The fast set throws
a few things, the slow set a lot.
"""

import io
import json
import sqlite3

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from PIL import Image

import zo_dno
from tests.support.thrown import TEXTS, VALUES, sizes, throw
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError, ZoDnoError
from zo_dno.results.overview import overview
from zo_dno.results.stored import result_of
from zo_dno.run.config import RunConfig, flattened, validated
from zo_dno.run.make_reward import make_reward
from zo_dno.run.many_prompts import read_prompts
from zo_dno.storage.atomic import read_yaml
from zo_dno.storage.images import MOST_PIXELS, UnreadableImageError, decoded
from zo_dno.storage.noise_files import load_noise
from zo_dno.storage.plain_json import parse_json
from zo_dno.storage.signature import check_trusted

FORMATS = ("PNG", "JPEG", "GIF", "WEBP", "TIFF", "BMP", "PPM", "AVIF")
YAML = [
    *(b"prompt: a\nqueries: 3\npolicy: {price: 1}\n", b"a: &x [1]\nb: *x\n", b"a: !!python/object:os.system x\n"),
    *(b"a: !!bool yes\nb: !!int 7\n", b"a: !!timestamp 2001-01-01\nb: 1:30:00.5\n", b"? [a]\n: !!set {b}\n"),
]


def tried(door, *arguments, error=InputError):
    """What a door returns, or None where it refused in one line."""
    try:
        return door(*arguments)
    except error as refusal:
        said = str(refusal)
    assert said
    assert "\n" not in said
    return None


@st.composite
def damaged(draw, contents):
    """One of some files with bytes changed, cut out, put in or cut off."""
    content = bytearray(draw(st.sampled_from(contents)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(content) - 1)))
        how = draw(st.sampled_from(["change", "remove", "insert", "cut"]))
        if how == "change" and content:
            content[at] = draw(st.integers(0, 255))
        elif how == "remove":
            del content[at : at + draw(st.integers(1, 64))]
        elif how == "insert":
            content[at:at] = draw(st.binary(max_size=32))
        else:
            del content[at:]
    return bytes(content)


def files():
    pixels = np.random.default_rng(0).integers(0, 255, (12, 9, 3), dtype=np.uint8)
    made = []
    for name in FORMATS:
        for image in (Image.fromarray(pixels), Image.fromarray(pixels[..., 0]), Image.fromarray(pixels).convert("P")):
            file = io.BytesIO()
            try:
                image.save(file, name)
            except OSError:  # a format that cannot hold this mode
                continue
            made.append(file.getvalue())
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", exif=exif)
    return [*made, file.getvalue()]


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::PIL.Image.DecompressionBombWarning")
@sizes(40, 2000)
def test_images(examples):
    """Upright RGB of a bounded size, or a reason."""

    def check(content):
        image = tried(decoded, content, error=UnreadableImageError)
        assert image is None or (image.mode == "RGB" and 0 < image.width * image.height <= MOST_PIXELS)

    throw(examples, damaged(files()) | st.binary(max_size=300), check)


def test_the_files_are_images_before_they_are_damaged():
    assert len(files()) > 2 * len(FORMATS)
    assert all(decoded(content).size in ((9, 12), (12, 9)) for content in files())


@sizes(40, 1000)
def test_json(examples):
    """What JSON can hold, or ValueError."""
    valid = json.dumps({"a": [1, 2.5, None, "x"]}).encode()

    def check(content):
        json.dumps(tried(parse_json, content, error=ValueError))

    throw(examples, damaged([valid, b"[" * 5000, b"1" * 5000]) | st.binary(), check)


@sizes(40, 500)
def test_yaml(examples, tmp_path):
    """A config, or one line."""
    path = tmp_path / "config.yaml"

    def check(content):
        path.write_bytes(content)
        tried(lambda: validated(flattened(read_yaml(path))))

    throw(examples, damaged(YAML) | TEXTS.map(str.encode), check)


@sizes(40, 600)
def test_options(examples):
    """A checked config, or one line."""
    options = st.dictionaries(st.sampled_from([*RunConfig.model_fields, "nonsense"]), VALUES, max_size=6)

    def check(values):
        tried(validated, {"prompt": "a", **values})

    throw(examples, options, check)


@sizes(40, 500)
def test_options_that_are_json(examples, tmp_path):
    """A reward, or one line; and so is the check of a folder that has them."""
    rewards = {"parts": "min", "request": "http", "extra": "vlm"}
    valid = [b'{"brightness": 1, "png_smaller": 2}', b'["brightness", {"reward": "contrast", "label": "x"}]']

    def check(given):
        option, content = given
        options = {option: content.decode(errors="replace")}
        tried(check_trusted_options, options)
        server = {} if option == "parts" else {"url": "http://127.0.0.1:1/"}
        tried(make_reward, rewards[option], options | server | ({"model": "m"} if option == "extra" else {}))

    def check_trusted_options(options):
        check_trusted(tmp_path, {"reward_options": options}, trust=False)

    texts = damaged([*valid, b"[" * 5000, b"[" * 500 + b"]" * 500, b'{"a":' * 101 + b"1" + b"}" * 101])
    throw(examples, st.tuples(st.sampled_from([*rewards]), texts), check)


@sizes(40, 500)
def test_files_of_prompts(examples, tmp_path):
    path = tmp_path / "prompts.txt"

    def check(content):
        path.write_bytes(content)
        prompts = tried(read_prompts, path)
        assert prompts is None or len(prompts) == len(set(prompts)) > 0
        assert all(prompt == prompt.strip() != "" for prompt in prompts or ())

    throw(examples, st.binary(max_size=400) | TEXTS.map(str.encode), check)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("doors") / "run"
    zo_dno.optimize(ToyGenerator(), "brightness", "snes", queries=8, out=folder, strategy_options={"population": 4})
    return folder


@sizes(10, 300)
def test_noise(examples, finished, tmp_path):
    """Finite numbers (d,), or one line."""
    path = tmp_path / "best.safetensors"

    def check(content):
        path.write_bytes(content)
        z = tried(load_noise, path)
        assert z is None or (z.ndim == 1 and z.dtype == torch.float32 and bool(z.isfinite().all()))

    throw(examples, damaged([(finished / "best.safetensors").read_bytes()]), check)


@sizes(20, 500)
def test_results(examples, finished, tmp_path):
    """A result of the form that it has, or one line."""
    content = json.loads((finished / "result.json").read_text())

    def check(change):
        key, value = change
        (tmp_path / "result.json").write_text(json.dumps({**content, key: value}))
        tried(result_of, tmp_path)

    throw(examples, st.tuples(st.sampled_from([*content]), VALUES), check)


@sizes(10, 300)
def test_ledgers(examples, finished, tmp_path):
    """An overview, or one line."""
    with sqlite3.connect(finished / "ledger.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for name in ("config.yaml", "result.json"):
        (tmp_path / name).write_bytes((finished / name).read_bytes())

    def check(content):
        for path in tmp_path.glob("ledger.db*"):
            path.unlink()
        (tmp_path / "ledger.db").write_bytes(content)
        tried(overview, tmp_path, error=ZoDnoError)

    throw(examples, damaged([(finished / "ledger.db").read_bytes()]), check)
