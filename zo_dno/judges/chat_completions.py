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
from zo_dno.judges.parsing import LONGEST
from zo_dno.oracle.http_client import checked_url
from zo_dno.storage.images import png_bytes

if TYPE_CHECKING:
    from PIL import Image

PATH = "chat/completions"
MOST_LIKELY = 20  # tokens at each position whose probabilities are requested: the most that OpenAI and vLLM give
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
    """

    text: str
    cut: bool
    refusal: str
    usage: Usage
    tokens: Sequence[Token]


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


def encoded(image: "Image.Image", longest: int) -> str:
    """Encode an image as a PNG file in base64; its longer side is reduced to `longest` pixels if it is larger."""
    if max(image.size) > longest:
        from PIL import Image, ImageOps

        image = ImageOps.contain(image.convert("RGB"), (longest, longest), Image.Resampling.LANCZOS)
    return base64.b64encode(png_bytes(image)).decode()


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
        CallError: The response is no chat completion.
    """
    try:
        choice = response["choices"][0]
        message = choice["message"]
        content, finish = message.get("content"), choice.get("finish_reason")
        usage = response.get("usage") or {}
        return Completion(
            text=_text(content)[: LONGEST + 1],
            cut=finish == "length",
            refusal=str(message.get("refusal") or ("content filter" if finish == "content_filter" else "")),
            usage=Usage(count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))),
            tokens=[_token(position) for position in (choice.get("logprobs") or {}).get("content") or ()],
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise unreadable(response, "a chat completion") from error


def unreadable(response: Any, expected: str) -> CallError:
    """Build the failure for a response of another form, with the server's own message where it has one."""
    own = response.get("error") if isinstance(response, dict) else None
    own = own.get("message", own) if isinstance(own, dict) else own
    message = f"expected {expected}; got {one_line(str(response if own is None else own))[:200]}"
    return CallError(Failure("unreadable response", message, transient=True, billed=True))


def count(value: Any) -> int | None:
    """Read a number of tokens; None if it is not plausible."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else None


def _text(content: Any) -> str:
    if isinstance(content, list):  # of parts, from some servers
        return "".join(str(part.get("text", "")) for part in content)
    if content is not None and not isinstance(content, str):
        raise TypeError
    return content or ""


def _token(position: Mapping[str, Any]) -> Token:
    likely = [position, *(position.get("top_logprobs") or ())]
    return {str(one["token"]): _probability(float(one["logprob"])) for one in likely}


def _probability(logarithm: float) -> float:
    if math.isnan(logarithm):
        raise ValueError("a log-probability is NaN")
    return math.exp(min(0.0, logarithm))
