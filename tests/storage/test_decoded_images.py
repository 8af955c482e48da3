"""Images that others made: upright, on white, with 8 bits, or refused."""

import io
import struct

import numpy as np
import pytest
from PIL import Image

from tests.support.pictures import png
from zo_dno.storage.images import UnreadableImageError, decoded, read_png


def file_of(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_sixteen_bits_are_scaled_and_not_cut():
    grey = png(4, 3, 16, 0, [struct.pack(">4H", 0, 16384, 32768, 65535)] * 3)
    levels = np.asarray(decoded(grey))
    assert levels.shape == (3, 4, 3)
    assert levels[0, :, 0].tolist() == [0, 64, 128, 255]
    colours = png(2, 1, 16, 2, [struct.pack(">6H", 32768, 0, 65535, 0, 32768, 0)])
    assert np.asarray(decoded(colours)).tolist() == [[[128, 0, 255], [0, 128, 0]]]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_is_upright_as_its_exif_says(orientation):
    upright = Image.new("RGB", (6, 4), "black")
    upright.putpixel((0, 0), (255, 255, 255))
    turns = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    stored = upright.transpose(turns[orientation]) if orientation in turns else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decoded(file_of(stored, exif=exif)), upright)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "PA", "P"])
def test_what_is_transparent_shows_white(mode):
    image = Image.new("RGBA", (2, 1), (200, 0, 0, 255))
    image.putpixel((1, 0), (0, 0, 0, 0))
    if mode == "P":
        image = Image.new("P", (2, 1), 0)
        image.putpalette([200, 0, 0, 0, 0, 0])
        image.putpixel((1, 0), 1)
        content = file_of(image, transparency=1)
    else:
        content = file_of(image.convert(mode), "PNG" if mode != "PA" else "TIFF") if mode != "PA" else file_of(image)
    assert decoded(content).getpixel((1, 0)) == (255, 255, 255)


def test_many_pixels_are_refused_before_they_are_decoded():
    blank = png(9_000, 9_000, 1, 0, [])  # says so, and holds nothing
    with pytest.raises(UnreadableImageError, match=r"it has 9000x9000 pixels; at most 67108864 are decoded"):
        decoded(blank)
    with pytest.raises(UnreadableImageError, match="DecompressionBombError"):
        decoded(png(30_000, 30_000, 1, 0, []))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"GIF89a",
        b"\x89PNG\r\n\x1a\n",
        png(8, 8, 8, 2, [b"\0" * 24])[:-20],
        file_of(Image.new("F", (2, 2)), "TIFF"),
    ],
)
def test_what_is_no_image_says_so(content, tmp_path):
    with pytest.raises(UnreadableImageError):
        decoded(content)
    (tmp_path / "image.png").write_bytes(content)
    with pytest.raises(UnreadableImageError):
        read_png(tmp_path / "image.png")


def test_only_the_formats_that_are_allowed_are_tried():
    gif = file_of(Image.new("RGB", (2, 2)), "GIF")
    assert decoded(gif).size == (2, 2)
    with pytest.raises(UnreadableImageError):
        decoded(gif, formats=("PNG",))
