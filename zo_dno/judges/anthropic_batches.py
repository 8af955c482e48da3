"""The message batches of Anthropic, and chat requests and responses as its messages."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from zo_dno.failures import Failure
from zo_dno.judges.batch_api import CANCELLED, CLOCKS_DIFFER, EXPIRED, BatchState, Results, id_in, lines_of, words_of
from zo_dno.oracle.http_client import Client

_VERSION = {"anthropic-version": "2023-06-01"}
_NOT_THERE = ("response_format", "seed", "logprobs", "top_logprobs", "n", "max_completion_tokens")
_FINAL = ("invalid_request_error", "authentication_error", "permission_error", "not_found_error", "request_too_large")
_FINISH = {"max_tokens": "length", "refusal": "content_filter"}
_PAGES = 10  # pages of 100 batches that are searched


class AnthropicBatches:
    """Batches of https://platform.claude.com/docs/en/api/messages/batches.

    Args:
        base: Base URL of the API, without a slash at its end.
        client: Client that sends the requests.
    """

    most_requests = 100_000
    most_bytes = 240_000_000  # of 256 MB

    def __init__(self, base: str, client: Client) -> None:
        self._url, self._client = f"{base}/messages/batches", client

    async def create(self, name: str, requests: Mapping[str, Mapping[str, Any]]) -> str:
        body = {"requests": [{"custom_id": key, "params": as_message(body)} for key, body in requests.items()]}
        headers = {**_VERSION, "Idempotency-Key": name}
        return id_in(await self._client.send("POST", self._url, json=body, headers=headers))

    async def find(self, name: str, n: int, since: float, known: set[str]) -> str | None:
        """Find a batch by its time and size, since these batches have no marks; its results prove it by their keys."""
        after = ""
        for _ in range(_PAGES):
            page = await self._client.send("GET", f"{self._url}?limit=100{after}", headers=_VERSION)
            for batch in page.get("data") or ():
                if _time(batch.get("created_at")) < since - CLOCKS_DIFFER:
                    return None
                if sum((batch.get("request_counts") or {}).values()) == n and id_in(batch) not in known:
                    return id_in(batch)
            if not page.get("has_more"):
                return None
            after = f"&after_id={id_in({'id': page.get('last_id')})}"
        return None

    async def state(self, batch: str) -> BatchState:
        found = await self._client.send("GET", f"{self._url}/{batch}", headers=_VERSION)
        return BatchState(isinstance(found, dict) and found.get("processing_status") == "ended")

    async def results(self, batch: str, state: BatchState) -> Results:
        found = Results()  # not at the address that the batch names, which would get the key
        for line in lines_of(await self._client.download(f"{self._url}/{batch}/results", headers=_VERSION)):
            key, result = str(line.get("custom_id")), line.get("result")
            result = result if isinstance(result, dict) else {}
            if result.get("type") == "succeeded":
                found.responses[key] = as_completion(result.get("message"))
            elif result.get("type") in ("canceled", "expired"):
                kind = EXPIRED if result["type"] == "expired" else CANCELLED
                found.failures[key] = Failure(kind, f"the request was {kind}", transient=True, billed=False)
            else:
                found.failures[key] = _failure(result.get("error"))
        return found


def as_message(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a chat request as the parameters of a message; the wording asks for JSON, so that no schema is needed."""
    messages = [{**one, "content": [*map(_block, one["content"])]} for one in body["messages"]]
    most = body.get("max_tokens") or body.get("max_completion_tokens")
    kept = {name: value for name, value in body.items() if name not in _NOT_THERE}
    return {**kept, "max_tokens": most, "messages": messages}


def as_completion(message: Any) -> Any:
    """Return a message as a chat completion; what is no message stays as it is, and cannot be read."""
    if not isinstance(message, dict) or not isinstance(message.get("content"), list):
        return message
    text = "".join(str(one.get("text", "")) for one in message["content"] if one.get("type") == "text")
    usage, stop = message.get("usage") or {}, message.get("stop_reason")
    read = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
    counts = [usage.get(name) or 0 for name in read] if "input_tokens" in usage else [None]
    return {
        "choices": [{"message": {"content": text}, "finish_reason": _FINISH.get(str(stop), "stop")}],
        "usage": {
            "prompt_tokens": sum(counts) if None not in counts else None,
            "completion_tokens": usage.get("output_tokens"),
        },
    }


def _block(content: Mapping[str, Any]) -> dict[str, Any]:
    if content.get("type") != "image_url":
        return dict(content)
    kind, _, data = content["image_url"]["url"].removeprefix("data:").partition(";base64,")
    return {"type": "image", "source": {"type": "base64", "media_type": kind, "data": data}}


def _failure(error: Any) -> Failure:
    inner = error.get("error", error) if isinstance(error, dict) else {}
    kind = str(inner.get("type") or "error in a batch") if isinstance(inner, dict) else "error in a batch"
    return Failure(kind, f"{kind}: {words_of(error)}", transient=kind not in _FINAL, billed=False)


def _time(text: Any) -> float:
    """Return the Unix time of a date by RFC 3339; one that cannot be read counts as now."""
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except ValueError:
        return float("inf")
