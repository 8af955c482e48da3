"""How like a reference an image is, by SSIM and by LPIPS."""

import math
import pickle
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tests.support.pixels import chequered, plain, score
from zo_dno.errors import InputError
from zo_dno.rewards.perceptual import lpips_network
from zo_dno.rewards.ssim import ssim
from zo_dno.run.make_reward import make_reward
from zo_dno.testing.reward_laws import pictures


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
            r"metric must be 'ssim' where LPIPS cannot be loaded; got 'lpips': .*lpips.*\. Install .*pip install "
            r"'zo-dno\[lpips\]'"
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
