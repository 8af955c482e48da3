"""Which of two images a judge prefers: asked in both orders, and only what it says both times counts.

Judges prefer a place, such as the first, whatever is in it (Zheng et al. 2023, arXiv:2306.05685).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zo_dno.judges.chat_completions import PATH, Reply, Usage, picture, read_reply, schema, words
from zo_dno.judges.modes import DATA, check_answered, filled
from zo_dno.judges.panel import worst_of
from zo_dno.judges.parsing import UnreadableError, read_choice

_LETTERS = ("A", "B")


@dataclass(frozen=True, slots=True)
class Preference:
    """What a judge said of two images.

    Attributes:
        winner: place of the better one, 0 or 1; None where it said one thing and then the other, or nothing clear.
        usages: tokens of each call.
    """

    winner: int | None
    usages: tuple[Usage, ...]


@dataclass(frozen=True, slots=True)
class Pairwise:
    """An explanation and then a choice, as JSON where the server can be held to it.

    Args:
        question: what to judge.
        structured: ask the server to hold the answer to a JSON schema.
    """

    question: str
    structured: bool
    path = PATH

    async def prefer(
        self, first: str, second: str, prompt: str, ask: Callable[[Mapping[str, Any]], Awaitable[Any]]
    ) -> Preference:
        """Ask about two PNG files in base64, in both orders at once.

        Args:
            first: of the images.
            second: of the images.
            prompt: that they were drawn for.
            ask: posts a question, and returns what is answered.
        Raises:
            CallError: a call failed.
        """
        bodies = (self._body(first, second, prompt), self._body(second, first, prompt))
        answers = await asyncio.gather(*map(ask, bodies), return_exceptions=True)
        failed = [answer for answer in answers if isinstance(answer, BaseException)]
        if failed:
            raise worst_of(failed, paid=len(failed) < len(answers))
        replies = [read_reply(answer) for answer in answers]
        chosen, swapped = (_place(reply) for reply in replies)
        agreed = chosen is not None and swapped is not None and chosen == 1 - swapped
        return Preference(chosen if agreed else None, tuple(reply.usage for reply in replies))

    def _body(self, first: str, second: str, prompt: str) -> dict[str, Any]:
        form = (
            "Explain your judgement in one or two sentences, then choose. Answer with JSON alone: "
            '{"explanation": "...", "better": "A" or "B"}'
        )
        asked = f"{filled(self.question, prompt)}\n{DATA}\n{form}"
        content = [words("Image A:"), picture(first), words("Image B:"), picture(second), words(asked)]
        properties = {"explanation": {"type": "string"}, "better": {"type": "string", "enum": list(_LETTERS)}}
        held = {"response_format": schema("choice", properties)} if self.structured else {}
        return {"messages": [{"role": "user", "content": content}], **held}


def _place(reply: Reply) -> int | None:
    try:
        check_answered(reply)
        return _LETTERS.index(read_choice(reply.text, _LETTERS, cut=reply.cut))
    except UnreadableError:
        return None
