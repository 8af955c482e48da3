"""Any reward as a Ray Serve deployment: the same server as `zo-dno serve-reward`, in replicas on a cluster."""

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from zo_dno.distributed.cluster import LOCAL, connect
from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.web.server import TOKEN, free_port, is_loopback, token_for, url_of

if TYPE_CHECKING:
    from fastapi import FastAPI

    from zo_dno.reward import Reward


def reward_deployment(
    reward: "str | Reward | Callable[..., Any]",
    options: Mapping[str, Any] | None = None,
    *,
    replicas: int = 1,
    most_images: int = 64,
    in_flight: int | None = None,
    loopback: bool = False,
    **actor_options: Any,
) -> Any:
    """Make the Ray Serve application of a reward, for `serve.run` or a Serve config.

    Every replica makes the reward itself, and reads the token that callers must send from its own environment: the
    token is in no config. A replica without a token does not start unless only this machine can reach it.

    Args:
        reward: Name from `zo-dno list`, "package.module:name", a Reward, or a function.
        options: Options of the reward, by name.
        replicas: Number of replicas that share the calls.
        most_images: Largest number of images in one call.
        in_flight: Number of calls of the reward at once in each replica, by default as its policy says.
        loopback: Whether only this machine is let in, at any address that Serve listens on.
        actor_options: Options of each replica, such as num_gpus=1 or a runtime_env.
    Raises:
        InputError: Ray Serve is not installed, or a number is out of range.
    """
    for name, number in (("replicas", replicas), ("most_images", most_images), ("in_flight", in_flight)):
        if number is not None and number < 1:
            raise InputError(f"{name} must be at least 1; got {number}.")
    from zo_dno.web.door import MAX_WAITING

    serve = _serve()
    made = serve.deployment(
        serve.ingress()(_RewardServer),
        name="reward",
        num_replicas=replicas,
        max_ongoing_requests=MAX_WAITING + 1,  # so that calls wait at the replica, which refuses the rest
        ray_actor_options=actor_options,
    )
    return made.bind(reward, dict(options or {}), most_images, in_flight, loopback)


class Application(BaseModel):
    """Keys of a reward in a Serve config; the same as the arguments of `reward_deployment`."""

    model_config = ConfigDict(extra="forbid")
    reward: str
    options: dict[str, Any] = Field(default_factory=dict)
    replicas: int = 1
    most_images: int = 64
    in_flight: int | None = None
    loopback: bool = False
    actor: dict[str, Any] = Field(default_factory=dict)


def application(args: Application) -> Any:
    """Make the application for a Serve config, or for `serve run zo_dno.deployment:application reward=NAME`."""
    given = args.model_dump()
    return reward_deployment(given.pop("reward"), given.pop("options"), **given.pop("actor"), **given)


def serve_reward(app: Any, host: str, port: int) -> str:
    """Serve an application of `reward_deployment` on a Ray of this machine's own, and return its address.

    Args:
        app: Application to serve.
        host: Address to listen on.
        port: Port to listen on; 0 for any free one.
    Raises:
        InputError: Other machines can reach the address and there is no token, or the application cannot be served.
    """
    token_for(host)
    port = free_port(host, port)
    connect(LOCAL)
    serve = _serve()
    logging.getLogger("ray.serve").setLevel(logging.ERROR)
    try:
        serve.start(http_options={"host": host, "port": port}, logging_config={"log_level": "ERROR"})
        serve.run(app, name="reward")
    except RuntimeError as error:
        serve.shutdown()
        raise InputError(f"the reward could not be served: {one_line(str(error).strip())}") from error
    return url_of(host, port)


class _RewardServer:
    def __init__(
        self, reward: Any, options: dict[str, Any], most_images: int, in_flight: int | None, loopback: bool
    ) -> None:
        from zo_dno.run.make_reward import make_reward

        self._reward = make_reward(reward, options)
        self._most_images, self._in_flight = most_images, in_flight
        self._token = token_for("127.0.0.1" if loopback else "0.0.0.0", TOKEN)
        self._loopback = loopback

    def __serve_build_asgi_app__(self) -> "FastAPI":
        from starlette.middleware.trustedhost import TrustedHostMiddleware

        from zo_dno.web.reward_app import reward_app
        from zo_dno.web.server import OWN_NAMES

        app = reward_app(self._reward, token=self._token, most_images=self._most_images, in_flight=self._in_flight)
        if self._loopback:
            app.add_middleware(TrustedHostMiddleware, allowed_hosts=OWN_NAMES, www_redirect=False)
            app.add_middleware(_OnlyFromHere)
        return app


class _OnlyFromHere:
    """Lets in this machine alone, since Serve listens on all addresses by default."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        from starlette.responses import PlainTextResponse

        client = scope.get("client")
        refused = scope["type"] == "http" and not (client and is_loopback(client[0]))
        app = PlainTextResponse("only this machine may ask", 403) if refused else self._app
        await app(scope, receive, send)


def _serve() -> Any:
    try:
        from ray import serve
    except ImportError as error:
        raise InputError("Ray Serve must be installed for this: pip install 'zo-dno[serve]'.") from error
    return serve
