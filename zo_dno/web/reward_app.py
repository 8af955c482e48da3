"""The server of a reward: the other end of the `http` reward, so that a reward can run in its own environment."""

import hmac
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import anyio.to_thread
import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from zo_dno.errors import InputError
from zo_dno.failures import Failure
from zo_dno.oracle.call import call, call_async
from zo_dno.oracle.combination.reward import Combination
from zo_dno.reward import Reward
from zo_dno.types import Score
from zo_dno.version import __version__
from zo_dno.web.door import MAX_WAITING, OPEN_PATHS, Body, RefusedError, decoded, fingerprint, read_request


class ScoreRequest(BaseModel):
    """Body of `POST /score`, as `/openapi.json` describes it; `zo_dno.web.door` reads it."""

    model_config = ConfigDict(extra="forbid")
    images: Annotated[list[str], Field(min_length=1, description="PNG, JPEG or WebP files in base64")]
    prompts: Annotated[list[str], Field(description="prompt of each image")]


class ImageScore(BaseModel):
    """Score of one image; a score without a value is missing, and `error` gives the reason."""

    value: float | None
    error: str | None = None
    kind: str | None = None
    raw: str | None = None
    cost: float | None = None
    tokens: int = 0


class Served(BaseModel):
    """The reward that scores; `fingerprint` is a SHA-256 of name, version and settings."""

    name: str
    version: str
    fingerprint: str


class ScoreResponse(BaseModel):
    """Response of `POST /score`: a score for each image, in order, and the reward that gave them."""

    scores: list[ImageScore]
    reward: Served


class About(Served):
    """Name, version and settings of the reward."""

    unit: str
    settings: dict[str, Any]
    most_images: int
    zo_dno: str = __version__


_REQUEST: dict[str, Any] = {
    "requestBody": {"content": {"application/json": {"schema": ScoreRequest.model_json_schema()}}, "required": True}
}


def reward_app(reward: Reward, *, token: str = "", most_images: int = 64, in_flight: int | None = None) -> FastAPI:
    """Build the server of a reward.

    Args:
        reward: Reward to serve.
        token: Token that requests for scores must bring as `Authorization: Bearer ...`; "" requires none.
        most_images: Most images in one request.
        in_flight: Most calls of the reward at once; by default that of its call policy.
    Returns:
        An ASGI application: `POST /score`, `GET /version`, `GET /health`, and `/openapi.json`, which describes them.

    Raises:
        InputError: The reward cannot be served, or a number is out of range.
    """
    check_served(reward)
    for name, number in (("most_images", most_images), ("in_flight", in_flight)):
        if number is not None and number < 1:
            raise InputError(f"{name} must be at least 1; got {number}.")

    @asynccontextmanager
    async def closing(_: FastAPI) -> AsyncIterator[None]:
        try:
            yield
        finally:
            if reward.is_async:
                await reward.aclose()

    app = FastAPI(
        title=f"zo-dno reward {reward.name}",
        version=__version__,
        description=f"Scores in {reward.unit}.",
        lifespan=closing,
    )
    served = Served(name=reward.name, version=reward.version, fingerprint=fingerprint(reward.identity))
    slots, waiting = anyio.CapacityLimiter(in_flight or reward.policy.in_flight), 0

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Any]]) -> Any:
        sent = request.headers.get("authorization", "").encode()
        if token and request.url.path not in OPEN_PATHS and not hmac.compare_digest(sent, f"Bearer {token}".encode()):
            return JSONResponse({"detail": "the token is missing or wrong"}, 401)
        return await call_next(request)

    @app.exception_handler(RefusedError)
    async def refused(request: Request, refusal: RefusedError) -> JSONResponse:
        return JSONResponse({"detail": refusal.detail}, refusal.status, refusal.headers)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Respond as soon as the reward can score."""
        return {"status": "ok"}

    @app.get("/version")
    async def version() -> About:
        """Return name, version and settings of the reward."""
        settings = {name: _plain(value) for name, value in reward.settings.items()}
        return About(**served.model_dump(), unit=reward.unit, settings=settings, most_images=most_images)

    @app.post("/score", openapi_extra=_REQUEST)
    async def score(request: Request) -> ScoreResponse:
        """Score images. 503 and 429 are worth a retry; a score that is missing permanently comes with 200."""
        nonlocal waiting
        if waiting >= MAX_WAITING:
            raise RefusedError(503, "too many calls are waiting", 1)
        waiting += 1
        try:
            content = await _content(request)
            texts, prompts = await anyio.to_thread.run_sync(read_request, content, most_images)
            async with slots:
                images = await anyio.to_thread.run_sync(_arrays, texts)
                outcome = await _outcome(reward, images, prompts)
        finally:
            waiting -= 1
        return ScoreResponse(scores=_scores(outcome, len(images)), reward=served)

    return app


def check_served(reward: Reward) -> None:
    """Check that a reward can score images outside of a run.

    Raises:
        InputError: The reward needs the run's folder, or scales that a run measures.
    """
    terms = [term.reward for term in reward.terms] if isinstance(reward, Combination) else []
    staying = next((one.name for one in (reward, *terms) if not one.travels), None)
    if staying is not None:
        raise InputError(
            f"reward must work without a run's folder to be served; got {staying!r}, which stores ratings there. "
            "Name it in the run itself."
        )
    if isinstance(reward, Combination) and reward.unscaled:
        raise InputError(f"scales must be given to serve {reward.name!r}; got none for {', '.join(reward.unscaled)}.")


async def _outcome(reward: Reward, images: list[np.ndarray], prompts: list[str]) -> list[Score] | Failure:
    scores: list[Any] = []
    for start in range(0, len(images), reward.batch):
        end = start + reward.batch
        outcome = await _call(reward, images[start:end], prompts[start:end])
        if isinstance(outcome, Failure):
            return outcome
        scores += outcome
    return scores


async def _call(reward: Reward, images: list[np.ndarray], prompts: list[str]) -> list[Score] | Failure:
    try:
        with anyio.fail_after(reward.policy.timeout):
            if reward.is_async:
                return await call_async(reward, images, prompts)
            return await anyio.to_thread.run_sync(call, reward, images, prompts, abandon_on_cancel=True)
    except TimeoutError:
        return Failure("timeout", f"no response within {reward.policy.timeout:g} s", transient=True, billed=True)


def _scores(outcome: list[Score] | Failure, n: int) -> list[ImageScore]:
    if isinstance(outcome, Failure):
        if outcome.transient:
            raise RefusedError(503, f"{outcome.kind}: {outcome.message}", outcome.retry_after)
        return [ImageScore(value=None, error=outcome.message, kind=outcome.kind)] * n
    names = ("error", "kind", "raw", "cost", "tokens")
    return [
        ImageScore(value=None if one.missing else one.value, **{name: getattr(one, name) for name in names})
        for one in outcome
    ]


async def _content(request: Request) -> bytes:
    """Read and decompress a request up to the limit; its Content-Length is not trusted."""
    body = Body(request.headers.get("content-type", ""), request.headers.get("content-encoding", ""))
    async for chunk in request.stream():
        body.add(chunk)
    return body.content()


def _arrays(images: list[str]) -> list[np.ndarray]:
    return [np.array(image) for image in decoded(images)]


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)
