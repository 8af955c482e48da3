"""The batch interface of a provider: many requests in one job, which takes hours and costs less."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from zo_dno.failures import CallError, Failure, one_line
from zo_dno.storage.plain_json import parse_json

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,199}")
CLOCKS_DIFFER = 600.0  # seconds by which the provider's clock may be behind
CANCELLED, EXPIRED = "cancelled", "expired"


@dataclass(frozen=True, slots=True)
class BatchState:
    """State of a batch at its provider.

    Attributes:
        ended: Whether every request has a response, an error, or will have none.
        reason: Reason why requests have no response: "expired", "cancelled", or "" where there is none.
        refused: Reason why the provider refused the batch as a whole; "" where it did not.
        files: Names of the files with the results, for providers that have any.
    """

    ended: bool
    reason: str = ""
    refused: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Results:
    """What came back of a batch, by the key of the request.

    Attributes:
        responses: Responses in the form of chat completions.
        failures: Reasons why others have none; none of them is charged.
    """

    responses: dict[str, Any] = field(default_factory=dict)
    failures: dict[str, Failure] = field(default_factory=dict)


class BatchApi(Protocol):
    """A provider's batch interface. All methods raise CallError where a call fails.

    Attributes:
        most_requests: Most requests of one batch.
        most_bytes: Most bytes of one batch.
    """

    most_requests: int
    most_bytes: int

    async def create(self, name: str, requests: Mapping[str, Mapping[str, Any]]) -> str:
        """Create a batch of chat requests by their keys, and return its id.

        The name marks the batch, where the provider keeps such marks.
        """
        ...

    async def find(self, name: str, n: int, since: float, known: set[str]) -> str | None:
        """Return the id of a batch that may have been created although no response came back.

        Args:
            name: Name that it was created with.
            n: Number of its requests.
            since: Unix time before which it was not created.
            known: Ids of other batches.
        """
        ...

    async def state(self, batch: str) -> BatchState:
        """Return the state of a batch."""
        ...

    async def results(self, batch: str, state: BatchState) -> Results:
        """Return what came back of a batch that has ended."""
        ...


def id_in(response: Any) -> str:
    """Return the id of an object of the provider, which is put into addresses.

    Raises:
        CallError: There is none, or it is no plain word.
    """
    found = response.get("id") if isinstance(response, dict) else None
    if not isinstance(found, str) or not _ID.fullmatch(found):
        message = f"expected an object with an id; got {one_line(str(response), 200)}"
        raise CallError(Failure("unreadable response", message, transient=False, billed=True))
    return found


def lines_of(text: str) -> Iterator[dict[str, Any]]:
    """Read the objects of a JSON Lines file; lines that are none are left out, and so have no result."""
    for line in text.split("\n"):
        try:
            found = parse_json(line)
        except ValueError:
            continue
        if isinstance(found, dict):
            yield found


def words_of(error: Any) -> str:
    """Return the message of an error object, however deep it is in it."""
    for _ in range(3):
        error = error.get("error", error.get("message", error)) if isinstance(error, dict) else error
    return one_line(str(error), 200)
