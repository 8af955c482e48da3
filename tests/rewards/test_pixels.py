"""What is computed from the pixels alone."""

import colorsys
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from tests.support.pixels import chequered, plain, score
from zo_dno.errors import InputError
from zo_dno.run.make_reward import make_reward
from zo_dno.testing.reward_laws import pictures

COLOURS = st.tuples(*[st.integers(0, 255)] * 3)


def halves(left, right, side=16) -> Image.Image:
    image = plain(left, side)
    image.paste(right, (side // 2, 0, side, side))
    return image


@st.composite
def small_images(draw):
    height, width, seed = draw(st.integers(1, 9)), draw(st.integers(1, 9)), draw(st.integers(0, 99))
    levels = draw(st.sampled_from([[0, 255], [0, 1], [127, 128], range(256)]))
    return Image.fromarray(np.random.default_rng(seed).choice(levels, (height, width, 3)).astype(np.uint8))


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
