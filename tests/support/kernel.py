"""A real notebook kernel for tests: cells are run, clicks on widgets are sent, outputs are read."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from jupyter_client.manager import start_new_kernel

_PATIENCE = 300.0  # seconds


class Kernel:
    """What a front end does with a kernel; `shown` is what its cells displayed so far, later versions in place."""

    def __init__(self, client: Any, manager: Any) -> None:
        self._client, self._manager = client, manager
        self.shown: list[dict[str, str]] = []
        self._places: dict[str, int] = {}
        self.printed = ""
        self.error = ""

    def begin(self, code: str) -> str:
        """Begin to run a cell."""
        return self._client.execute(code)

    def run(self, code: str) -> None:
        """Run a cell to its end."""
        self.finish(self.begin(code))

    def finish(self, cell: str) -> None:
        """Wait for the end of a cell."""
        self.until(lambda message: _is_end_of(message, cell))
        assert not self.error, self.error

    def until(self, happened: Callable[[dict[str, Any]], bool]) -> None:
        """Read what the kernel says, until something has happened."""
        ends = time.monotonic() + _PATIENCE
        while time.monotonic() < ends:
            message = self._client.get_iopub_msg(timeout=_PATIENCE)
            self._take(message["msg_type"], message["content"])
            if happened(message):
                return
        raise AssertionError(f"it did not happen; shown: {self.shown}; printed: {self.printed}; error: {self.error}")

    def click(self, widget: str) -> None:
        """Click a button, as the browser would say it."""
        content = {"comm_id": widget, "data": {"method": "custom", "content": {"event": "click"}}}
        self._client.shell_channel.send(self._client.session.msg("comm_msg", content))

    def interrupt(self) -> None:
        """Press the button Interrupt."""
        self._manager.interrupt_kernel()

    def _take(self, kind: str, content: dict[str, Any]) -> None:
        if kind == "stream":
            self.printed += content["text"]
        elif kind == "error":
            self.error = f"{content['ename']}: {content['evalue']}"
        elif kind in ("display_data", "execute_result", "update_display_data"):
            name = content.get("transient", {}).get("display_id")
            place = len(self.shown) if name is None else self._places.setdefault(name, len(self.shown))
            self.shown[place : place + 1] = [content["data"]]


def _is_end_of(message: dict[str, Any], cell: str) -> bool:
    idle = message["msg_type"] == "status" and message["content"]["execution_state"] == "idle"
    return idle and message["parent_header"].get("msg_id") == cell


@contextmanager
def kernel() -> Iterator[Kernel]:
    """Start one, as a notebook does, in a process of its own."""
    manager, client = start_new_kernel(startup_timeout=_PATIENCE)
    try:
        yield Kernel(client, manager)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
