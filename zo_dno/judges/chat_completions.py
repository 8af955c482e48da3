"""Requests and responses of the chat-completions API that many servers share."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from zo_dno.errors import InputError
from zo_dno.failures import CallError, Failure, one_line
from zo_dno.judges.logprobs import Token
from zo_dno.judges.parsing import LONGEST, UnreadableError
from zo_dno.judges.server_errors import raise_error_inside
from zo_dno.oracle.http_client import checked_url
from zo_dno.storage.images import png_bytes

if TYPE_CHECKING:
    from PIL import Image

PATH = "chat/completions"
MOST_LIKELY = 20  # tokens at each position whose probabilities are requested: the most that OpenAI and vLLM give
_ROUNDING = 0.01  # of log-probabilities in half precision
_MOST_TOKENS = 10**9  # more tokens in one request are not plausible
_ENDPOINTS = ("/chat/completions", "/completions", "/systemone")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request and its response; None where the server does not report them."""

    input: int | None = None
    output: int | None = None

    @property
    def total(self) -> int:
        """Number of tokens that the server reports."""
        return (self.input or 0) + (self.output or 0)


@dataclass(frozen=True, slots=True)
class Completion:
    """A model's response.

    Attributes:
        text: Text that the model wrote; "" if there is none.
        cut: Whether the model reached its limit of tokens.
        refusal: Reason why the model, or a filter before it, refused; "" where it did not.
        usage: Tokens of the request and the response.
        tokens: Probabilities of the likely tokens, one mapping for each position; () where the server gives none.
        written: Token that the model wrote at each of these positions.
    """

    text: str
    cut: bool
    refusal: str
    usage: Usage
    tokens: Sequence[Token]
    written: Sequence[str] = ()


def checked_base(url: str) -> str:
    """Check the base URL of an API, and return it without a slash at its end.

    Raises:
        InputError: The text is no URL, the URL of one endpoint, or the URL of a server without a path.
    """
    base = checked_url(url).rstrip("/")
    parts = urlsplit(base)
    example = "such as http://127.0.0.1:8000/v1"
    if parts.query or parts.fragment:
        raise InputError(f"url must be the base of an API, {example}, without ? and #; got {one_line(url)!r}.")
    if not parts.path:
        raise InputError(f"url must be the base of an API, {example}; got {url!r}. Most servers' ends with /v1.")
    for endpoint in _ENDPOINTS:
        if parts.path.endswith(endpoint):
            raise InputError(f"url must be the base of an API, {example}; got {url!r}. Leave out {endpoint}.")
    return base


def encoded(image: "Image.Image", longest: int, shortest: int = 1) -> str:
    """Encode an image as a PNG file in base64, at a size that judges take.

    Args:
        image: Image.
        longest: Most pixels of the longer side; a larger image is reduced to it.
        shortest: Least pixels of the shorter side. A smaller image is enlarged by a whole factor, so that no colour
            changes, or padded with black where its longer side allows no factor.
    """
    if max(image.size) > longest or min(image.size) < shortest:
        image = _fitted(image.convert("RGB"), longest, min(shortest, longest))
    return base64.b64encode(png_bytes(image)).decode()


def _fitted(image: "Image.Image", longest: int, shortest: int) -> "Image.Image":
    from PIL import Image, ImageOps

    if max(image.size) > longest:
        image = ImageOps.contain(image, (longest, longest), Image.Resampling.LANCZOS)
    factor = min(math.ceil(shortest / min(image.size)), longest // max(image.size))
    if factor > 1:
        image = image.resize((factor * image.width, factor * image.height), Image.Resampling.NEAREST)
    if min(image.size) < shortest:
        padded = Image.new("RGB", (max(image.width, shortest), max(image.height, shortest)))
        padded.paste(image, ((padded.width - image.width) // 2, (padded.height - image.height) // 2))
        return padded
    return image


def image_content(png: str) -> dict[str, Any]:
    """Return the content of a message for a PNG file in base64; the server fetches nothing."""
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png}"}}


def text_content(text: str) -> dict[str, Any]:
    """Return the content of a message for a text."""
    return {"type": "text", "text": text}


def schema(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Return the response format that asks for a JSON object with these properties, in this order."""
    whole = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": whole}}


def read_completion(response: Any) -> Completion:
    """Read the response of a chat-completions server.

    Raises:
        CallError: The response is no chat completion, or carries an error.
    """
    raise_error_inside(response)
    try:
        choice = response["choices"][0]
        message = choice["message"]
        content, finish = message.get("content"), choice.get("finish_reason")
        positions = (choice.get("logprobs") or {}).get("content") or ()
        text = _text(content)[: LONGEST + 1]
        return Completion(
            text=text,
            cut=finish in ("length", "max_tokens", "MAX_TOKENS"),
            refusal=str(message.get("refusal") or ("content filter" if finish == "content_filter" else "")),
            usage=usage_of(response.get("usage")),
            tokens=[_token(position) for position in positions],
            written=[str(position["token"]) for position in positions],
        )
    except UnreadableError as error:
        raise CallError(Failure(error.kind, str(error), transient=False, billed=True)) from error
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise unreadable(response, "a chat completion") from error


def unreadable(response: Any, expected: str) -> CallError:
    """Build the failure for a response of another form, with the server's own message where it has one."""
    message = f"expected {expected}; got {one_line(str(response))[:200]}"
    return CallError(Failure("unreadable response", message, transient=True, billed=True))


def usage_of(usage: Any) -> Usage:
    """Read the tokens of a request, by any of servers' names for them; None where they are not plausible."""
    usage = usage if isinstance(usage, dict) else {}
    read = (count(usage.get(name)) for name in ("prompt_tokens", "input_tokens"))
    written = (count(usage.get(name)) for name in ("completion_tokens", "output_tokens"))
    return Usage(*(next((one for one in found if one is not None), None) for found in (read, written)))


def count(value: Any) -> int | None:
    """Read a number of tokens, which may be written as 12.0; None if it is not plausible."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return math.ceil(value) if number and 0 <= value <= _MOST_TOKENS else None


def _text(content: Any) -> str:
    if isinstance(content, list):  # of parts, from some servers; those of reasoning are no answer
        return "".join(_part(part) for part in content)
    if content is not None and not isinstance(content, str):
        raise TypeError
    return content or ""


def _part(part: Any) -> str:
    return str(part.get("text") or "") if part.get("type", "text") in ("text", "output_text") else ""


def _token(position: Mapping[str, Any]) -> Token:
    found: dict[str, float] = {}
    for one in position.get("top_logprobs") or ():
        text = str(one["token"])
        found[text] = found.get(text, 0.0) + _probability(float(one["logprob"]))  # tokens may share their text
    found.setdefault(str(position["token"]), _probability(float(position["logprob"])))
    total = sum(found.values())
    if total > 1 + _ROUNDING:
        raise UnreadableError("odd probabilities", f"the probabilities of one token sum to {total:.3g}, more than 1")
    return found


def _probability(logarithm: float) -> float:
    if math.isnan(logarithm):
        raise UnreadableError("odd probabilities", "a log-probability is NaN")
    if logarithm > _ROUNDING:
        raise UnreadableError("odd probabilities", f"a log-probability is {logarithm:.3g}, more than 0")
    return math.exp(min(0.0, logarithm))
