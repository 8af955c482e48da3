"""One question to a chat model, by the chat-completions API that many servers share: what is posted, what is read."""

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
MOST_LIKELY = 20  # tokens in each place whose probabilities are asked for: the most that OpenAI and vLLM give
_MOST_TOKENS = 10**9  # of one call that are believed
_NAMES_A_PAGE = ("/chat/completions", "/completions", "/systemone")


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer; None where the server does not say."""

    question: int | None = None
    answer: int | None = None

    @property
    def total(self) -> int:
        """All that are known of."""
        return (self.question or 0) + (self.answer or 0)


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered.

    Attributes:
        text: that it wrote; "" if nothing.
        cut: it reached the most tokens that it may write.
        refusal: why it, or a filter before it, would not answer; "" where it did.
        usage: of the call.
        tokens: probabilities of what it might have written, a mapping a place; () where the server gives none.
    """

    text: str
    cut: bool
    refusal: str
    usage: Usage
    tokens: Sequence[Token]


def checked_base(url: str) -> str:
    """Return the address that every page of an API begins with, without a slash at its end.

    Raises:
        InputError: it is no address, or of one page, or nothing but the server's.
    """
    base = checked_url(url).rstrip("/")
    parts = urlsplit(base)
    example = "such as http://127.0.0.1:8000/v1"
    if parts.query or parts.fragment:
        raise InputError(f"url must be the base of an API, {example}, without ? and #; got {one_line(url)!r}.")
    if not parts.path:
        raise InputError(f"url must be the base of an API, {example}; got {url!r}. Most servers' ends with /v1.")
    for page in _NAMES_A_PAGE:
        if parts.path.endswith(page):
            raise InputError(f"url must be the base of an API, {example}; got {url!r}. Leave out {page}.")
    return base


def encoded(image: "Image.Image", longest: int) -> str:
    """Write an image as a PNG file in base64, its longer side made `longest` pixels if it is more."""
    if max(image.size) > longest:
        from PIL import Image, ImageOps

        image = ImageOps.contain(image.convert("RGB"), (longest, longest), Image.Resampling.LANCZOS)
    return base64.b64encode(png_bytes(image)).decode()


def picture(png: str) -> dict[str, Any]:
    """Put a PNG file in base64 into a message; the server is never asked to fetch anything."""
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{png}"}}


def words(text: str) -> dict[str, Any]:
    """Put a text into a message."""
    return {"type": "text", "text": text}


def schema(name: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    """Ask for a JSON object with these properties, in this order, by servers that can."""
    whole = {"type": "object", "properties": properties, "required": [*properties], "additionalProperties": False}
    return {"type": "json_schema", "json_schema": {"name": name, "strict": True, "schema": whole}}


def read_reply(answer: Any) -> Reply:
    """Read the answer of a chat-completions server.

    Raises:
        CallError: it is none.
    """
    try:
        choice = answer["choices"][0]
        message = choice["message"]
        content, finish = message.get("content"), choice.get("finish_reason")
        usage = answer.get("usage") or {}
        return Reply(
            text=_text(content)[: LONGEST + 1],
            cut=finish == "length",
            refusal=str(message.get("refusal") or ("content filter" if finish == "content_filter" else "")),
            usage=Usage(count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))),
            tokens=[_token(place) for place in (choice.get("logprobs") or {}).get("content") or ()],
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise unreadable(answer, "a chat completion") from error


def unreadable(answer: Any, expected: str) -> CallError:
    """Build the failure for an answer of another form, with the server's own words where it says why."""
    own = answer.get("error") if isinstance(answer, dict) else None
    own = own.get("message", own) if isinstance(own, dict) else own
    message = f"expected {expected}; got {one_line(str(answer if own is None else own))[:200]}"
    return CallError(Failure("unreadable response", message, transient=True, billed=True))


def count(value: Any) -> int | None:
    """Read a number of tokens; None if it is none that can be."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST_TOKENS else None


def _text(content: Any) -> str:
    if isinstance(content, list):  # of parts, as some servers answer
        return "".join(str(part.get("text", "")) for part in content)
    if content is not None and not isinstance(content, str):
        raise TypeError
    return content or ""


def _token(place: Mapping[str, Any]) -> Token:
    likely = [place, *(place.get("top_logprobs") or ())]
    return {str(one["token"]): _probability(float(one["logprob"])) for one in likely}


def _probability(logarithm: float) -> float:
    if math.isnan(logarithm):
        raise ValueError("a log-probability is NaN")
    return math.exp(min(0.0, logarithm))
