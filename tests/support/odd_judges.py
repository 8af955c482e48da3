"""Oddities of real judges' servers, each with what is to become of it. The true score is always 8, a draft's is 6."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.answering import Answer
from tests.support.judging import chat, judgement

TRUE, DRAFT = 8, 6


@dataclass(frozen=True)
class Oddity:
    """What a server does, and what is to become of it.

    Attributes:
        server: The server, in words.
        does: What it does, in words.
        answer: Its response to the body of a request, by the number of earlier requests.
        becomes: "8", or "missing: KIND".
        sent: Most requests.
        options: Options of the reward.
        learns: Changes that the reward is to learn.
        tokens: Tokens that are to be counted; None where the oddity is not about them.
    """

    server: str
    does: str
    answer: Callable[[dict[str, Any], int], Answer]
    becomes: str = str(TRUE)
    sent: int = 1
    options: dict[str, Any] = field(default_factory=dict)
    learns: tuple[str, ...] = ()
    tokens: int | None = None


def refusal(message: str, param: str | None = None, status: int = 400, code: str = "unsupported_parameter") -> Answer:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return Answer(json.dumps({"error": error}).encode(), status)


def plain(content: Any, status: int = 200) -> Answer:
    return Answer(json.dumps(content).encode(), status)


def says(text: str, **more: Any) -> Callable[[dict[str, Any], int], Answer]:
    return lambda body, before: chat(text, **more)


def refuses(name: str, answer: Answer, then: Answer | None = None) -> Callable[[dict[str, Any], int], Answer]:
    return lambda body, before: answer if name in body else (then or judgement(TRUE))


def _reasoning_model(body: dict[str, Any], before: int) -> Answer:
    """Refuse one field after the other, as OpenAI's reasoning models do."""
    if "max_tokens" in body:
        message = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        return refusal(message, "max_tokens")
    if "temperature" in body:
        message = "Unsupported value: 'temperature' does not support 0 with this model. Only the default (1) value is "
        message += "supported."
        return refusal(message, "temperature", code="unsupported_value")
    return judgement(TRUE)


def _at_most_five(body: dict[str, Any], before: int) -> Answer:
    if body["top_logprobs"] > 5:
        return refusal("Invalid value for 'top_logprobs': must be less than or equal to 5.", "top_logprobs")
    return chat("8", [{"8": 0.9, "7": 0.1}])


def _gemini(body: dict[str, Any], before: int) -> Answer:
    if "seed" in body:
        message = 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'
        violations = [{"fieldViolations": [{"description": message}]}]
        error = {"code": 400, "message": message, "status": "INVALID_ARGUMENT", "details": violations}
        return plain([{"error": error}], 400)
    return judgement(TRUE)


def _mistral(body: dict[str, Any], before: int) -> Answer:
    if "seed" in body:
        detail = [
            {"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted", "input": 5}
        ]
        return plain({"object": "error", "message": {"detail": detail}, "type": "invalid_request_error"}, 422)
    return judgement(TRUE)


def _sometimes(*answers: Answer) -> Callable[[dict[str, Any], int], Answer]:
    return lambda body, before: answers[min(before, len(answers) - 1)]


def _used(usage: Any) -> Answer:
    choices = [{"message": {"content": '{"explanation": "Fine.", "score": 8}'}, "finish_reason": "stop"}]
    return plain({"created": "Mon, 30 Nov 2026 08:00:00 GMT", "choices": choices, "usage": usage})


def _spoken(tokens: list[tuple[str, float]], text: str, **choice: Any) -> Answer:
    places = [
        {"token": token, "logprob": value, "top_logprobs": [{"token": token, "logprob": value}]}
        for token, value in tokens
    ]
    return chat(text, logprobs={"content": places}, **choice)


