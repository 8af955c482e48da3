"""The door of a reward's server: the checks of a request, by Python 3.8 or later and Pillow alone."""

from __future__ import annotations  # Python 3.8 reads the annotations of later ones

import base64
import binascii
import hashlib
import io
import json
import zlib
from typing import Any, Callable, Sequence  # noqa: UP035, as Python 3.8 has them

from PIL import Image, ImageOps, UnidentifiedImageError

MAX_BODY = 64 * 2**20  # bytes of a request, decompressed
MAX_PIXELS = 2**24  # pixels of one image: 4,096 x 4,096
MAX_PIXELS_IN_ALL = 2**26  # pixels of all images of a request
MAX_WAITING = 256  # requests that wait for the reward; further ones are refused
OPEN_PATHS = ("/health", "/docs", "/openapi.json")  # paths that need no token
_FORMATS = ("PNG", "JPEG", "WEBP")
_LONGEST = 2000  # characters of a message


class RefusedError(Exception):
    """A request that gets no scores.

    Attributes:
        status: HTTP status.
        detail: Reason in one line.
        retry_after: Seconds to wait before a retry; None if there is nothing to say.
    """

    def __init__(self, status: int, detail: str, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.retry_after = status, detail, retry_after

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the response."""
        return {} if self.retry_after is None else {"Retry-After": f"{self.retry_after:.0f}"}


class Body:
    """Content of a request, decompressed up to the limit.

    Args:
        content_type: Header Content-Type; only JSON is accepted, which pages of other sites cannot send unasked.
        encoding: Header Content-Encoding.
    Raises:
        RefusedError: The content is too large, or not as the headers say.
    """

    def __init__(self, content_type: str, encoding: str) -> None:
        kind, packed = content_type.partition(";")[0].strip().lower(), encoding.strip().lower() or "identity"
        if kind != "application/json":
            raise RefusedError(415, f"expected Content-Type application/json; got {one_line(kind, 40) or 'none'}")
        if packed not in ("identity", "gzip"):
            raise RefusedError(415, f"expected gzip or no encoding; got {one_line(packed, 40)}")
        self._content = bytearray()
        self._unpack = zlib.decompressobj(16 + zlib.MAX_WBITS) if packed == "gzip" else None

    def add(self, chunk: bytes) -> None:
        """Append what was received."""
        try:
            left = MAX_BODY + 1 - len(self._content)
            self._content += self._unpack.decompress(chunk, left) if self._unpack else chunk
        except zlib.error:
            raise RefusedError(400, "the request is not gzip") from None
        if len(self._content) > MAX_BODY:
            raise RefusedError(413, f"the request is larger than {MAX_BODY // 2**20} MiB")

    def content(self) -> bytes:
        """Return the whole content."""
        if self._unpack and not self._unpack.eof:
            raise RefusedError(400, "the request is cut off, or not gzip")
        return bytes(self._content)


def read_request(content: bytes, most_images: int) -> tuple[list[str], list[str]]:
    """Read images in base64, and the prompt of each.

    Raises:
        RefusedError: The content is something else.
    """
    expected = 'expected {"images": [PNG, JPEG or WebP files in base64], "prompts": [prompt of each]}'
    try:
        body = json.loads(content.decode("utf-8"), parse_int=_whole)
    except (ValueError, RecursionError):
        raise RefusedError(422, f"{expected}; got no JSON that can be read") from None
    if not isinstance(body, dict):
        raise RefusedError(422, f"{expected}; got another kind of JSON")
    for name in ("images", "prompts"):
        if name not in body:
            raise RefusedError(422, f"{expected}; {name} is missing")
        if not isinstance(body[name], list) or not all(isinstance(text, str) for text in body[name]):
            raise RefusedError(422, f"{expected}; {name} is no list of strings")
    if len(body) > 2:
        raise RefusedError(422, f"{expected}; got {len(body) - 2} more fields, which are unknown")
    images, prompts = body["images"], body["prompts"]
    if not images or len(images) != len(prompts) or len(images) > most_images:
        got = f"got {len(images)} images and {len(prompts)} prompts"
        raise RefusedError(422, f"expected as many prompts as images, at least 1 and at most {most_images}; {got}")
    return images, prompts


def decoded(images: Sequence[str]) -> list[Image.Image]:
    """Decode images as RGB; none before the pixels of all are counted, since blank ones are small files.

    Raises:
        RefusedError: One of them is no image, or they have too many pixels.
    """
    files = [_file(text) for text in images]
    pixels = sum(width * height for width, height in (_with_image(file, lambda image: image.size) for file in files))
    if pixels > MAX_PIXELS_IN_ALL:
        raise RefusedError(422, f"the images have {pixels} pixels together; at most {MAX_PIXELS_IN_ALL}")
    return [_with_image(file, _rgb) for file in files]


def _file(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _no_image("it is no base64") from None


def _no_image(reason: str) -> RefusedError:
    return RefusedError(422, f"an image is not a PNG, JPEG or WebP file in base64: {reason}")


def _with_image(file: bytes, read: Callable[[Image.Image], Any]) -> Any:
    try:
        with Image.open(io.BytesIO(file), formats=_FORMATS) as image:
            return read(image)
    except UnidentifiedImageError:
        raise _no_image(f"it is no {' or '.join(_FORMATS)}") from None
    except RefusedError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything at damaged files
        raise _no_image(f"it cannot be read: {one_line(f'{type(error).__name__}: {error}', 200)}") from None


def _rgb(image: Image.Image) -> Image.Image:
    """Return an image upright as its EXIF says, on white, with 8 bits a colour."""
    if image.width * image.height > MAX_PIXELS:
        raise _no_image(f"it has {image.width}x{image.height} pixels; at most {MAX_PIXELS} are decoded")
    upright = ImageOps.exif_transpose(image) or image
    if upright.mode.startswith("I"):  # grey with 16 bits, which Pillow would cut at 255
        levels = upright.convert("I")
        return levels.point(lambda level: level * (1 / 257) + 0.5).convert("L").convert("RGB")
    if upright.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in upright.info:
        shown = upright.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
    return upright.convert("RGB")


def _whole(digits: str) -> int:
    if len(digits) > 300:
        raise ValueError("a number is too long")
    return int(digits)


def one_line(text: str, longest: int = _LONGEST) -> str:
    """Join the lines of a text, remove what cannot be printed, and cut it."""
    shown = " ".join("".join(c if c.isprintable() else " " for c in text[: 4 * longest]).split())
    shown = shown.encode("utf-8", "replace").decode("utf-8")
    return shown if len(shown) <= longest else f"{shown[:longest]}..."


def fingerprint(identity: dict[str, Any]) -> str:
    """Return the SHA-256, in hexadecimal, of all that decides a reward's scores."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True, default=str).encode()).hexdigest()
