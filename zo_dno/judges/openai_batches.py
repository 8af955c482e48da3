"""The batch interface of OpenAI, which several providers share: files of JSON Lines, and jobs over them."""

import json
from collections.abc import Mapping
from typing import Any

from zo_dno.failures import Failure, failure_of_status
from zo_dno.judges.batch_api import CANCELLED, CLOCKS_DIFFER, EXPIRED, BatchState, Results, id_in, lines_of, words_of
from zo_dno.oracle.http_client import Client

_ENDPOINT = "/v1/chat/completions"
_ENDED = ("completed", "failed", "expired", "cancelled")
_MARK = "zo_dno"  # key of a batch's metadata
_PAGES = 10  # pages of 100 batches that are searched


class OpenAIBatches:
    """Batches of https://platform.openai.com/docs/api-reference/batch.

    Args:
        base: Base URL of the API, without a slash at its end.
        client: Client that sends the requests.
    """

    most_requests = 50_000
    most_bytes = 190_000_000  # of 200 MB

    def __init__(self, base: str, client: Client) -> None:
        self._base, self._client = base, client

    async def create(self, name: str, requests: Mapping[str, Mapping[str, Any]]) -> str:
        lines = [
            json.dumps({"custom_id": key, "method": "POST", "url": _ENDPOINT, "body": body})
            for key, body in requests.items()
        ]
        file = (f"{name}.jsonl", "\n".join(lines).encode(), "application/jsonl")
        uploaded = await self._client.send(
            "POST", f"{self._base}/files", data={"purpose": "batch"}, files={"file": file}
        )
        body = {
            "input_file_id": id_in(uploaded),
            "endpoint": _ENDPOINT,
            "completion_window": "24h",
            "metadata": {_MARK: name},
        }
        headers = {"Idempotency-Key": name}
        return id_in(await self._client.send("POST", f"{self._base}/batches", json=body, headers=headers))

    async def find(self, name: str, n: int, since: float, known: set[str]) -> str | None:
        after = ""
        for _ in range(_PAGES):
            page = await self._client.send("GET", f"{self._base}/batches?limit=100{after}")
            batches = [one for one in page.get("data") or () if isinstance(one, dict)]
            for batch in batches:
                if (batch.get("metadata") or {}).get(_MARK) == name and id_in(batch) not in known:
                    return id_in(batch)
            oldest = min((batch.get("created_at") or 0 for batch in batches), default=0)
            if not page.get("has_more") or oldest < since - CLOCKS_DIFFER:
                return None
            after = f"&after={id_in(batches[-1])}"
        return None

    async def state(self, batch: str) -> BatchState:
        found = await self._client.send("GET", f"{self._base}/batches/{batch}")
        status = found.get("status") if isinstance(found, dict) else None
        if status not in _ENDED:
            return BatchState(ended=False)
        files = tuple(id_in({"id": found[name]}) for name in ("output_file_id", "error_file_id") if found.get(name))
        errors = (found.get("errors") or {}).get("data") or ["no reason given"]
        refused = "; ".join(map(words_of, errors[:3])) if status == "failed" else ""
        return BatchState(True, {"expired": EXPIRED, "cancelled": CANCELLED}.get(status, ""), refused, files)

    async def results(self, batch: str, state: BatchState) -> Results:
        found = Results()
        for file in state.files:
            text = await self._client.download(f"{self._base}/files/{file}/content")
            for line in lines_of(text):
                self._sort(found, str(line.get("custom_id")), line)
        return found

    @staticmethod
    def _sort(found: Results, key: str, line: Mapping[str, Any]) -> None:
        response, error = line.get("response"), line.get("error")
        if isinstance(error, dict):
            code = str(error.get("code"))
            kind = {"batch_expired": EXPIRED, "batch_cancelled": CANCELLED}.get(code, "error in a batch")
            found.failures[key] = Failure(kind, f"{code}: {words_of(error)}", transient=True, billed=False)
        elif isinstance(response, dict) and response.get("status_code") == 200:
            found.responses[key] = response.get("body")
        elif isinstance(response, dict) and isinstance(response.get("status_code"), int):
            status = response["status_code"]
            found.failures[key] = failure_of_status(status, f"HTTP {status}: {words_of(response.get('body'))}")
