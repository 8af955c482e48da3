"""A judge's preference between two images: requested in both orders, and undecided where the two responses differ.

Judges prefer a position, such as the first, regardless of the image (Zheng et al. 2023, arXiv:2306.05685).
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from zo_dno.judges.chat_completions import PATH, Completion, Usage, image_content, read_completion, schema, text_content
from zo_dno.judges.modes import DATA, check_completion, fill_prompt
from zo_dno.judges.panel import worst_of
from zo_dno.judges.parsing import UnreadableError, read_choice

_LETTERS = ("A", "B")


@dataclass(frozen=True, slots=True)
class Preference:
    """A judge's preference between two images.

    Attributes:
        winner: Index of the preferred image, 0 or 1; None where the responses differ, or one of them is unreadable.
        usages: Tokens of each request and its response.
    """

    winner: int | None
    usages: tuple[Usage, ...]


@dataclass(frozen=True, slots=True)
class Pairwise:
    """An explanation and then a choice, as JSON where the server supports schemas.

    Args:
        question: Question for the judge.
        structured: Whether to ask the server for a response that fits a JSON schema.
        pattern: Regular expression whose group is the choice; "" reads by the rules of `read_choice`.
    """

    question: str
    structured: bool
    pattern: str = ""
    path = PATH

    async def prefer(
        self, first: str, second: str, prompt: str, ask: Callable[[Mapping[str, Any]], Awaitable[Any]]
    ) -> Preference:
        """Request the preference between two PNG files in base64, in both orders at once.

        Args:
            first: First image.
            second: Second image.
            prompt: Prompt that the images were rendered for.
            ask: Function that posts a request and returns the response.
        Raises:
            CallError: A request failed.
        """
        bodies = (self._body(first, second, prompt), self._body(second, first, prompt))
        responses = await asyncio.gather(*map(ask, bodies), return_exceptions=True)
        failed = [response for response in responses if isinstance(response, BaseException)]
        if failed:
            raise worst_of(failed, paid=len(failed) < len(responses))
        completions = [read_completion(response) for response in responses]
        chosen, swapped = (self._choice(completion) for completion in completions)
        agreed = chosen is not None and swapped is not None and chosen == 1 - swapped
        return Preference(chosen if agreed else None, tuple(completion.usage for completion in completions))

    def _body(self, first: str, second: str, prompt: str) -> dict[str, Any]:
        form = (
            "Explain your judgement in one or two sentences, then choose. Answer with JSON alone: "
            '{"explanation": "...", "better": "A" or "B"}'
        )
        text = f"{fill_prompt(self.question, prompt)}\n{DATA}\n{form}"
        content = [
            text_content("Image A:"),
            image_content(first),
            text_content("Image B:"),
            image_content(second),
            text_content(text),
        ]
        properties = {"explanation": {"type": "string"}, "better": {"type": "string", "enum": list(_LETTERS)}}
        held = {"response_format": schema("choice", properties)} if self.structured else {}
        return {"messages": [{"role": "user", "content": content}], **held}

    def _choice(self, completion: Completion) -> int | None:
        try:
            check_completion(completion)
            chosen = read_choice(completion.text, _LETTERS, cut=completion.cut, pattern=self.pattern)
            return _LETTERS.index(chosen)
        except UnreadableError:
            return None
