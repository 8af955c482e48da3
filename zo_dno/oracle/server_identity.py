"""The reward that a server says it serves: learned from its first word, and compared with every later one."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from zo_dno.errors import ZoDnoError
from zo_dno.failures import CallError, Failure, one_line
from zo_dno.oracle.event_loop import EventLoopThread
from zo_dno.oracle.http_client import Client

log = logging.getLogger(__name__)
_PATIENCE = 10.0  # seconds for a server to say which reward it serves
_LONGEST = 80  # characters of a name or a version
_FINGERPRINT = 12  # characters of a fingerprint that are kept


@dataclass(slots=True)
class ServerIdentity:
    """What a server of `zo-dno serve-reward` says of its reward. Other servers say nothing, and nothing is checked.

    Attributes:
        known: Name, version and fingerprint of the reward in one text; None while the server has not said it.
    """

    known: str | None = None
    _asked: bool = field(default=False, init=False, repr=False)

    def ask(self, url: str, make_client: Callable[[], Client]) -> None:
        """Ask the server once; one that does not respond now says it with its first response.

        Args:
            url: Address where the reward scores; its server is asked at /version beside it.
            make_client: Function that makes the client of the calls.
        """
        parts = urlsplit(url)
        if self._asked or self.known is not None or not parts.path.endswith("/score") or "{" in url:
            return
        self._asked = True
        path = f"{parts.path.removesuffix('score')}version"
        loop: EventLoopThread[None] = EventLoopThread()
        try:
            self.known = loop.run(_said_at(urlunsplit(parts._replace(path=path)), make_client()))
        finally:
            loop.close()

    def check(self, response: Any, scrub: Callable[[str], str]) -> None:
        """Compare a response with what is known, which the first response may tell.

        Raises:
            CallError: The server serves another reward than it did; the run pauses.
        """
        said = _text_of(response.get("reward"), scrub) if isinstance(response, dict) else None
        if self.known is None:
            self.known = said
        elif said != self.known:
            now = "says no longer which reward it serves" if said is None else f"now serves {said}"
            message = (
                f"the server {now}; it was {self.known}. Start that one again, or accept the other with zo-dno resume "
                "--accept-drift"
            )
            raise CallError(Failure("another reward", message, transient=False, billed=True, pauses=True))


async def _said_at(url: str, client: Client) -> str | None:
    try:
        async with asyncio.timeout(_PATIENCE):
            return _text_of(await client.send("GET", url), client.scrub)
    except (ZoDnoError, TimeoutError) as error:
        log.info("the server was asked which reward it serves, and did not say it: %s", one_line(str(error)))
        return None
    finally:
        await client.aclose()


def _text_of(reward: Any, scrub: Callable[[str], str]) -> str | None:
    """Return what a server says of its reward in one text, bounded; None where it says nothing."""
    if not isinstance(reward, dict):
        return None
    said = [reward.get(name) for name in ("name", "version", "fingerprint")]
    name, version, fingerprint = (scrub(one_line(text, _LONGEST)) if isinstance(text, str) else None for text in said)
    if name is None or version is None or fingerprint is None:
        return None
    return f"{name} version {version} ({fingerprint[:_FINGERPRINT]})"
