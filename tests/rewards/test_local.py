"""What is computed from the pixels alone, and what a program on this machine says."""

import asyncio
import colorsys
import hashlib
import io
import math
import os
import pickle
import shlex
import sys
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.failures import CallError
from zo_dno.oracle.oracle import Oracle
from zo_dno.rewards.perceptual import lpips_network
from zo_dno.rewards.ssim import ssim
from zo_dno.run.make_reward import make_reward
from zo_dno.storage.images import image_hash
from zo_dno.testing.reward_laws import pictures
from zo_dno.types import Query

COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


def plain(colour, side=16) -> Image.Image:
    return Image.new("RGB", (side, side), colour)


def halves(left, right, side=16) -> Image.Image:
    image = plain(left, side)
    image.paste(right, (side // 2, 0, side, side))
    return image


def chequered(side=16) -> Image.Image:
    levels = np.indices((side, side)).sum(axis=0) % 2 * 255
    return Image.fromarray(np.repeat(levels[..., None], 3, axis=2).astype(np.uint8))


def score(name, image, **options):
    (value,) = make_reward(name, options)([image], ["a picture"])
    return value


@st.composite
def small_images(draw):
    height, width, seed = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(0, 99))
    levels = draw(st.sampled_from([[0, 255], [0, 1], [127, 128], range(256)]))
    return Image.fromarray(np.random.default_rng(seed).choice(levels, (height, width, 3)).astype(np.uint8))


class TestFileSizes:
    @pytest.mark.parametrize(
        ("name", "format_", "options", "encoder"),
        [
            ("png", "PNG", {}, {"compress_level": 6}),
            ("png", "PNG", {"level": 0}, {"compress_level": 0}),
            ("webp", "WEBP", {}, {"quality": 80, "lossless": False, "method": 4}),
            ("webp", "WEBP", {"quality": 30, "method": 0}, {"quality": 30, "method": 0}),
            ("webp", "WEBP", {"lossless": True}, {"quality": 80, "lossless": True, "method": 4}),
            ("avif", "AVIF", {}, {"quality": 75, "subsampling": "4:2:0", "speed": 6}),
            ("avif", "AVIF", {"quality": 9, "chroma": "4:4:4", "speed": 9}, {"subsampling": "4:4:4", "speed": 9}),
        ],
    )
    def test_they_are_those_of_the_files_that_pillow_writes(self, name, format_, options, encoder):
        (image,) = pictures(1)
        more = {"quality": options.get("quality", 75), "max_threads": 1} if name == "avif" else {}
        file = io.BytesIO()
        image.save(file, format_, **{**more, **encoder})
        assert score(f"{name}_larger", image, **options) == len(file.getvalue()) / 1000
        assert score(f"{name}_smaller", image, **options) == -len(file.getvalue()) / 1000

    @pytest.mark.parametrize("name", ["jpeg", "png", "webp", "avif"])
    def test_detail_is_larger_than_a_plain_colour(self, name):
        noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8))
        assert score(f"{name}_larger", noise) > score(f"{name}_larger", plain("teal", 32)) > 0
        assert score(f"{name}_smaller", noise) < score(f"{name}_smaller", plain("teal", 32)) < 0

    def test_the_encoder_does_as_it_is_told(self):
        (image,) = pictures(1)
        assert score("webp_larger", image, lossless=True) > score("webp_larger", image)
        assert score("avif_larger", image, quality=95) > score("avif_larger", image, quality=30)
        assert score("avif_larger", image, chroma="4:4:4") > score("avif_larger", image, chroma="4:2:0")

    def test_an_avif_file_is_as_large_on_any_number_of_processors(self, monkeypatch):
        image = pictures(1, side=512)[0]
        alone = score("avif_larger", image, speed=8)
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
        assert score("avif_larger", image, speed=8) == alone

    def test_the_settings_are_part_of_the_identity(self):
        identities = {
            str(make_reward(name, options).identity)
            for name in ("webp_larger", "avif_larger")
            for options in ({}, {"quality": 50})
        }
        assert len(identities) == 4
        assert make_reward("jpeg_smaller").identity == {
            "name": "jpeg_smaller",
            "version": "1",
            "settings": {"quality": 95, "chroma": "4:2:0"},
        }
        assert make_reward("avif_smaller").settings == {"quality": 75, "chroma": "4:2:0", "speed": 6}
        assert make_reward("webp_smaller", {"lossless": "true"}).settings["lossless"] is True

    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("jpeg_smaller", {"quality": 0}, "quality must be 1 to 100; got 0."),
            ("png_larger", {"level": 10}, "level must be 0 to 9; got 10."),
            ("webp_larger", {"method": 7}, "method must be 0 to 6; got 7."),
            ("avif_smaller", {"speed": -1}, "speed must be 0 to 10; got -1."),
        ],
    )
    def test_what_no_encoder_takes_is_refused(self, name, options, message):
        with pytest.raises(InputError, match=message):
            make_reward(name, options)

    def test_a_chroma_that_avif_does_not_have_is_refused(self):
        with pytest.raises(InputError, match="avif_larger option 'chroma' does not fit"):
            make_reward("avif_larger", {"chroma": "4:1:1"})


