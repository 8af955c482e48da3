"""The answer in a model's text: drafts inside marks of reasoning are removed, and tags and boxes around it."""

import re
import unicodedata

_NAMES = (
    *("think", "thinking", "thinks", "thought", "thoughts", "thought_process", "reason", "reasoning", "reasons"),
    *("reflection", "reflect", "scratchpad", "analysis", "rationale", "draft", "plan", "planning", "cot"),
    *("chain_of_thought", "inner_monologue", "internal_monologue"),
)
_NAME = rf"(?:\w+:)?(?:{'|'.join(_NAMES)})"
_OPEN, _CLOSE = r"[<\[{◁]", r"[>\]}▷]"
_END_OF_REASONING = re.compile(
    rf"{_OPEN}\|?\s*(?:/\s*{_NAME}|(?:end_of_|end_){_NAME}|{_NAME}_end)\s*\|?{_CLOSE}|<unused95>", re.IGNORECASE
)
_START_OF_REASONING = re.compile(
    rf"{_OPEN}\|?\s*(?:(?:begin_of_|start_of_|begin_|start_)?{_NAME}|{_NAME}_start)(?:\s[^<>\[\]]{{0,80}})?\|?{_CLOSE}"
    r"|<unused94>",
    re.IGNORECASE,
)
_CHANNEL, _FINAL = (
    re.compile(r"<\|channel\|>", re.IGNORECASE),
    re.compile(r"<\|channel\|>\s*final\b[^<]{0,40}<\|message\|>", re.IGNORECASE),
)
_BARE_CHANNELS = re.compile(r"\Aanalysis.*assistantfinal", re.DOTALL)  # the same where special tokens are left out
_HERE_IS = re.compile(
    r"\A\W*here(?:'s| is) my (?:thought process|thinking|reasoning)\b(?:.*\bhere(?:'s| is) my (?:response|answer)\W*)?",
    re.IGNORECASE | re.DOTALL,
)
_ANSWER = r"(?:final_?)?(?:answer|score|rating|response|result|output|verdict|judge?ment|final|json|better)"
_ANSWER_TAG = re.compile(rf"<({_ANSWER})\b[^<>]{{0,80}}>(.{{0,2000}}?)</\1\s*>", re.IGNORECASE | re.DOTALL)
_BOXES = (
    re.compile(r"\\boxed\s*\{((?:[^{}]|\{[^{}]{0,80}\}){0,200})\}"),
    re.compile(r"<\|begin_of_box\|>(.{0,200}?)<\|end_of_box\|>", re.DOTALL),
    re.compile(r"\[\[([^\[\]]{0,80})\]\]"),
)
_LATEX = re.compile(r"\\(?:text|mathrm|mathbf|textbf)\s*\{([^{}]{0,80})\}")
_LAYOUT = re.compile(r"</?(?:b|i|u|p|em|strong|br|hr|div|span|pre|code|ul|ol|li|h[1-6]|mark|small)\b[^<>]{0,80}>", re.I)
_TAG = re.compile(r"<(/?)([a-z][\w:.-]{0,40})\b[^<>]{0,80}>", re.IGNORECASE)
_SPECIAL = re.compile(r"<\|[a-z_]{1,40}\|>|</?s>", re.IGNORECASE)
_ENDINGS = {0x3002: ".", 0xFF61: ".", 0x3000: " "}  # the full stop and the space of East Asian writing


def plain(text: str) -> str:
    """Replace full-width characters and digits of other scripts by those of ASCII."""
    if text.isascii():
        return text
    return "".join(map(_plain, text))


def without_reasoning(text: str) -> tuple[str, int]:
    """Remove the reasoning before the answer.

    Everything up to the last mark that ends reasoning is removed: `</think>` and its like, in any brackets, the
    channels of gpt-oss, and the words of Granite.

    Args:
        text: Text of the response.
    Returns:
        The rest, and where in it reasoning begins that does not end; its length where none does.
    """
    if _CHANNEL.search(text):
        finals = [*_FINAL.finditer(text)]
        text = text[finals[-1].end() :] if finals else "<think>"
    text = _BARE_CHANNELS.sub("", text)
    ends = [*_END_OF_REASONING.finditer(text)]
    text = text[ends[-1].end() :] if ends else text
    if here := _HERE_IS.match(text):
        text = text[here.end() :] if re.search(r"response|answer", here[0], re.IGNORECASE) else f"<think>{text}"
    text = text.strip()
    start = _START_OF_REASONING.search(text)
    return text, start.start() if start else len(text)


def boxed(text: str) -> list[str]:
    r"""Return what stands in the tags or boxes of an answer: <answer>, \boxed{}, [[ ]]; boxes inside tags alone."""
    found = [match[2] for match in _ANSWER_TAG.finditer(text)]
    inside = [_layout_free(one) for one in found]
    for box in _BOXES:
        deeper = [match[1] for match in box.finditer("\n".join(inside) if inside else text)]
        if deeper:
            return [_layout_free(_LATEX.sub(r"\1", one)) for one in deeper]
    return inside


def outside_tags(text: str) -> str:
    """Return a text without tags of layout, and without other elements: from a tag to the last that closes one."""
    text = _layout_free(text)
    tags = [*_TAG.finditer(text)]
    closed = {tag[2].lower(): tag.end() for tag in tags if tag[1]}
    kept, place = [], 0
    for tag in tags:
        end = closed.get(tag[2].lower(), 0)
        if not tag[1] and tag.start() >= place and end > tag.start():
            kept.append(text[place : tag.start()])
            place = end
    return "".join([*kept, text[place:]]).strip()


def _layout_free(text: str) -> str:
    return _SPECIAL.sub("", _LAYOUT.sub("", text)).strip()


def _plain(character: str) -> str:
    code = ord(character)
    if 0xFF01 <= code <= 0xFF5E:
        return chr(code - 0xFEE0)
    digit = unicodedata.decimal(character, None)
    return _ENDINGS.get(code, character) if digit is None else str(digit)
