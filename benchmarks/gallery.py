"""Run the searches of docs/gallery.md on the built-in model, and write the page with their pictures: `make gallery`."""

import hashlib
import json
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from zo_dno.results.verdict import LOST

FOLDER, PAGE, PICTURES = Path("runs/gallery"), Path("docs/gallery.md"), Path("docs/pictures/gallery")
_SIDE, _GAP = 256, 8
_QUERIES = 64


@dataclass(frozen=True)
class Entry:
    """One search.

    Args:
        name: Name of the run's folder and of the picture.
        title: Heading on the page.
        prompt: What the image shows.
        reward: Reward as on the command line.
        require: Threshold that the winner must meet.
        steps: Denoising steps.
    """

    name: str
    title: str
    prompt: str
    reward: str
    require: str | None = None
    steps: int = 4

    @property
    def command(self) -> list[str]:
        """The command, which is run in `FOLDER`."""
        words = ["zo-dno", "run", "--prompt", self.prompt, "--reward", self.reward, "--held-out", "prompt_match"]
        words += [] if self.require is None else ["--require", self.require]
        return [
            *words,
            "--steps",
            str(self.steps),
            "--strategy",
            "surrogate",
            "--queries",
            str(_QUERIES),
            "--out",
            self.name,
        ]


ENTRIES = (
    Entry("detail", "A larger JPEG", "sea at dusk, with a sailboat", "jpeg_larger"),
    Entry("calm", "A smaller JPEG", "mountains at day, cloudy, with a house", "jpeg_smaller"),
    Entry(
        "faithful",
        "A smaller JPEG of what was asked for",
        "mountains at day, cloudy, with a house",
        "jpeg_smaller",
        require="prompt_match >= 0.9",
    ),
    Entry("colour", "More colour", "city at dusk", "colourfulness"),
    Entry("mirror", "Symmetry", "hills at dawn, with a tent", "symmetry"),
)
SEEN = {
    "c46f097a81fe": "The haze is gone, but so is one boat, and the other stands behind lit windows: the search took "
    "edges from where this model has most of them, the city. `prompt_match` still finds sea and sailboat, so look at "
    "winners, or ask another judge ([reward hacking](hacking.md)).",
    "2f54af991728": "A small file has no house and no peaks: a bank of cloud, plain sky, haze in place of mountains.",
    "6f6a740a5e23": "The same search with `--require`: clouds and mountains have become flat bands here, too, but the "
    "house is there, small and without a window.",
    "b96cc4da1c50": "The sky is stronger, from deep blue over magenta to orange, with a sun low at the right. The "
    "skyline is lower, and has fewer lit windows.",
    "45c90eadab57": "The tent has moved to the middle, and the hills are alike at both sides.",
}
"""What was seen in a pair of pictures, by its hash: another pair is not described."""
_HEAD = """# Gallery

Searches on the built-in model, each with {queries} queries of the strategy `surrogate`. At the left is the image of the
pipeline without a search, at the right the best image, both enlarged from 128 x 128 pixels. `prompt_match` is a judge
that the search did not see, unless the command requires a value of it. Nothing was selected: these are the first runs
with seed 0. `make gallery` repeats them and writes this page.
"""


def pair(run: Path) -> Image.Image:
    """Return the first and the best image of a run beside each other, enlarged by a whole number."""
    images = [Image.open(run / f"{name}.png").convert("RGB") for name in ("first", "best")]
    sheet = Image.new("RGB", (2 * _SIDE + _GAP, _SIDE), "white")
    for place, image in enumerate(images):
        enlarged = image.resize((_SIDE, _SIDE), Image.Resampling.NEAREST)
        sheet.paste(enlarged, (place * (_SIDE + _GAP), 0))
    return sheet


def section(entry: Entry, run: Path, picture: str) -> str:
    """Return an entry's part of the page.

    Args:
        entry: The search.
        run: Folder of its run.
        picture: Link to its picture.
    """
    result = json.loads((run / "result.json").read_text(encoding="utf-8"))
    first, best = result["first"]["reward"], result["best"]["reward"]
    lines = [f"## {entry.title}", f"![The first and the best image]({picture})"]
    lines += [SEEN[shown(run)]] if shown(run) in SEEN else []
    lines += [f"```sh\n{shlex.join(entry.command)}\n```"]
    table = f"| | first | best |\n|---|---|---|\n| {result['reward']} / {result['unit']} | {first:.3g} | {best:.3g} |\n"
    before, after = (result["held_out"]["prompt_match"][name] for name in ("first", "best"))
    table += f"| prompt match | {before:.3f} | {after:.3f} |\n"
    table += f"| log P | | {result['best']['log_prob']:.2f} |"
    lines.append(table)
    if after < (1 - LOST) * before:
        lines.append(
            f"The best image lost {1 - after / before:.0%} of its prompt match: it pleases the reward more than the "
            "prompt ([reward hacking](hacking.md))."
        )
    return "\n\n".join(lines)


def shown(run: Path) -> str:
    """Return the hash of a run's pair of pictures."""
    return hashed(pair(run))


def hashed(picture: Image.Image) -> str:
    """Return a short hash of a picture's pixels."""
    return hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()[:12]


def _is_finished(run: Path) -> bool:
    result = run / "result.json"
    return result.exists() and json.loads(result.read_text(encoding="utf-8"))["status"] == "finished"


def main() -> int:
    """Run what is missing in `FOLDER`, resume what was stopped, and write the page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    PICTURES.mkdir(parents=True, exist_ok=True)
    parts = [_HEAD.format(queries=_QUERIES)]
    for entry in ENTRIES:
        run = FOLDER / entry.name
        if not _is_finished(run):
            words = ["resume", entry.name] if run.exists() else entry.command[1:]
            subprocess.run([sys.executable, "-m", "zo_dno", *words], cwd=FOLDER, check=True)
        pair(run).save(PICTURES / f"{entry.name}.webp", lossless=True)
        parts.append(section(entry, run, f"pictures/gallery/{entry.name}.webp"))
        if shown(run) not in SEEN:
            print(
                f"{entry.name}: look at {PICTURES / entry.name}.webp and describe it under {shown(run)}",
                file=sys.stderr,
            )
    PAGE.write_text("\n\n".join(part.strip() for part in parts) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