class TestPixels:
    @settings(max_examples=60, deadline=None)
    @given(image=small_images())
    def test_scores_lie_in_their_ranges_and_are_the_same_of_the_mirror_image(self, image):
        for name in ("contrast", "saturation", "colourfulness", "hue", "sharpness", "symmetry", "entropy"):
            reward = make_reward(name)
            value, mirrored = reward([image, ImageOps.mirror(image)], ["", ""])
            assert reward.range[0] <= value <= reward.range[1]
            assert math.isclose(value, mirrored, abs_tol=1e-9)

    @settings(max_examples=60, deadline=None)
    @given(colour=COLOURS)
    def test_a_plain_colour(self, colour):
        image = plain(colour, 4)
        hue, saturation, _ = colorsys.rgb_to_hsv(*(level / 255 for level in colour))
        red, green, blue = colour
        assert score("contrast", image) == pytest.approx(0, abs=1e-12)
        assert score("sharpness", image) == pytest.approx(0, abs=1e-12)
        assert score("entropy", image) == 0
        assert score("symmetry", image) == 1
        assert score("saturation", image) == pytest.approx(saturation)
        expected = 0.3 * math.hypot(red - green, (red + green) / 2 - blue)
        assert score("colourfulness", image) == pytest.approx(expected)
        if saturation:
            assert score("hue", image, hue=360 * hue) >= 1 - 1.2 / 180
            assert score("hue", image, hue=(360 * hue + 180) % 360) <= 1.2 / 180

    def test_contrast_is_the_standard_deviation_with_white_at_1(self):
        assert score("contrast", halves("black", "white")) == 0.5
        assert score("contrast", halves((51, 51, 51), (204, 204, 204))) == pytest.approx(0.3)
        green = np.array([0, 0, 0, 0.587])
        image = plain("black", 2)
        image.putpixel((1, 0), (0, 255, 0))
        assert score("contrast", image) == pytest.approx(green.std())

    def test_saturation_is_that_of_hsv(self):
        assert score("saturation", halves("grey", (200, 100, 150))) == pytest.approx(0.25)
        (image,) = pictures(1, side=8)
        pixels = np.asarray(image).reshape(-1, 3) / 255
        expected = np.mean([colorsys.rgb_to_hsv(*pixel)[1] for pixel in pixels])
        assert score("saturation", image) == pytest.approx(expected)

    def test_colourfulness_of_two_opposite_colours_is_their_spread(self):
        assert score("colourfulness", halves("red", "cyan")) == pytest.approx(math.hypot(255, 127.5))
        assert score("colourfulness", halves("black", "white")) == 0
        assert score("colourfulness", plain("blue")) == pytest.approx(0.3 * 255)

    @pytest.mark.parametrize(
        ("colour", "degrees"),
        [("red", 0), ("yellow", 60), ("lime", 120), ("cyan", 180), ("blue", 240), ("magenta", 300)],
    )
    def test_pure_colours_have_their_hue(self, colour, degrees):
        image = plain(colour, 4)
        assert score("hue", image, hue=degrees) == pytest.approx(1)
        assert score("hue", image, hue=(degrees + 180) % 360) == pytest.approx(0)
        assert score("hue", image, hue=(degrees + 90) % 360) == pytest.approx(0.5)
        assert score("hue", image, hue=(degrees + 270) % 360) == pytest.approx(0.5)

    def test_hues_weigh_as_much_as_they_are_from_grey(self):
        assert score("hue", halves("red", "grey")) == 1
        assert score("hue", halves("red", "cyan")) == 0.5
        assert score("hue", halves((255, 0, 0), (0, 85, 85))) == pytest.approx(0.75)
        assert score("hue", plain("grey")) == 0
        assert score("hue", plain("red"), hue=360) == score("hue", plain("red"), hue=0) == 1

    @pytest.mark.parametrize("hue", [-1, 361, math.nan])
    def test_a_hue_is_in_degrees(self, hue):
        with pytest.raises(InputError, match=f"hue must be 0 to 360 degrees; got {float(hue)}."):
            make_reward("hue", {"hue": hue})

    def test_sharpness_is_the_variance_of_the_laplacian(self):
        image = pictures(1, side=12)[0]
        grey = np.pad(np.asarray(image, float) @ [0.299, 0.587, 0.114], 1, mode="symmetric")
        around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
        assert score("sharpness", image) == pytest.approx((around - 4 * grey[1:-1, 1:-1]).var())
        inside = chequered(64)
        assert score("sharpness", inside) == pytest.approx(1020**2, rel=0.05)  # +-4 x 255 but for the borders

    def test_blur_lowers_sharpness(self):
        image = pictures(1)[0]
        assert score("sharpness", image.reduce(4).resize(image.size)) < score("sharpness", image)

    def test_symmetry_compares_with_the_mirror_image(self):
        sides = halves("black", "white")
        assert score("symmetry", sides) == 0
        assert score("symmetry", sides, axis="top-bottom") == 1
        assert score("symmetry", sides.rotate(90), axis="top-bottom") == 0
        assert score("symmetry", halves((0, 0, 0), (51, 51, 51))) == pytest.approx(0.8)

    @settings(max_examples=30, deadline=None)
    @given(image=small_images())
    def test_an_image_beside_its_mirror_image_is_symmetric(self, image):
        both = np.concatenate([np.asarray(image), np.asarray(ImageOps.mirror(image))], axis=1)
        assert score("symmetry", Image.fromarray(both)) == 1
        assert score("symmetry", Image.fromarray(both.swapaxes(0, 1)), axis="top-bottom") == 1

    def test_entropy_counts_grey_levels(self):
        assert score("entropy", halves("black", "white")) == 1
        assert score("entropy", chequered()) == 1
        every = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
        assert score("entropy", Image.fromarray(every)) == 8
        (image,) = pictures(1)
        counts = np.unique(np.asarray(image.convert("L")), return_counts=True)[1] / 64**2
        assert score("entropy", image) == pytest.approx(-(counts * np.log2(counts)).sum())


