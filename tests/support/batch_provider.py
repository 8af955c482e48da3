"""A provider of batches that a test plays, in the form of OpenAI or of Anthropic."""

import base64
import io
import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from tests.support.answering import Answer, Asked, answering

USED = (100, 10)  # tokens of every request, and of every response
_WORDS = {"expired": "batch_expired", "cancelled": "batch_cancelled"}


class Provider:
    """Batches that end after some looks at them.

    Attributes:
        looks: Number of looks at a batch until it has ended.
        fate: Function of a request's key and the number of the batch from 0: "ok", "expired", "cancelled", "odd" (a
            response of another form), "lost" (no line), or an HTTP status.
        whole: Status in which the batches of OpenAI's form end.
        before, after: Functions that see every request, before it is carried out and before it is answered; an answer
            that the first returns is given at once.
        created: Keys of the requests of every batch.
        served: Number of responses that were computed, and are paid, by the key of the request.
    """

    def __init__(self, form: str) -> None:
        self.form, self.looks, self.whole = form, 2, "completed"
        self.fate: Callable[[str, int], Any] = lambda key, batch: "ok"
        self.before: Callable[[Asked], Answer | None] = lambda asked: None
        self.after: Callable[[Asked], None] = lambda asked: None
        self.created: list[list[str]] = []
        self.served: Counter[str] = Counter()
        self._files: dict[str, str] = {}
        self._batches: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()

    @contextmanager
    def serving(self) -> Iterator[tuple[str, list[Asked]]]:
        """Serve; yields the base of the API and the requests so far."""
        with answering(self._answer) as (url, asked):
            yield f"{url}/v1", asked

    def _answer(self, asked: Asked) -> Answer:
        said = self.before(asked)
        if said is None:
            with self._lock:
                said = (self._openai if self.form == "openai" else self._anthropic)(asked)
        self.after(asked)
        return said

    def _openai(self, asked: Asked) -> Answer:
        path = asked.path.removeprefix("/v1/").partition("?")[0]
        if (asked.method, path) == ("POST", "files"):
            lines = [line for line in asked.body.decode().splitlines() if line.startswith('{"custom_id"')]
            self._files[f"file-{len(self._files)}"] = "\n".join(lines)
            return _json({"id": f"file-{len(self._files) - 1}"})
        if (asked.method, path) == ("POST", "batches"):
            body = json.loads(asked.body)
            assert (body["endpoint"], body["completion_window"]) == ("/v1/chat/completions", "24h")
            requests = map(json.loads, self._files[body["input_file_id"]].splitlines())
            items = {one["custom_id"]: one["body"] for one in requests}
            return _json(self._begin(items, {"metadata": body["metadata"], "status": "in_progress"}))
        if path == "batches":
            return _json({"data": self._listed(), "has_more": False})
        if path.startswith("files/"):
            return Answer(self._files[path.split("/")[1]].encode(), headers={"Content-Type": "application/binary"})
        batch = self._batches.get(path.split("/")[1])
        if batch is None:
            return _json({"error": {"message": "no such batch"}}, 404)
        if self._look(batch) and batch["status"] == "in_progress":
            batch["status"] = self.whole
            if self.whole == "failed":
                batch["errors"] = {"data": [{"code": "token_limit_exceeded", "message": "too many tokens are waiting"}]}
            else:
                good, bad = self._lines(batch)
                batch |= {"output_file_id": self._filed(good), "error_file_id": self._filed(bad)}
        return _json({name: value for name, value in batch.items() if name != "items"})

    def _lines(self, batch: dict[str, Any]) -> tuple[list[str], list[str]]:
        good, bad = [], []
        for key, fate in self._fates(batch):
            line: dict[str, Any] = {"custom_id": key, "response": None, "error": None}
            if fate in ("ok", "odd"):
                good.append(
                    json.dumps(line | {"response": {"status_code": 200, "body": self._completion(batch, key, fate)}})
                )
            elif isinstance(fate, int):
                said = {"error": {"message": f"says {fate}"}}
                bad.append(json.dumps(line | {"response": {"status_code": fate, "body": said}}))
            elif fate != "lost":
                bad.append(json.dumps(line | {"error": {"code": _WORDS[fate], "message": f"it was {fate}"}}))
        return good, bad

    def _completion(self, batch: dict[str, Any], key: str, fate: str) -> Any:
        if fate == "odd":
            return {"object": "something else"}
        picture = batch["items"][key]["messages"][0]["content"][0]["image_url"]["url"].partition(",")[2]
        message = {"role": "assistant", "content": judged(picture)}
        usage = {"prompt_tokens": USED[0], "completion_tokens": USED[1]}
        return {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage}

    def _anthropic(self, asked: Asked) -> Answer:
        assert asked.headers["anthropic-version"] == "2023-06-01"
        path = asked.path.removeprefix("/v1/messages/batches").partition("?")[0].strip("/")
        if asked.method == "POST":
            requests = json.loads(asked.body)["requests"]
            items = {one["custom_id"]: one["params"] for one in requests}
            return _json(self._begin(items, {"processing_status": "in_progress"}))
        if not path:
            return _json({"data": self._listed(), "has_more": False, "last_id": None})
        name, _, results = path.partition("/")
        batch = self._batches.get(name)
        if batch is None:
            return _json({"type": "error", "error": {"type": "not_found_error", "message": "no such batch"}}, 404)
        if results:
            return Answer("\n".join(self._results(batch)).encode(), headers={"Content-Type": "application/x-jsonl"})
        if self._look(batch):
            batch["processing_status"] = "ended"
        return _json({name: value for name, value in batch.items() if name != "items"})

    def _results(self, batch: dict[str, Any]) -> Iterator[str]:
        for key, fate in self._fates(batch):
            result: dict[str, Any] = {"type": {"cancelled": "canceled"}.get(fate, fate)}
            if fate == "ok":
                source = batch["items"][key]["messages"][0]["content"][0]["source"]
                assert (source["type"], source["media_type"]) == ("base64", "image/png")
                content = [{"type": "text", "text": judged(source["data"])}]
                usage = {"input_tokens": USED[0], "output_tokens": USED[1]}
                result = {
                    "type": "succeeded",
                    "message": {"content": content, "stop_reason": "end_turn", "usage": usage},
                }
            elif fate == "odd":
                result = {"type": "succeeded", "message": {"object": "something else"}}
            elif isinstance(fate, int):
                kind = "invalid_request_error" if fate == 400 else "overloaded_error"
                result = {
                    "type": "errored",
                    "error": {"type": "error", "error": {"type": kind, "message": f"says {fate}"}},
                }
            if fate != "lost":
                yield json.dumps({"custom_id": key, "result": result})

    def _begin(self, items: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
        name = f"batch_{len(self.created)}"
        counts = {"request_counts": {"processing": len(items)}}
        self._batches[name] = {"id": name, "looks": 0, "number": len(self.created), "items": items, **counts, **more}
        self.created.append([*items])
        return {"id": name}

    def _listed(self) -> list[dict[str, Any]]:
        created = 2_000_000_000 if self.form == "openai" else "2033-05-18T03:33:20Z"
        kept = ("id", "metadata", "request_counts")
        listed = [{name: one[name] for name in kept if name in one} for one in reversed(self._batches.values())]
        return [one | {"created_at": created} for one in listed]

    def _look(self, batch: dict[str, Any]) -> bool:
        batch["looks"] += 1
        return bool(batch["looks"] >= self.looks)

    def _fates(self, batch: dict[str, Any]) -> list[tuple[str, Any]]:
        """Compute the responses of a batch once, in another order than that of the requests."""
        if "fates" not in batch:
            batch["fates"] = {key: self.fate(key, batch["number"]) for key in reversed(batch["items"])}
            self.served.update(key for key, fate in batch["fates"].items() if fate in ("ok", "odd"))
        return [*batch["fates"].items()]

    def _filed(self, lines: list[str]) -> str | None:
        if not lines:
            return None
        self._files[f"file-{len(self._files)}"] = "\n".join(lines)
        return f"file-{len(self._files) - 1}"


def judged(picture: str) -> str:
    """Score a PNG in base64 by its brightness."""
    mean = np.asarray(Image.open(io.BytesIO(base64.b64decode(picture)))).mean()
    return json.dumps({"explanation": "by its light", "score": round(float(mean) / 25.5, 4)})


def _json(body: Any, status: int = 200) -> Answer:
    return Answer(json.dumps(body).encode(), status)
