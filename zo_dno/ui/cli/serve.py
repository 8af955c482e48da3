"""Commands that serve: a reward at a URL, and the rating page of a run."""

import contextlib
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from zo_dno.errors import InputError, given
from zo_dno.ui.cli.options import pairs_of


def serve_reward(
    reward: Annotated[
        str | None, typer.Argument(help="Name from `zo-dno list`, or package.module:function.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.", min=0, max=65535)] = 8011,
    host: Annotated[str, typer.Option(help="Address to listen on; any but loopback needs a token.")] = "127.0.0.1",
    reward_option: Annotated[
        list[str] | None, typer.Option(help="Option of the reward, KEY=VALUE; repeatable.", show_default=False)
    ] = None,
    in_flight: Annotated[
        int | None,
        typer.Option(
            help="Most calls of the reward in flight; those of its call policy by default.", min=1, show_default=False
        ),
    ] = None,
    most_images: Annotated[int, typer.Option(help="Most images in one call.", min=1)] = 64,
    replicas: Annotated[
        int, typer.Option(help="Number of Ray Serve processes; 0 serves in this process, without Ray.", min=0)
    ] = 0,
    standalone: Annotated[
        bool,
        typer.Option(
            "--standalone",
            help="Print a server for any function instead, which needs Python 3.8 or later and Pillow alone: "
            "zo-dno serve-reward --standalone > server.py.",
        ),
    ] = False,
) -> None:
    """Serve a reward at POST /score, from an environment or a machine of its own.

    If the environment variable ZO_DNO_TOKEN is set, clients must send its value as their token.
    """
    if standalone:
        _print_standalone(reward)
        return
    if reward is None:
        raise InputError("reward must be given, such as brightness or package.module:function; got none.")
    from zo_dno.registry import import_from_here
    from zo_dno.run.make_reward import make_reward
    from zo_dno.ui import display
    from zo_dno.web.reward_app import check_served, reward_app
    from zo_dno.web.server import WebServer, is_loopback, token_for

    token = token_for(host)
    import_from_here()
    options = None if reward_option is None else pairs_of("--reward-option", reward_option)
    made = make_reward(reward, options)
    check_served(made)
    if replicas:
        from zo_dno.deployment import reward_deployment, serve_reward

        deployed = reward_deployment(
            reward, options, replicas=replicas, most_images=most_images, in_flight=in_flight, loopback=is_loopback(host)
        )
        url = serve_reward(deployed, host, port)
        display.served(f"{url}/score", made, token_needed=bool(token))
        with contextlib.suppress(KeyboardInterrupt):
            signal.pause()
        return
    server = WebServer(reward_app(made, token=token, most_images=most_images, in_flight=in_flight), host, port)
    display.served(f"{server.url}/score", made, token_needed=bool(token))
    server.run()


def _print_standalone(reward: str | None) -> None:
    from zo_dno.web.standalone import standalone_source

    if reward is not None:
        raise InputError(
            f"reward must be left out with --standalone; got {given(reward)}. Name it where the file is run: "
            f"python server.py {given(reward)}"
        )
    sys.stdout.write(standalone_source())


def rate(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of a run with the reward human.")],
    port: Annotated[int, typer.Option(help="Port to listen on; 0 takes any free one.", min=0, max=65535)] = 8012,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 accepts other machines.")] = "127.0.0.1",
    public_url: Annotated[
        str, typer.Option(help="Address of the page if a proxy serves it, such as https://example.org/rate/.")
    ] = "",
) -> None:
    """Serve the rating page of a run, whether or not its search is running. A finished run shows its end.

    The link contains a token: the value of the environment variable ZO_DNO_TOKEN, or one from the run's folder.
    """
    from zo_dno.judges.rating_store import RATINGS, RatingStore
    from zo_dno.results.rated_folder import RatedFolder
    from zo_dno.storage.run_folder import check_is_run
    from zo_dno.web.rating_page import Page

    check_is_run(folder)
    if not (folder / RATINGS).exists():
        raise InputError(f"run must have the reward human; {folder} has no {RATINGS}.")
    page = Page(RatingStore(folder / RATINGS), folder, RatedFolder(folder), host=host, port=port, public_url=public_url)
    print(f"Rate the images at {page.link}", flush=True)
    page.run()