def saved(image, path, **how) -> str:
    image.save(path, **how)
    return str(path)


class TestSimilarity:
    def test_an_image_is_like_itself_and_less_so_like_others(self, tmp_path):
        images = pictures(3)
        reward = make_reward("similarity", {"reference": saved(images[0], tmp_path / "it.png")})
        own, *others = reward(images, [""] * 3)
        assert own == 1
        assert all(value < 0.9 for value in others)
        assert (reward.unit, reward.range) == ("SSIM", (-1, 1))

    def test_ssim_is_the_average_over_windows(self):
        x, y = (np.asarray(image.convert("L"), float) for image in pictures(2, side=15))
        ramp = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
        weights = np.outer(ramp, ramp) / ramp.sum() ** 2
        values = []
        for a, b in np.ndindex(5, 5):
            one, two = x[a : a + 11, b : b + 11], y[a : a + 11, b : b + 11]
            m1, m2 = (weights * one).sum(), (weights * two).sum()
            v1, v2 = (weights * (one - m1) ** 2).sum(), (weights * (two - m2) ** 2).sum()
            both = (weights * (one - m1) * (two - m2)).sum()
            c1, c2 = 2.55**2, 7.65**2
            values.append((2 * m1 * m2 + c1) * (2 * both + c2) / ((m1**2 + m2**2 + c1) * (v1 + v2 + c2)))
        assert ssim(x, y) == pytest.approx(np.mean(values))
        assert ssim(y, x) == ssim(x, y)

    def test_ssim_of_plain_images_compares_their_light(self):
        dark, light = np.full((11, 11), 100.0), np.full((11, 11), 150.0)
        c1 = 2.55**2
        assert ssim(dark, light) == pytest.approx((2 * 100 * 150 + c1) / (100**2 + 150**2 + c1))

    def test_the_opposite_is_unlike(self, tmp_path):
        board = chequered(32)
        reference = saved(board, tmp_path / "board.png")
        assert score("similarity", ImageOps.invert(board), reference=reference) < -0.9

    def test_images_smaller_than_a_window_are_refused(self, tmp_path):
        with pytest.raises(InputError, match="image must be at least 11x11 pixels for SSIM; got 10x12."):
            score("similarity", Image.new("RGB", (10, 12)), reference=saved(plain("red"), tmp_path / "it.png"))

    def test_the_reference_is_brought_to_the_size_of_the_image(self, tmp_path):
        (image,) = pictures(1)
        larger = saved(image.resize((256, 256), Image.Resampling.LANCZOS), tmp_path / "larger.png")
        wide = Image.new("RGB", (512, 256), "red")
        wide.paste(Image.open(larger), (128, 0))
        assert score("similarity", image, reference=larger) > 0.99
        assert score("similarity", image, reference=saved(wide, tmp_path / "wide.png")) > 0.99

    def test_a_photograph_is_turned_upright_and_transparency_dropped(self, tmp_path):
        (image,) = pictures(1)
        turned = image.getexif()
        turned[0x0112] = 6  # to be turned clockwise by 90 degrees
        path = saved(image.rotate(90), tmp_path / "turned.png", exif=turned)
        assert score("similarity", image, reference=path) == 1
        clear = image.convert("RGBA")
        assert score("similarity", image, reference=saved(clear, tmp_path / "clear.png")) == 1

    def test_it_is_known_by_the_content_of_the_reference(self, tmp_path):
        (tmp_path / "elsewhere").mkdir()
        one, two = pictures(2)
        reward = make_reward("similarity", {"reference": saved(one, tmp_path / "it.png")})
        copy = make_reward("similarity", {"reference": saved(one, tmp_path / "elsewhere" / "it.png")})
        other = make_reward("similarity", {"reference": saved(two, tmp_path / "it.png")})
        assert reward.identity == copy.identity != other.identity
        assert reward.identity["settings"]["metric"] == "ssim"
        assert reward([one], [""]) == [1]  # as it was when it was read
        assert make_reward("similarity", {**copy.settings}) == copy

    def test_the_reference_travels_with_the_reward(self, tmp_path):
        (image,) = pictures(1)
        path = tmp_path / "it.png"
        sent = pickle.dumps(make_reward("similarity", {"reference": saved(image, path)}))
        path.unlink()
        assert pickle.loads(sent)([image], [""]) == [1]

    @pytest.mark.parametrize(
        ("content", "reason"), [(None, "No such file"), (b"text", "it is no image"), (b"", "it is no image")]
    )
    def test_a_reference_that_is_no_image_is_refused(self, tmp_path, content, reason):
        path = tmp_path / "it.png"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match=rf"reference must be an image file; got .*it.png': {reason}"):
            make_reward("similarity", {"reference": str(path)})

    def test_half_a_file_is_refused(self, tmp_path):
        path = Path(saved(pictures(1)[0], tmp_path / "it.png"))
        path.write_bytes(path.read_bytes()[:1000])
        with pytest.raises(InputError, match="reference must be an image file; got .*it.png'"):
            make_reward("similarity", {"reference": str(path)})