EXPECTED = {"mode": "expected"}
SEEDED = {"seed": 5, "temperature": 0.5}
ODDITIES = (
    Oddity(
        *("OpenAI, reasoning", "refuses `max_tokens`, then `temperature`", _reasoning_model),
        sent=3,
        learns=("with max_completion_tokens in place of max_tokens", "without temperature, so that scores may vary"),
    ),
    Oddity(
        "Azure",
        "refuses `response_format`, in words alone",
        refuses(
            "response_format", refusal("Invalid parameter: 'response_format' of type 'json_schema' is not supported.")
        ),
        sent=2,
        learns=("without response_format",),
    ),
    Oddity(
        "Azure",
        "takes at most 5 `top_logprobs`",
        _at_most_five,
        becomes="7.9",
        sent=2,
        options=EXPECTED,
        learns=("with top_logprobs 5",),
    ),
    Oddity("Gemini", "refuses `seed`, in a list", _gemini, sent=2, options=SEEDED, learns=("without seed",)),
    Oddity("Mistral", "refuses `seed` by its place (422)", _mistral, sent=2, options=SEEDED, learns=("without seed",)),
    Oddity(
        "Anthropic",
        "calls `temperature` deprecated",
        refuses("temperature", refusal("`temperature` is deprecated for this model.")),
        sent=2,
        learns=("without temperature, so that scores may vary",),
    ),
    Oddity(
        "Groq",
        "refuses `logprobs`",
        refuses("logprobs", refusal("`logprobs` is not supported with this model", "logprobs")),
        becomes="missing: HTTP 400",
        options=EXPECTED,
    ),
    Oddity(
        "any",
        "refuses both names of the limit of tokens",
        lambda body, before: refusal("Unsupported parameter.", next(name for name in body if name.startswith("max_"))),
        becomes="missing: HTTP 400",
        sent=2,
        learns=("with max_completion_tokens in place of max_tokens",),
    ),
    Oddity(
        "Anthropic",
        "refuses the number of `max_tokens`",
        lambda body, before: refusal("max_tokens: 512 > 256, which is the maximum allowed number of output tokens"),
        becomes="missing: HTTP 400",
    ),
    Oddity(
        "any",
        "refuses, and repeats the whole request",
        lambda body, before: refusal(f"Content is not allowed: {body['messages'][0]['content'][1]['text']}"),
        becomes="missing: HTTP 400",
    ),
    Oddity("Qwen, DeepSeek", "drafts in `<think>`", says("<think>Score: 6 at first</think>\nScore: 8")),
    Oddity("many", "drafts in `<thinking>`", says("<thinking>Score: 6 at first glance</thinking>\n8")),
    Oddity("DeepSeek", "leaves the first mark out", says("Score: 6 at first</think>Score: 8")),
    Oddity("Magistral", "drafts in `[THINK]`", says("[THINK]Score: 6[/THINK]Score: 8")),
    Oddity("Kimi", "drafts in `◁think▷`", says("◁think▷Score: 6◁/think▷Score: 8")),
    Oddity("Seed", "drafts in `<seed:think>`", says("<seed:think>Score: 6</seed:think>Score: 8")),
    Oddity(
        "gpt-oss",
        "drafts in a channel",
        says(
            "<|channel|>analysis<|message|>Score: 6<|end|>"
            "<|start|>assistant<|channel|>final<|message|>Score: 8<|return|>"
        ),
    ),
    Oddity("gpt-oss", "leaves the channels' marks out", says("analysisScore: 6 at firstassistantfinalScore: 8")),
    Oddity("Granite", "drafts in words", says("Here is my thought process: Score: 6. Here is my response: Score: 8")),
    Oddity("MedGemma", "drafts in unused tokens", says("<unused94>thought\nScore: 6<unused95>Score: 8")),
    Oddity("any", "drafts in a tag of its own", says("<first_look>Score: 6</first_look>\n8")),
    Oddity(
        "Mistral, Anthropic",
        "drafts in a part of the content",
        lambda body, before: chat([{"type": "thinking", "text": "Score: 6"}, {"type": "text", "text": "Score: 8"}]),
    ),
    Oddity(
        "vLLM, SGLang",
        "drafts in `reasoning_content`, and is cut off",
        lambda body, before: chat(
            None, message={"content": None, "reasoning_content": "Score: 6"}, finish_reason="length"
        ),
        becomes="missing: cut off",
    ),
    Oddity(
        "any", "is cut off while it drafts", says("<think>Score: 6, or", finish_reason="length"), "missing: cut off"
    ),
    Oddity("any", "drafts without a mark", says("Score: 6 at first glance.\nAnswer: 8"), "missing: no score"),
    Oddity("Qwen", "writes full-width digits", says("Score\uff1a\uff18\uff0f\uff11\uff10")),
    Oddity("GLM", "boxes its answer", says("<|begin_of_box|>8<|end_of_box|>")),
    Oddity("any", "boxes its answer in LaTeX", says("It shows 3 boats. $\\boxed{8}$")),
    Oddity("any", "answers in a tag", says("<explanation>It shows 3 boats.</explanation><score>8</score>")),
    Oddity("any", "answers in a sentence", says("I'd rate it 8.")),
    Oddity("any", "answers in a form of its own", says("Grade <8>"), options={"pattern": r"Grade <(\d+)>"}),
    Oddity("OpenRouter", "429 in a 200", _sometimes(plain({"error": {"code": 429}}), judgement(TRUE)), sent=2),
    Oddity(
        "OpenRouter",
        "502 in the first choice of a 200",
        _sometimes(plain({"choices": [{"error": {"code": 502, "message": "no"}, "message": {}}]}), judgement(TRUE)),
        sent=2,
    ),
    Oddity(
        "OpenRouter",
        "402 in a 200",
        lambda body, before: plain({"error": {"code": 402, "message": "no credits"}}),
        "missing: HTTP 402",
    ),
    Oddity(
        "Gemini",
        "401 in a list in a 200",
        lambda body, before: plain([{"error": {"code": 401, "message": "bad key"}}]),
        "missing: HTTP 401",
    ),
    Oddity(
        "any",
        "names its error in a 200",
        _sometimes(plain({"error": {"type": "overloaded_error", "message": "busy"}}), judgement(TRUE)),
        sent=2,
    ),
    Oddity(
        "any",
        "counts tokens in floats",
        lambda body, before: _used({"prompt_tokens": 100.0, "completion_tokens": 10.0}),
        tokens=110,
    ),
    Oddity(
        "any",
        "counts `input_tokens`",
        lambda body, before: _used({"input_tokens": 100, "output_tokens": 10}),
        tokens=110,
    ),
    Oddity("any", "counts tokens in a list, dates in words", lambda body, before: _used([100, 10]), tokens=0),
    Oddity(
        "any",
        "asks to wait until a date",
        _sometimes(Answer(b"{}", 429, {"Retry-After": "Mon, 30 Nov 2020 00:00:00 GMT"}), judgement(TRUE)),
        sent=2,
    ),
    Oddity(
        "any",
        "streams, though no stream was asked for",
        lambda body, before: Answer(b'data: {"choices": []}\n\n', headers={"Content-Type": "text/event-stream"}),
        "missing: unreadable response",
        5,
    ),
    Oddity(
        "any",
        "shows a page to log in",
        lambda body, before: Answer(b"", 302, {"Location": "/login"}),
        "missing: redirect",
    ),
    Oddity(
        "any",
        "gives probabilities instead of their logarithms",
        lambda body, before: _spoken([("8", 0.9)], "8"),
        "missing: odd probabilities",
        options=EXPECTED,
    ),
    Oddity(
        "vLLM, reasoning",
        "gives the probabilities of the draft too",
        lambda body, before: _spoken([("6", -0.1), (" seems right", -0.1), ("</think>", 0.0), ("8", -0.1)], "8"),
        options=EXPECTED,
    ),
    Oddity(
        "any",
        "gives the probabilities of another text",
        lambda body, before: _spoken([("6", -0.1)], "8"),
        "missing: odd probabilities",
        options=EXPECTED,
    ),
    Oddity(
        "Ollama", "fails for good with 500", lambda body, before: plain({"error": "panic"}, 500), "missing: HTTP 500", 5
    ),
)
