"""The server of a reward: the other end of the `http` reward, so that a reward can run in its own environment."""

import base64
import binascii
import hmac
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import anyio
import anyio.to_thread
import numpy as np
from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from zo_dno.errors import InputError
from zo_dno.failures import Failure, one_line
from zo_dno.oracle.call import call, call_async
from zo_dno.oracle.combination.reward import Combination
from zo_dno.reward import Reward
from zo_dno.storage.images import UnreadableImageError, decoded, size_of
from zo_dno.types import Score
from zo_dno.version import __version__
from zo_dno.web.starlette_body import keep_body

MAX_BODY = 64 * 2**20  # bytes of a request, decompressed
MAX_PIXELS = 2**24  # pixels of one image: 4,096 x 4,096
MAX_PIXELS_IN_ALL = 2**26  # pixels of all images of a request
MAX_WAITING = 256  # requests that wait for the reward; further ones are refused
_FORMATS = ("PNG", "JPEG", "WEBP")
_OPEN = ("/health", "/docs", "/openapi.json")  # paths that need no token


class ScoreRequest(BaseModel):
    """Body of `POST /score`."""

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


class ScoreResponse(BaseModel):
    """Response of `POST /score`: a score for each image, in order."""

    scores: list[ImageScore]


class About(BaseModel):
    """Name, version and settings of the reward."""

    name: str
    unit: str
    version: str
    settings: dict[str, Any]
    most_images: int
    zo_dno: str = __version__


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
    slots, waiting = anyio.CapacityLimiter(in_flight or reward.policy.in_flight), 0

    @app.middleware("http")
    async def guard(request: Request, call_next: Callable[[Request], Awaitable[Any]]) -> Any:
        sent = request.headers.get("authorization", "").encode()
        if token and request.url.path not in _OPEN and not hmac.compare_digest(sent, f"Bearer {token}".encode()):
            return JSONResponse({"detail": "the token is missing or wrong"}, 401)
        refusal = await _read(request)
        return refusal or await call_next(request)

    @app.exception_handler(RequestValidationError)
    async def refused(request: Request, error: RequestValidationError) -> JSONResponse:
        """Say what is wrong without quoting it: what was sent may be no JSON, such as NaN."""
        wrong = [{"loc": list(one["loc"]), "msg": one_line(one["msg"]), "type": one["type"]} for one in error.errors()]
        return JSONResponse({"detail": wrong[:10]}, 422)

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Respond as soon as the reward can score."""
        return {"status": "ok"}

    @app.get("/version")
    async def version() -> About:
        """Return name, version and settings of the reward."""
        settings = {name: _plain(value) for name, value in reward.settings.items()}
        return About(
            name=reward.name, unit=reward.unit, version=reward.version, settings=settings, most_images=most_images
        )

    @app.post("/score")
    async def score(request: ScoreRequest) -> ScoreResponse:
        """Score images. 503 and 429 are worth a retry; a score that is missing permanently comes with 200."""
        nonlocal waiting
        if not len(request.images) == len(request.prompts) <= most_images:
            expected = f"expected as many prompts as images, at most {most_images}"
            raise HTTPException(422, f"{expected}; got {len(request.images)} images and {len(request.prompts)} prompts")
        if waiting >= MAX_WAITING:
            raise HTTPException(503, "too many calls are waiting", headers={"Retry-After": "1"})
        waiting += 1
        try:
            async with slots:
                await anyio.to_thread.run_sync(_check_pixels, request.images)
                images = await anyio.to_thread.run_sync(lambda: [*map(_image, request.images)])
                outcome = await _outcome(reward, images, request.prompts)
        finally:
            waiting -= 1
        return _response(outcome, len(images))

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


def _response(outcome: list[Score] | Failure, n: int) -> ScoreResponse:
    if isinstance(outcome, Failure):
        if outcome.transient:
            wait = {} if outcome.retry_after is None else {"Retry-After": f"{outcome.retry_after:.0f}"}
            raise HTTPException(503, f"{outcome.kind}: {outcome.message}", headers=wait)
        return ScoreResponse(scores=[ImageScore(value=None, error=outcome.message, kind=outcome.kind)] * n)
    return ScoreResponse(
        scores=[
            ImageScore(
                value=None if one.missing else one.value,
                **{name: getattr(one, name) for name in ("error", "kind", "raw", "cost", "tokens")},
            )
            for one in outcome
        ]
    )


async def _read(request: Request) -> JSONResponse | None:
    """Read and decompress a request up to the limit, or refuse it; its Content-Length is not trusted."""
    content = bytearray()
    packed = request.headers.get("content-encoding", "identity").lower()
    if packed not in ("identity", "gzip"):
        return JSONResponse({"detail": f"expected gzip or no encoding; got {packed[:40]}"}, 415)
    unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if packed == "gzip" else None
    try:
        async for chunk in request.stream():
            content += unpack.decompress(chunk, MAX_BODY + 1 - len(content)) if unpack else chunk
            if len(content) > MAX_BODY:
                return JSONResponse({"detail": f"the request is larger than {MAX_BODY // 2**20} MiB"}, 413)
    except zlib.error:
        return JSONResponse({"detail": "the request is not gzip"}, 400)
    if unpack and not unpack.eof:
        return JSONResponse({"detail": "the request is cut off, or not gzip"}, 400)
    keep_body(request, bytes(content))
    return None


def _image(text: str) -> np.ndarray:
    try:
        return np.array(decoded(_file(text), most_pixels=MAX_PIXELS, formats=_FORMATS))
    except UnreadableImageError as error:
        raise HTTPException(422, f"an image is not a PNG, JPEG or WebP file in base64: {error}") from error


def _file(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise HTTPException(422, "an image is not a PNG, JPEG or WebP file in base64") from error


def _check_pixels(images: list[str]) -> None:
    """Refuse a request whose images, decoded, would fill the memory: blank ones are small files."""
    try:
        sizes = [size_of(_file(text), formats=_FORMATS) for text in images]
    except UnreadableImageError as error:
        raise HTTPException(422, f"an image is not a PNG, JPEG or WebP file in base64: {error}") from error
    pixels = sum(width * height for width, height in sizes)
    if pixels > MAX_PIXELS_IN_ALL:
        raise HTTPException(422, f"the images have {pixels} pixels together; at most {MAX_PIXELS_IN_ALL}")


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | int | float | bool | list | dict | None) else str(value)
