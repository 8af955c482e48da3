"""Prompts that a text encoder cuts, and what it does not see of them."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from zo_dno.errors import given
from zo_dno.generators.remarks import say
from zo_dno.generators.tape import stages_of

_SPACES = ("</w>", "\u2581")  # how tokens write spaces, which some tokenizers leave in a decoded text
_ENCODER, _TOKENIZER = "text_encoder", "tokenizer"  # in the names of a pipeline's components


class PromptCuts:
    """Watches the text encoders of a pipeline while they first encode its prompts, and says what they do not see.

    What an encoder reads is taken from the tokens that it is called with, so that no limit of any family has to be
    known: the text that they spell ends in the middle of a prompt that was cut.

    Args:
        pipeline: Pipeline of diffusers.
        texts: Prompts by the names of the call's arguments.
    """

    def __init__(self, pipeline: Any, texts: Mapping[str, str]) -> None:
        self._pipeline = pipeline
        self._texts = dict(texts)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch inside the block, until the prompts were encoded once."""
        if not self._texts:
            yield
            return
        read: dict[str, _Read] = {}
        with ExitStack() as stack:
            for stage in stages_of(self._pipeline):
                for name, encoder, tokenizer in _encoders(stage):
                    rows = read.setdefault(name, _Read(stage, tokenizer)).rows
                    hook = encoder.register_forward_pre_hook(_noting(rows), with_kwargs=True)
                    stack.callback(hook.remove)
            yield
        if any(one.rows for one in read.values()):
            for argument in self._texts:
                self._say(argument, {name: one.unseen(argument, self._texts) for name, one in read.items()})
            self._texts = {}

    def _say(self, argument: str, unseen: Mapping[str, str | None]) -> None:
        whole = ", ".join(name for name, rest in unseen.items() if rest == "")
        also = f"{whole} sees all of it." if whole else "Shorten it, or say first what matters."
        for name, rest in unseen.items():
            if rest:
                kind = type(self._pipeline).__name__
                say(self._pipeline, f"{argument} is cut by {name} of {kind}: it does not see {given(rest)}. {also}")


@dataclass(frozen=True, slots=True)
class _Read:
    """The tokens that a text encoder was called with.

    Attributes:
        stage: Pipeline that the encoder belongs to.
        tokenizer: Tokenizer of the encoder.
        rows: Tokens, a row for each text.
    """

    stage: Any
    tokenizer: Any
    rows: list[list[int]] = field(default_factory=list)

    def unseen(self, argument: str, texts: Mapping[str, str]) -> str | None:
        """Return what the encoder does not see of a prompt; "" if it sees all, None if it did not read it."""
        words = {key: _words(self.stage, self.tokenizer, text) for key, text in texts.items()}
        spelled = [_plain(_decoded(self.tokenizer, row)) for row in self.rows]
        if any(_plain(words[argument]) in one for one in spelled):
            return ""
        others = [_plain(one) for key, one in words.items() if key != argument]
        for row, one in zip(self.rows, spelled, strict=True):
            rest = _rest(words[argument], one)
            if rest and _is_full(self.tokenizer, row) and not any(other and one.endswith(other) for other in others):
                return rest
        return None


def _encoders(stage: Any) -> Iterator[tuple[str, nn.Module, Any]]:
    for name, one in vars(stage).items():
        tokenizer = getattr(stage, name.replace(_ENCODER, _TOKENIZER), None) or getattr(stage, _TOKENIZER, None)
        if _ENCODER in name and isinstance(one, nn.Module) and callable(getattr(tokenizer, "decode", None)):
            yield name, one, tokenizer


def _noting(rows: list[list[int]]) -> Any:
    def note(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tokens = kwargs.get("input_ids", args[0] if args else None)
        if isinstance(tokens, Tensor) and tokens.ndim == 2 and not tokens.is_floating_point():
            rows.extend(tokens.tolist())

    return note


def _words(stage: Any, tokenizer: Any, text: str) -> str:
    """Return a prompt as the tokenizer spells it, or as it was given where only spaces and capitals differ."""
    convert = getattr(stage, "maybe_convert_prompt", None)  # names every vector of a textual inversion
    asked = text if convert is None else convert(text, tokenizer)
    spelled = _decoded(tokenizer, tokenizer(asked, add_special_tokens=False, verbose=False).input_ids)
    return text if _plain(text) == _plain(spelled) else spelled


def _decoded(tokenizer: Any, tokens: Sequence[int]) -> str:
    text: str = tokenizer.decode(tokens, skip_special_tokens=True)
    for mark in _SPACES:
        text = text.replace(mark, " ")
    return text


def _is_full(tokenizer: Any, row: Sequence[int]) -> bool:
    """Return whether a row has no padding: the last token but one is a word's."""
    return len(row) > 1 and row[-2] not in tokenizer.all_special_ids


def _rest(words: str, spelled: str) -> str:
    """Return the rest of a prompt that does not belong to what was read; empty if that does not end within it."""
    plain = _plain(words)
    for length in range(min(len(plain) - 1, len(spelled)), 0, -1):
        if spelled.endswith(plain[:length]):
            return _after(words, length) if 4 * length >= len(spelled) else ""
    return ""


def _after(words: str, length: int) -> str:
    """Return what follows after a number of letters, spaces not counted."""
    for place, letter in enumerate(words):
        if not length:
            return words[place:].strip()
        length -= not letter.isspace()
    return ""


def _plain(text: str) -> str:
    return "".join(text.lower().split())