class TestLPIPS:
    @pytest.fixture(autouse=True)
    def fresh(self):
        lpips_network.cache_clear()
        yield
        lpips_network.cache_clear()

    def test_it_says_how_to_install_what_is_missing(self, tmp_path, monkeypatch):
        monkeypatch.setitem(sys.modules, "lpips", None)
        reference = saved(plain("red"), tmp_path / "it.png")
        message = (
            "metric must be 'ssim' where LPIPS cannot be loaded; got 'lpips': .*lpips.*. Install .*pip install lpips"
        )
        with pytest.raises(InputError, match=message):
            make_reward("similarity", {"reference": reference, "metric": "lpips"})

    @pytest.mark.parametrize("error", [ImportError("no torchvision"), OSError("no network"), RuntimeError("no nms")])
    def test_it_says_what_the_package_lacks(self, tmp_path, monkeypatch, error):
        def fail(**_):
            raise error

        monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=fail))
        with pytest.raises(InputError, match=f"got 'lpips': {error}. Install"):
            make_reward("similarity", {"reference": saved(plain("red"), tmp_path / "it.png"), "metric": "lpips"})

    def test_it_is_minus_what_the_package_says(self, tmp_path, monkeypatch):
        """Stands in for the package, which needs torchvision and fetched weights: the mean difference in [-1, 1]."""

        class Network(torch.nn.Module):
            def __init__(self, net, verbose):
                super().__init__()
                assert (net, verbose) == ("alex", False)
                torch.randn(3)

            def forward(self, x, y, normalize):
                assert x.shape == y.shape == (1, 3, 16, 24)
                assert normalize
                assert x.dtype == torch.float32
                return (2 * x - 2 * y).abs().mean().reshape(1, 1, 1, 1)

        monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=Network))
        reference = saved(Image.new("RGB", (24, 16), "black"), tmp_path / "it.png")
        before = torch.get_rng_state()
        reward = make_reward("similarity", {"reference": reference, "metric": "lpips"})
        images = [Image.new("RGB", (24, 16), colour) for colour in ("black", "white", "red")]
        assert reward(images, [""] * 3) == pytest.approx([0, -2, -2 / 3])
        assert (reward.unit, reward.range) == ("-LPIPS", (-math.inf, 0))
        assert torch.equal(torch.get_rng_state(), before)


