"""Rewards that are the size of an image's file."""

import io
import os

import numpy as np
import pytest
from PIL import Image

from tests.support.pixels import plain, score
from zo_dno.errors import InputError
from zo_dno.run.make_reward import make_reward
from zo_dno.testing.reward_laws import pictures


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
