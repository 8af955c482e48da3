"""The check of a judge: what its server takes and gives, found out with one image."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import TYPE_CHECKING, Any

import numpy as np

from zo_dno.errors import InputError
from zo_dno.judges.parsing import UnreadableError, read_score
from zo_dno.oracle.breaker import PauseError
from zo_dno.oracle.oracle import Oracle
from zo_dno.reward import Adaptation
from zo_dno.rewards.vlm import VLM
from zo_dno.run.make_reward import make_reward
from zo_dno.storage.images import image_hash
from zo_dno.storage.plain_json import parse_json
from zo_dno.types import Query, Response, Score

if TYPE_CHECKING:
    from PIL import Image

REPEATS = 5
PROMPT = "a red disc on a blue ground"
_ATTEMPTS, _PATIENCE = 2, 60.0  # calls of a query, seconds of a call
_ALIKE = 1e-9
_OF_RUBRIC = ("temperature", "pattern", "samples", "lowest", "highest")  # options that mode expected does not take


@dataclass(frozen=True, slots=True)
class JudgeCheck:
    """What was found about a judge.

    Attributes:
        rows: Names and what was found of each, in the order in which they are shown.
        adapted: What the server refused, and what was sent instead.
        options: Options to use the judge with, by name.
        failure: Reason why it gives no score; None where it does.
    """

    rows: Sequence[tuple[str, str]]
    adapted: Sequence[Adaptation]
    options: Mapping[str, str]
    failure: str | None


def check_judge(options: Mapping[str, Any], image: "Image.Image | None" = None, prompt: str = PROMPT) -> JudgeCheck:
    """Ask a judge about one image: five times for a score, and once for probabilities.

    Args:
        options: Options of the reward `vlm`.
        image: Image to ask about; by default a red disc on a blue ground.
        prompt: Prompt of the image.
    Raises:
        InputError: An option does not fit.
    """
    if "mode" in options:
        raise InputError(f"mode must be left out, since the check tries the modes; got {options['mode']!r}.")
    reward = made(options)
    pixels = np.asarray((image or _disc()).convert("RGB"))
    responses = _ask(reward, pixels, prompt, REPEATS)
    scored = [one for one in responses if not one.score.missing]
    probabilities = _probabilities(options, pixels, prompt) if scored else "unknown"
    rows = [
        ("server", reward.settings["url"]),
        ("model", ", ".join(reward.judges)),
        ("scores", _scores(responses, reward.unit)),
        ("spread", _spread(scored)),
        ("structure", _structure(reward, scored)),
        ("temperature", _temperature(reward) if scored else "unknown"),
        ("probabilities", probabilities),
        ("usage", _usage(reward, scored)),
        ("cost of an image", _cost(reward, scored)),
        ("time", f"{fmean(one.score.seconds for one in scored):.2g} s for an image" if scored else "unknown"),
    ]
    failure = None if scored else responses[0].score.error or "no score"
    return JudgeCheck(rows, reward.adaptations, _advised(options, reward, probabilities, scored), failure)


def made(options: Mapping[str, Any]) -> VLM:
    """Make the reward `vlm`.

    Raises:
        InputError: An option does not fit.
    """
    reward = make_reward("vlm", options)
    assert isinstance(reward, VLM)
    return reward


def _ask(reward: VLM, pixels: np.ndarray, prompt: str, n: int) -> list[Response]:
    """Ask n times about the same image."""
    policy = reward.policy.changed(attempts=_ATTEMPTS, timeout=_PATIENCE, deadline=2 * _PATIENCE, breaker=0)
    oracle = Oracle(reward, policy)
    try:
        queries = [Query(i, pixels, image_hash(pixels), prompt, repeat=i) for i in range(n)]
        return [one for one in oracle.ask(queries) if one is not None]
    except PauseError as pause:  # the server asks to wait for long
        return [Response(Score(math.nan, error=pause.reason, kind="paused"), 1, (), 0.0)] * n
    finally:
        oracle.close()


def _scores(responses: Sequence[Response], unit: str) -> str:
    values = [one.score.value for one in responses if not one.score.missing]
    missing = {one.score.error or "no score": None for one in responses if one.score.missing}
    found = f"{', '.join(f'{value:g}' for value in values)} ({unit})" if values else "none"
    return found + (
        f"; {len(responses) - len(values)} of {len(responses)} missing: {next(iter(missing))}" if missing else ""
    )


def _spread(scored: Sequence[Response]) -> str:
    if len(scored) < 2:
        return "unknown"
    deviation = pstdev(one.score.value for one in scored)
    return f"standard deviation {deviation:.3g} over {len(scored)} repeats" if deviation > _ALIKE else "none"


def _structure(reward: VLM, scored: Sequence[Response]) -> str:
    if any(one.field == "response_format" for one in reward.adaptations):
        return "refused; the score is read from the text"
    if not scored:
        return "unknown"
    whole = sum(_is_object(one.score.raw or "") for one in scored)
    return "JSON" if whole == len(scored) else f"taken, but {len(scored) - whole} of {len(scored)} are not JSON alone"


def _is_object(text: str) -> bool:
    try:
        read_score(text, -math.inf, math.inf)
        return isinstance(parse_json(text), dict)
    except (ValueError, UnreadableError):
        return False


def _temperature(reward: VLM) -> str:
    refused = any(one.field == "temperature" for one in reward.adaptations)
    return "refused, so that scores may vary" if refused else f"{reward.temperature:g} taken"


def _probabilities(options: Mapping[str, Any], pixels: np.ndarray, prompt: str) -> str:
    kept = {name: value for name, value in options.items() if name not in _OF_RUBRIC}
    try:
        reward = made({**kept, "mode": "expected"})
    except InputError as error:
        return f"no: {error}"
    (response,) = _ask(reward, pixels, prompt, 1)
    if response.score.missing:
        return f"no: {response.score.error}"
    changed = "; ".join(one.change for one in reward.adaptations if one.field == "top_logprobs")
    return f"yes, expected digit {response.score.value:.4g}{f' ({changed})' if changed else ''}"


def _usage(reward: VLM, scored: Sequence[Response]) -> str:
    tokens = [one.score.tokens for one in scored]
    if not any(tokens):
        return "not reported, so that every request counts as the most" if scored else "unknown"
    return f"{fmean(tokens):.0f} tokens a request of {'one judge' if len(reward.judges) == 1 else 'all judges'}"


def _cost(reward: VLM, scored: Sequence[Response]) -> str:
    if reward.input_price is None or not scored:
        return "unknown without input_price and output_price"
    return f"{fmean(one.cost for one in scored):.4g}, at most {reward.policy.price:.4g} for each attempt"


def _advised(options: Mapping[str, Any], reward: VLM, probabilities: str, scored: Sequence[Response]) -> dict[str, str]:
    """Return the options to use: those given, and what the check shows to be better."""
    advised = {name: str(value) for name, value in options.items()}
    if probabilities.startswith("yes"):
        return {name: value for name, value in advised.items() if name not in _OF_RUBRIC} | {"mode": "expected"}
    refused = {one.field for one in reward.adaptations} if scored else set()
    if "response_format" in refused:
        advised["structured"] = "no"
    if "temperature" in refused and "extra" not in options:
        advised["extra"] = '{"temperature": null}'  # so that the run is planned for a noisy judge
    return advised


def _disc(side: int = 256) -> "Image.Image":
    from PIL import Image, ImageDraw

    image = Image.new("RGB", (side, side), (40, 70, 160))
    ImageDraw.Draw(image).ellipse((side // 4, side // 4, 3 * side // 4, 3 * side // 4), fill=(200, 40, 40))
    return image
