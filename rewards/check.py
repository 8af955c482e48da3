"""Learned rewards with the weights on this machine, against published values: `python -m zo_dno.rewards.check`."""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError, given, unknown_name
from zo_dno.registry import checked_options, load
from zo_dno.rewards import REWARDS
from zo_dno.rewards.learned import LearnedReward, batch_effect, values_of
from zo_dno.rewards.published import PUBLISHED, Published

AGREES, DIFFERS, WORKS, ABSENT, BROKEN = "agrees", "DIFFERS", "works", "not here", "BROKEN"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one reward.

    Attributes:
        name: Name of the reward.
        verdict: `AGREES` or `DIFFERS` with published values, `WORKS` where none could be compared, `ABSENT` where the
            weights are not on this machine, `BROKEN` where they cannot be read or score nothing.
        reason: What was compared, or what is needed.
    """

    name: str
    verdict: str
    reason: str

    @property
    def failed(self) -> bool:
        return self.verdict in (DIFFERS, BROKEN)


def learned() -> list[str]:
    """Return the names of the learned rewards."""
    kinds = {name: load("reward", REWARDS, name) for name in REWARDS}
    return [name for name, kind in kinds.items() if issubclass(kind, LearnedReward)]


def check(name: str, options: Mapping[str, Any], pictures: Path | None) -> Finding:
    """Check one reward.

    Args:
        name: Name of a learned reward.
        options: Options, such as local paths of the weights; others are the defaults.
        pictures: Folder with the published pictures; None without.
    Raises:
        InputError: An option is unknown or does not fit.
    """
    published = PUBLISHED.get(name)
    reward, weights = _at_hand(name, {**(published.options if published else {}), **options})
    absent = weights if isinstance(weights, InputError) else None
    if absent is not None and published is not None and published.options:  # the values are of other weights
        published = None
        reward, weights = _at_hand(name, options)
    if isinstance(weights, InputError):
        return Finding(name, ABSENT, str(absent))
    missing = _missing(published, pictures)
    try:
        if published is None or missing:
            none = "No values are published." if name not in PUBLISHED else f"Values are published of others. {absent}"
            return Finding(name, WORKS, f"{_small(reward)} {missing or none}")
        return _compared(reward, published, pictures or Path())
    except InputError as error:
        return Finding(name, BROKEN, str(error))
    except Exception as error:  # torch, transformers and Pillow each raise their own
        where = ", ".join(str(path) for path in weights.values())
        return Finding(name, BROKEN, f"{type(error).__name__}: {str(error).partition(chr(10))[0]} (weights: {where})")


def _at_hand(name: str, options: Mapping[str, Any]) -> tuple[LearnedReward, "dict[str, Path] | InputError"]:
    """Make a reward, and find its weights; where they are not on this machine, the error says how to get them."""
    reward = _made(name, options)
    try:
        return reward, reward.weights
    except InputError as error:
        return reward, error


def _made(name: str, options: Mapping[str, Any]) -> LearnedReward:
    if name not in (known := learned()):
        raise unknown_name("learned reward", name, known)
    kind = load("reward", REWARDS, name)
    made: LearnedReward = kind(**checked_options(name, kind, options))
    return made


def _missing(published: Published | None, pictures: Path | None) -> str | None:
    if published is None:
        return None
    names = list(dict.fromkeys(published.pictures))
    absent = [name for name in names if pictures is None or not (pictures / name).is_file()]
    return f"To compare: {', '.join(absent)} of {published.source} in the folder --images." if absent else None


def _compared(reward: LearnedReward, published: Published, pictures: Path) -> Finding:
    from PIL import Image

    images = []
    for name in published.pictures:
        with Image.open(pictures / name) as image:
            images.append(image.convert("RGB"))
    got = published.compared(values_of(reward(images, published.prompts)))
    differences = [abs(one - other) for one, other in zip(got, published.values, strict=True)]
    agrees = all(difference <= published.tolerance for difference in differences)  # which NaN is not
    values = f"published {_listed(published.values)}, here {_listed(got)}"
    size = f"largest difference {max(differences):.2g}, tolerance {published.tolerance:g}"
    return Finding(reward.name, AGREES if agrees else DIFFERS, f"{values}; {size} ({published.source}).")


def _small(reward: LearnedReward) -> str:
    """Score a grey image, and say what a batch does to a score."""
    from PIL import Image

    (score,) = reward([Image.new("RGB", (64, 64), (128, 128, 128))], ["a grey square"])
    value = values_of([score])[0]
    said = "no rating" if math.isnan(value) else f"{value:.4g} {reward.unit}"
    effect = batch_effect(reward)
    return f"A grey square has {said}; a batch changes scores by up to {effect:.1g}, tolerance {reward.tolerance:g}."


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4f}" for value in values)


def _options(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """Read NAME.OPTION=VALUE into options by name.

    Raises:
        InputError: A text is none.
    """
    options: dict[str, dict[str, str]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        name, dot, option = place.partition(".")
        if not (equals and dot and option):
            raise InputError(f"option must be NAME.OPTION=VALUE, such as hps.model=/weights/hps.pt; got {given(text)}.")
        options.setdefault(name, {})[option] = value
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Check rewards, and print a line for each; return 1 if a value differs or weights cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m zo_dno.rewards.check", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="learned reward; all by default")
    parser.add_argument("--images", type=Path, help="folder with the published pictures")
    parser.add_argument("--option", action="append", default=[], metavar="NAME.OPTION=VALUE", help="option of a reward")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.images is not None and not chosen.images.is_dir():
            raise InputError(f"images must be a folder; got {str(chosen.images)!r}, which is not here.")
        options = _options(chosen.option)
        for name in options:
            _made(name, options[name])
        failed = False
        for name in chosen.names or learned():
            finding = check(name, options.get(name, {}), chosen.images)
            print(f"{finding.name:16} {finding.verdict:9} {finding.reason}", flush=True)
            failed = failed or finding.failed
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
