"""A picture whose title can be read: the built-in model's noise, searched for what an OCR engine makes of the text."""

from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rapidocr_onnxruntime import RapidOCR

import zo_dno

HERE = Path(__file__).parent
PROMPT = "mountains at day, snowy"
TITLE = "WINTER SUN"
SIZE = 384  # pixels a side
BOX = (12, 36, SIZE - 12, 108)  # left, upper, right, lower
OPACITIES = (0.02, 0.03, 0.05)
OCR = RapidOCR(intra_op_num_threads=1, inter_op_num_threads=1)


def with_title(image: Image.Image, opacity: float) -> Image.Image:
    """Write the title on an image in white."""
    large = image.resize((SIZE, SIZE), Image.Resampling.BICUBIC).convert("RGBA")
    text = Image.new("RGBA", large.size)
    place = ((BOX[0] + BOX[2]) / 2, (BOX[1] + BOX[3]) / 2)
    white = (255, 255, 255, round(255 * opacity))
    ImageDraw.Draw(text).text(place, TITLE, fill=white, font=ImageFont.load_default(56), anchor="mm")
    return Image.alpha_composite(large, text).convert("RGB")


def legible(images, prompts):
    """Return how much of the title is read, times the engine's confidence, averaged over several opacities."""
    return [float(np.mean([_read(with_title(image, opacity).crop(BOX)) for opacity in OPACITIES])) for image in images]


def _read(line: Image.Image) -> float:
    found, _ = OCR(np.asarray(line)[..., ::-1], use_det=False, use_cls=False, use_rec=True)
    text, confidence = found[0][:2] if found else ("", 0.0)
    return SequenceMatcher(None, TITLE.replace(" ", ""), text.replace(" ", "")).ratio() * float(confidence)


if __name__ == "__main__":
    generator = zo_dno.DiffusersGenerator.builtin(PROMPT, model="scenes-64")
    result = zo_dno.optimize(
        generator, legible, queries=96, seed=0, require="prompt_match >= 0.8", baseline="equal", threads=2
    )
    print(f"legibility: first {result.first.reward:.2f}, best of 96 prior draws {result.baseline.reward:.2f}, ", end="")
    print(f"search {result.best.reward:.2f} (plausible: {result.best.plausible})")
    pictures = [with_title(image, 0.2) for image in (result.first_image, result.best_image)]
    Image.fromarray(np.hstack([np.asarray(picture) for picture in pictures])).save(HERE / "picture.png")
