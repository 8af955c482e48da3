"""The figures of the built-in model: `python -m zo_dno.scenes.evaluate`."""

import argparse
import json
import platform
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from zo_dno.scenes import (
    DEFAULT_GUIDANCE,
    DEFAULT_STEPS,
    JUDGE_FILE,
    LARGE_AUTOENCODER,
    LARGE_SIDE,
    PIPELINE_FOLDER,
    SIDES,
)

CARD = Path(__file__).with_name("CARD.md")
TARGETS = {
    "autoencoder_psnr_db": 28.0,
    "judge_place_right": 0.97,
    "judge_time_right": 0.97,
    "judge_weather_right": 0.95,
    "judge_object_right": 0.95,
    "drawn_place_right": 0.90,
    "drawn_time_right": 0.90,
    "drawn_weather_right": 0.80,
    "drawn_object_right": 0.75,
    "images_per_second": 25.0,
}
_FIGURES = re.compile(r"(<!-- figures -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def table(figures: Mapping[str, Mapping[str, float]]) -> str:
    """Return the figures of each model as a Markdown table beside their targets."""
    lines = [f"| figure | {' | '.join(figures)} | must reach |", "|---|" + "---:|" * (len(figures) + 1)]
    for name in next(iter(figures.values())):
        target = TARGETS.get(name)
        values = " | ".join(f"{one[name]:.3f}" for one in figures.values())
        lines.append(f"| {name} | {values} | {'' if target is None else f'{target:g}'} |")
    return "\n".join(lines)


def update_card(figures: Mapping[str, Mapping[str, float]], where: str, card: Path = CARD) -> None:
    """Replace the figures in the model card."""
    text = f"Measured with {where}.\n\n{table(figures)}\n"
    card.write_text(
        _FIGURES.sub(lambda found: found[1] + text + found[2], card.read_text(encoding="utf-8")), encoding="utf-8"
    )


def describe(steps: int) -> str:
    """Return a line that says how the figures were measured."""
    processors = Path("/proc/cpuinfo")
    model = re.search(r"model name\s*: (.*)", processors.read_text(encoding="utf-8")) if processors.exists() else None
    processor = model[1] if model else platform.machine()
    return (
        f"{steps} DDIM steps, guidance {DEFAULT_GUIDANCE:g}, {torch.get_num_threads()} CPU threads ({processor}), "
        f"PyTorch {torch.__version__}"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table and one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m zo_dno.scenes.evaluate", description=__doc__)
    parser.add_argument("--count", type=int, default=500, help="held-out pictures, and rendered images")
    parser.add_argument("--steps", type=int, default=DEFAULT_STEPS, help="sampler steps")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weights", type=Path, default=PIPELINE_FOLDER.parent, help="folder of the weights")
    parser.add_argument("--card", action="store_true", help="write the figures into the model card")
    options = parser.parse_args(arguments)

    from zo_dno.scenes.figures import measure
    from zo_dno.scenes.judge import Judge
    from zo_dno.scenes.pipeline import load

    torch.set_num_threads(options.threads)
    judge, figures = Judge.load(options.weights / JUDGE_FILE.name), {}
    for name in ("scenes-64", "scenes-128"):
        large = options.weights / LARGE_AUTOENCODER.name if SIDES[name] == LARGE_SIDE else None
        pipeline = load(options.weights / PIPELINE_FOLDER.name, large)
        figures[name] = measure(pipeline, judge, options.count, options.steps, SIDES[name])
    where = describe(options.steps)
    print(f"{where}\n\n{table(figures)}\n")
    if options.card:
        update_card(figures, where)
    rounded = {name: {figure: round(value, 4) for figure, value in one.items()} for name, one in figures.items()}
    print(json.dumps({"measured_with": where, **rounded}))


if __name__ == "__main__":
    main()
