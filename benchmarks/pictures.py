"""Make the pictures of the README from the run of `make demo`."""

import json
import shutil
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

RUN, PICTURES = Path("runs/demo"), Path("docs/pictures")
SIDE, MARGIN, CAPTION = 384, 12, 34


def main() -> None:
    result = json.loads((RUN / "result.json").read_text(encoding="utf-8"))
    sheet = Image.new("RGB", (2 * SIDE + 3 * MARGIN, SIDE + 2 * MARGIN + CAPTION), "white")
    draw = ImageDraw.Draw(sheet)
    for i, name in enumerate(("first", "best")):
        left = MARGIN + i * (SIDE + MARGIN)
        picture = Image.open(RUN / f"{name}.png").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
        sheet.paste(picture, (left, MARGIN))
        size = result[name]["reward"]
        caption = f"{name}: {size:.2f} kB as JPEG"
        draw.text((left, SIDE + MARGIN + 8), caption, (24, 26, 32), ImageFont.load_default(18))
    sheet.save(PICTURES / "first-and-best.png", optimize=True)
    for name in ("strip.png", "progress.png"):
        shutil.copy(RUN / name, PICTURES / name)


if __name__ == "__main__":
    main()