PROGRAM = """
import sys
from PIL import Image, ImageStat
print("looking at", sys.argv[1], file=sys.stderr)
print("brightness")
print(sum(ImageStat.Stat(Image.open(sys.argv[1])).mean) / 3 / 255)
"""
CLUMSY = """import os, sys
print("looking for a face", file=sys.stderr)
print("no face found\\n", file=sys.stderr)
sys.exit(int(sys.argv[1]))
"""
PROMPTS = [
    "a $(touch bad) `touch bad` ; touch bad",
    "; rm -rf *",
    'it\'s "quoted" \\ and | piped > bad & # *',
    "{image} {prompt} {0} %s",
    "two\nlines\ttabbed  spaced ",
    "märchenhaft, 夜の海",
    "--help",
    "",
]


def script(path: Path, text: str, *arguments: str) -> str:
    path.write_text(text)
    return shlex.join([sys.executable, str(path), *arguments])


def asked(reward, images=(), prompts=None):
    images = images or pictures(1)
    return asyncio.run(reward(images, prompts or ["a picture"] * len(images)))


def alive(pid: int) -> bool:
    """Tell whether a process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def ended(pids, within=30.0) -> bool:
    due = time.monotonic() + within
    while any(map(alive, pids)) and time.monotonic() < due:
        time.sleep(0.02)
    return not any(map(alive, pids))


def pids_in(path: Path, n: int) -> list[int]:
    due = time.monotonic() + 30
    while (not path.exists() or len(path.read_text().split()) < n) and time.monotonic() < due:
        time.sleep(0.02)
    return [int(pid) for pid in path.read_text().split()]


class TestCommand:
    def test_the_last_line_of_a_program_is_the_score(self, tmp_path):
        reward = make_reward(
            "command", {"command": script(tmp_path / "bright.py", PROGRAM, "{image}"), "unit": "of white"}
        )
        scores = asked(reward, [plain("black"), plain("white")])
        assert [one.value for one in scores] == [0, 1]
        assert reward.unit == "of white"
        assert reward.policy == CallPolicy(in_flight=2, timeout=60)

    @pytest.mark.parametrize("folder", ["with spaces & 'quotes'", "${HOME}; rm -rf *"])
    def test_paths_may_hold_anything(self, tmp_path, monkeypatch, folder):
        (home := tmp_path / folder).mkdir()
        monkeypatch.setattr("tempfile.tempdir", str(home))
        text = "import sys, PIL.Image\nPIL.Image.open(sys.argv[1].removeprefix('in='))\nprint(len(sys.argv))\n"
        command = script(home / "a script.py", text, "in={image}")
        assert asked(make_reward("command", {"command": command}))[0].value == 2
        assert [path.name for path in home.iterdir()] == ["a script.py"]

    @pytest.mark.parametrize("prompt", PROMPTS)
    def test_a_prompt_is_one_argument_whatever_it_holds(self, tmp_path, monkeypatch, prompt):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "keep").touch()
        text = "import sys\nopen('seen', 'w', encoding='utf-8').write('\\0'.join(sys.argv[1:]))\nprint(1)\n"
        command = script(tmp_path / "see.py", text, "{prompt}", "--prompt={prompt}", "{image}", "{other}")
        assert asked(make_reward("command", {"command": command}), prompts=[prompt])[0].value == 1
        first, second, path, other = Path("seen").read_bytes().decode().split("\0")
        assert (first, second, other) == (prompt, f"--prompt={prompt}", "{other}")
        assert path.endswith("/image.png")
        assert not Path(path).exists()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["keep", "see.py", "seen"]

    def test_the_image_is_private_and_exact(self, tmp_path):
        text = (
            "import os, sys, hashlib, PIL.Image\npath = sys.argv[1]\n"
            "assert os.stat(os.path.dirname(path)).st_mode & 0o077 == 0\n"
            "print(int(hashlib.sha256(PIL.Image.open(path).tobytes()).hexdigest()[:8], 16))\n"
        )
        (image,) = pictures(1)
        expected = int(hashlib.sha256(image.tobytes()).hexdigest()[:8], 16)
        (found,) = asked(make_reward("command", {"command": script(tmp_path / "hash.py", text, "{image}")}), [image])
        assert found.value == expected

    @pytest.mark.parametrize(
        ("text", "value"),
        [("12", 12), ("  -1.5e3 \n\n \n", -1500), ("one\n2\n3", 3), ("1\r\n0.5\r\n", 0.5), ("x" * 10**6 + "\n7", 7)],
        ids=["alone", "before blank lines", "last of three", "carriage returns", "after a long line"],
    )
    def test_a_number_in_the_last_line(self, tmp_path, text, value):
        (tmp_path / "out").write_text(text, newline="")
        (found,) = asked(make_reward("command", {"command": f"sh -c 'cat {tmp_path}/out' {{image}}"}))
        assert found.value == value

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("0.5\nall done", "the last line must be a number; got 'all done'"),
            ("score: 0.5", "the last line must be a number; got 'score: 0.5'"),
            ("", "the last line must be a number; got no output"),
            ("\n \n", "the last line must be a number; got no output"),
            ("x" * 1000, "the last line must be a number; got '" + "x" * 200 + "'"),
        ],
    )
    def test_what_is_no_number_is_missing(self, tmp_path, text, message):
        (tmp_path / "out").write_text(text)
        (found,) = asked(make_reward("command", {"command": f"sh -c 'cat {tmp_path}/out' {{image}}"}))
        assert found.missing
        assert (found.kind, found.error) == ("not a number", message)

    @pytest.mark.parametrize(("code", "transient"), [(1, False), (3, False), (75, True)])
    def test_a_program_that_fails_says_why(self, tmp_path, code, transient):
        command = script(tmp_path / "fail.py", CLUMSY, str(code), "{image}")
        with pytest.raises(CallError, match=f"exit {code}: no face found") as raised:
            asked(make_reward("command", {"command": command}))
        failure = raised.value.failure
        assert (failure.kind, failure.transient, failure.billed) == (f"exit {code}", transient, True)

    def test_a_program_that_dies_says_by_which_signal(self):
        with pytest.raises(CallError, match="killed by signal 9"):
            asked(make_reward("command", {"command": "sh -c 'kill -9 $$' {image}"}))

    def test_a_program_has_no_input_to_wait_for(self):
        (found,) = asked(make_reward("command", {"command": "sh -c 'wc -c; : {image}'"}))
        assert found.value == 0

    def test_a_program_that_hangs_is_killed_with_what_it_started(self, tmp_path, monkeypatch):
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        pids = tmp_path / "pids"
        command = f"sh -c 'sleep 60 & echo $$ $! > {pids}; trap \"\" TERM; wait; sleep 60' {{image}}"
        oracle = Oracle(make_reward("command", {"command": command}), CallPolicy(timeout=2, attempts=1))
        image = np.zeros((4, 4, 3), np.uint8)
        (answer,) = oracle.ask([Query(0, image, image_hash(image), "")])
        oracle.close()
        assert (answer.score.kind, answer.score.error) == ("timeout", "no response within 2 s")
        assert len(found := pids_in(pids, 2)) == 2
        assert ended(found)
        assert list(tmp_path.iterdir()) == [pids]

    def test_giving_up_kills_it_even_when_its_output_is_held_open(self, tmp_path):
        pids = tmp_path / "pids"
        away = "import os, sys, time\nos.setsid()\nopen(sys.argv[1], 'a').write(f'{os.getpid()} ')\ntime.sleep(60)\n"
        (tmp_path / "away.py").write_text(away)
        inner = f"echo $$ >> {pids}; {sys.executable} {tmp_path}/away.py {pids} & wait"
        reward = make_reward("command", {"command": shlex.join(["sh", "-c", inner, "{image}"])})

        async def give_up():
            task = asyncio.create_task(reward(pictures(1), [""]))
            await asyncio.to_thread(pids_in, pids, 2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        started = time.monotonic()
        asyncio.run(give_up())
        program, escaped = pids_in(pids, 2)
        try:
            assert ended([program])
            assert time.monotonic() - started < 50  # the other program holds the output open for 60 s
        finally:
            os.kill(escaped, 9)

    def test_what_a_program_leaves_behind_may_hold_its_output_open(self, tmp_path):
        pids = tmp_path / "pids"
        started = time.monotonic()
        (found,) = asked(make_reward("command", {"command": f"sh -c 'sleep 60 & echo $! > {pids}; echo 4' {{image}}"}))
        assert found.value == 4
        assert time.monotonic() - started < 50  # and not the 60 s of what it started
        assert alive(*pids_in(pids, 1))
        os.kill(*pids_in(pids, 1), 9)

    def test_two_run_at_once(self, tmp_path):
        """Each program waits until two have started."""
        log = tmp_path / "log"
        two = f"until [ $(grep -c ^1 {log}) -ge 2 ]; do sleep 0.01; done"
        reward = make_reward(
            "command", {"command": f"sh -c 'echo 1 >> {log}; {two}; echo -1 >> {log}; echo 1' {{image}}"}
        )
        oracle = Oracle(reward)
        images = [np.full((4, 4, 3), level, np.uint8) for level in range(4)]
        answers = oracle.ask([Query(i, one, image_hash(one), "") for i, one in enumerate(images)])
        oracle.close()
        assert [answer.score.value for answer in answers] == [1] * 4
        assert max(np.cumsum([*map(int, log.read_text().split())])) == 2

    def test_it_is_known_by_the_content_of_its_files(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        Path("score.sh").write_text("#!/bin/sh\necho 1\n")
        Path("score.sh").chmod(0o755)
        Path("weights").write_text("w1")
        identities = [make_reward("command", {"command": "./score.sh weights {image}"}).identity]
        assert identities[0]["files"]["weights"] == hashlib.sha256(b"w1").hexdigest()
        Path("weights").write_text("w2")
        identities.append(make_reward("command", {"command": "./score.sh weights {image}"}).identity)
        Path("score.sh").write_text("#!/bin/sh\necho 2\n")
        identities.append(make_reward("command", {"command": "./score.sh weights {image}"}).identity)
        identities.append(make_reward("command", {"command": "./score.sh weights {image}", "version": "2"}).identity)
        assert len(set(map(str, identities))) == 4
        assert make_reward("command", {"command": "./score.sh weights {image}"}).identity == identities[2]
        assert set(make_reward("command", {"command": "sh -c 'echo 1' {image}"}).identity["files"]) == {"sh"}

    @pytest.mark.parametrize(
        ("command", "message"),
        [
            ("sh -c 'echo 1'", "command must name {image}; got \"sh -c 'echo 1'\". A PNG"),
            ("", "command must name {image}; got ''."),
            ("sh -c 'judge {image} {prompt}'", "command must not put {prompt} into a shell's script"),
            ("/bin/bash -xec 'judge {image} \"{prompt}\"' x", "command must not put {prompt} into a shell's script"),
            ("env A=1 sh -e -c 'judge {image} {prompt}'", "command must not put {prompt} into a shell's script"),
            ("no-such-program {image}", "command must begin with a program; got 'no-such-program'. It is not on"),
            (
                "./notes.txt {image}",
                "command must begin with a program; got './notes.txt'. It is not on the PATH, or not",
            ),
            ("sh 'echo {image}", 'command must close its quotes; got "sh \'echo {image}": No closing quotation.'),
        ],
    )
    def test_what_cannot_be_run_is_refused(self, tmp_path, monkeypatch, command, message):
        monkeypatch.chdir(tmp_path)
        Path("notes.txt").write_text("notes")
        with pytest.raises(InputError) as raised:
            make_reward("command", {"command": command})
        assert message in str(raised.value)

    def test_a_file_that_cannot_be_read_is_refused(self, monkeypatch):
        def locked(*_):
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr("hashlib.file_digest", locked)
        with pytest.raises(InputError, match="command must name files that can be read; got .*sh': Permission denied."):
            make_reward("command", {"command": "sh -c 'echo 1' {image}"})
