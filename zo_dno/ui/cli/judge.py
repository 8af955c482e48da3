"""`zo-dno check-judge`: what a judge's server takes and gives, what it costs, and how much its scores vary."""

from pathlib import Path
from typing import Annotated, Any

import typer

from zo_dno.errors import InputError, RunError
from zo_dno.ui.cli.options import pairs_of


def check_judge(
    url: Annotated[
        str,
        typer.Argument(help="Base URL of the API, such as http://127.0.0.1:8000/v1, or the name of a server's preset."),
    ],
    model: Annotated[str, typer.Option(help="Judge model.")],
    key_env: Annotated[str, typer.Option(help="Environment variable that holds the API key.", show_default=False)] = "",
    image: Annotated[
        Path | None, typer.Option(help="Image to ask about; by default a red disc.", show_default=False)
    ] = None,
    prompt: Annotated[str | None, typer.Option(help="Prompt of the image.", show_default=False)] = None,
    reward_option: Annotated[
        list[str] | None,
        typer.Option(help="Further option of the reward vlm, KEY=VALUE; repeatable.", show_default=False),
    ] = None,
) -> None:
    """Ask a judge about one image, and show what works, what it costs and which options to use.

    It takes six requests: five for a score, and one for probabilities.
    """
    from zo_dno.run.check_judge import PROMPT
    from zo_dno.run.check_judge import check_judge as check
    from zo_dno.ui import display

    where = {"url": url} if "://" in url else {"server": url}
    options: dict[str, Any] = {**where, "model": model, **pairs_of("--reward-option", reward_option or ())}
    if key_env:
        options["key_env"] = key_env
    found = check(options, _picture(image), PROMPT if prompt is None else prompt)
    display.judge(found)
    if found.failure is not None:
        raise RunError(f"The judge gives no score: {found.failure}")


def _picture(path: Path | None) -> Any:
    if path is None:
        return None
    from PIL import Image

    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"image must be a picture; {path} cannot be read as one: {error}.") from error
