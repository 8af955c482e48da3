"""A picture that scans as a QR code: the code is faint, and the noise is searched for copies that a reader can read."""

from itertools import product
from pathlib import Path

import numpy as np
import segno
import zxingcpp
from PIL import Image, ImageFilter

import zo_dno

HERE = Path(__file__).parent
PROMPT = "sea at dusk, with a sailboat"
TEXT = "https://example.org"
SIZE = 232  # pixels a side: 8 a module
STRENGTHS = (0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.13, 0.14, 0.16, 0.18, 0.2)
BLURS = (0.0, 2.0)  # pixels


def modules() -> np.ndarray:
    """Return the code with its quiet zone, (SIZE, SIZE, 1) of 0 for dark and 255 for light."""
    dark = np.array([list(row) for row in segno.make(TEXT, error="h", micro=False).matrix_iter(border=2)])
    return 255.0 - 255.0 * dark.repeat(SIZE // len(dark), 0).repeat(SIZE // len(dark), 1)[..., None]


CODE = modules()


def with_code(image: Image.Image, strength: float) -> Image.Image:
    """Lay the code over an image."""
    pixels = np.asarray(image.resize(CODE.shape[:2], Image.Resampling.BICUBIC), dtype=float)
    return Image.fromarray(((1 - strength) * pixels + strength * CODE).round().astype(np.uint8))


def scans(images, prompts):
    """Return the share of copies, of several strengths and blurs, from which a reader gets the text."""
    return [float(np.mean([_reads(image, *copy) for copy in product(STRENGTHS, BLURS)])) for image in images]


def _reads(image: Image.Image, strength: float, blur: float) -> bool:
    copy = with_code(image, strength).filter(ImageFilter.GaussianBlur(blur))
    return any(found.text == TEXT for found in zxingcpp.read_barcodes(copy, zxingcpp.BarcodeFormat.QRCode))


def weakest(image: Image.Image) -> float:
    """Return the smallest strength at which the sharp copy can be read; 1 if none can."""
    return next((strength for strength in STRENGTHS if _reads(image, strength, 0.0)), 1.0)


if __name__ == "__main__":
    generator = zo_dno.DiffusersGenerator.builtin(PROMPT, model="scenes-64")
    result = zo_dno.optimize(generator, scans, queries=192, seed=0, held_out="prompt_match", baseline="equal")
    print(
        f"share that scans: first {result.first.reward:.2f}, best of 192 prior draws {result.baseline.reward:.2f}, ",
        end="",
    )
    print(f"search {result.best.reward:.2f} (plausible: {result.best.plausible})")
    strength = weakest(result.best_image)
    pictures = [with_code(image, strength) for image in (result.first_image, result.best_image)]
    Image.fromarray(np.hstack([np.asarray(picture) for picture in pictures])).save(HERE / "picture.png")
