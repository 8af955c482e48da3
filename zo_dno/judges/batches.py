"""Requests in a provider's batches: sent once, waited for as long as it takes, and fetched after any restart."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

from zo_dno.failures import CallError, Failure
from zo_dno.judges.batch_api import CANCELLED, BatchApi, BatchState
from zo_dno.judges.batch_store import Batch, BatchStore

log = logging.getLogger(__name__)
T = TypeVar("T")
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 600.0  # seconds between the calls while the provider cannot be reached
_OUTAGE = 30  # calls in a row that fail before the run pauses: four hours

Requests = Mapping[str, Mapping[str, Any]]
"""Bodies of chat requests by their keys, which name a request for good."""


class Batches:
    """Sends requests in batches.

    The intent to create a batch is on the disk before the provider hears of it, its id right after. So a batch whose
    creation was cut off is looked up before any other is created, and no response that came back is asked for again.

    Args:
        api: Batch interface of the provider.
        store: Store of the run's batches.
        poll: Seconds between two looks at a batch.
        most: Most batches that a request is sent in by one call of `ask`, if the provider has no response to it.
    """

    def __init__(self, api: BatchApi, store: BatchStore, poll: float, most: int) -> None:
        self._api, self._store, self._poll, self._most = api, store, poll, most

    async def ask(self, requests: Requests) -> tuple[dict[str, Any], dict[str, Failure]]:
        """Return the responses, and the failures of the requests that have none, by their keys.

        A request that expired, or that failed at the provider for a passing reason, is sent in a further batch; one
        that was refused is not. Responses of earlier calls count, their failures do not.

        Raises:
            CallError: The provider could not be reached for long, or refused a batch; or a batch was cancelled there.
                What came back is stored.
        """
        failures: dict[str, Failure] = {}
        await self._settle()  # those of an earlier call, which has ended since
        for _ in range(self._most):
            found = self._store.responses(requests)
            open_ = {
                key: body
                for key, body in requests.items()
                if key not in found and (key not in failures or failures[key].transient)
            }
            if not open_:
                break
            for chunk in self._chunks(open_):
                await self._create(self._store.plan(chunk), chunk)
            failures |= await self._settle()
        found = self._store.responses(requests)
        return found, {key: failures[key] for key in requests if key not in found}

    def _chunks(self, requests: Requests) -> Iterator[dict[str, Mapping[str, Any]]]:
        """Split requests into as few batches as the provider's limits allow."""
        chunk: dict[str, Mapping[str, Any]] = {}
        size = 0
        for key, body in requests.items():
            length = len(json.dumps(body)) + 200  # and the fields around it
            if chunk and (len(chunk) >= self._api.most_requests or size + length > self._api.most_bytes):
                yield chunk
                chunk, size = {}, 0
            chunk[key] = body
            size += length
        yield chunk

    async def _create(self, batch: Batch, requests: Requests) -> None:
        """Create a batch; where no response came back, only after it was looked for."""
        for wait in _waits():
            try:
                id_ = await self._api.create(batch.name, requests)
            except CallError as error:
                if not error.failure.transient:
                    self._store.finish(batch, {})
                    raise
                await self._pause(error, wait)
                if await self._found(batch):
                    return
            else:
                self._created(batch, id_)
                return

    async def _found(self, batch: Batch) -> bool:
        """Look for a batch whose creation was cut off."""
        id_ = await self._patiently(lambda: self._api.find(batch.name, len(batch.keys), batch.at, self._store.ids()))
        if id_ is not None:
            self._created(batch, id_)
        return id_ is not None

    def _created(self, batch: Batch, id_: str) -> None:
        self._store.created(batch, id_)
        log.warning(
            "Batch %s with %d requests is with the provider, which may take a day. Ctrl-C leaves it there%s.",
            *(id_, len(batch.keys), _remedy(self._store)),
        )

    async def _settle(self) -> dict[str, Failure]:
        """Wait until all open batches have ended, and store their responses; returns why others have none."""
        failures: dict[str, Failure] = {}
        for batch in self._store.open():
            if batch.id is None and not await self._found(batch):
                self._store.finish(batch, {})  # it never was
        while open_ := self._store.open():
            for batch in open_:
                state = await self._state(batch)
                if state.ended:
                    failures |= await self._take(batch, state)
            if self._store.open():
                await asyncio.sleep(self._poll)
        return failures

    async def _state(self, batch: Batch) -> BatchState:
        try:
            return await self._patiently(lambda: self._api.state(str(batch.id)))
        except CallError as error:
            if error.failure.kind != "HTTP 404":
                raise
            self._store.finish(batch, {})
            raise _pausing(f"batch {batch.id} is not at the provider any more: {error}. {_AGAIN}") from None

    async def _take(self, batch: Batch, state: BatchState) -> dict[str, Failure]:
        """Store the responses of a batch that has ended, and return why others have none."""
        results = await self._patiently(lambda: self._api.results(str(batch.id), state))
        keys = set(batch.keys)
        self._store.finish(batch, {key: one for key, one in results.responses.items() if key in keys})
        if state.refused:
            raise _pausing(f"the provider refused batch {batch.id}: {state.refused}")
        kind = state.reason or "no response"
        none = Failure(kind, f"batch {batch.id} ended without a response: {kind}", transient=True, billed=False)
        failures = {key: results.failures.get(key, none) for key in keys - results.responses.keys()}
        cancelled = sum(failure.kind == CANCELLED for failure in failures.values())
        if cancelled:
            what = f"batch {batch.id} was cancelled, with {cancelled} of {len(keys)} requests open"
            raise _pausing(f"{what}. {_AGAIN}")
        return failures

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call as long as it fails for a passing reason, within limits; it costs nothing.

        Raises:
            CallError: It fails for good, or too often.
        """
        for wait in _waits():
            try:
                return await call()
            except CallError as error:
                if not error.failure.transient:
                    raise
                await self._pause(error, wait)
        raise AssertionError

    async def _pause(self, error: CallError, wait: float | None) -> None:
        if wait is None:
            raise error
        log.info("the provider cannot be reached now, trying again: %s", error)
        await asyncio.sleep(max(wait, min(error.failure.retry_after or 0.0, _LONGEST_WAIT)))


def say_what_stays(store: BatchStore) -> None:
    """Say which batches are with the provider when a run ends, and how to fetch their responses."""
    for batch in store.open():
        name = batch.id or "that was just being created"
        log.warning("Batch %s with %d requests stays with the provider%s.", name, len(batch.keys), _remedy(store))


def _remedy(store: BatchStore) -> str:
    path = store.path
    return f"; fetch its responses with: zo-dno resume {path.parent}" if path else ", and is lost without a folder"


_AGAIN = "What came back is kept; the rest is sent again by: zo-dno resume"


def _pausing(message: str) -> CallError:
    return CallError(Failure("batch", message, transient=False, billed=False, pauses=True))


def _waits() -> Iterator[float | None]:
    """Iterate over the waits after calls that fail; None after the last one."""
    wait = _FIRST_WAIT
    for _ in range(_OUTAGE):
        yield wait
        wait = min(2 * wait, _LONGEST_WAIT)
    yield None
