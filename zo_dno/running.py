"""A run in a thread of its own, so that a notebook can go on, and be clicked in, while it waits for answers."""

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from zo_dno.errors import RunError
from zo_dno.interrupt import Interrupt

if TYPE_CHECKING:
    from zo_dno.result import Result
    from zo_dno.search import Step


class View(Protocol):
    """Shows a run. All but `how_far` is called in the run's thread.

    Attributes:
        box: the widget to display.
    """

    box: Any

    def how_far(self) -> str:
        """Say in a few words what is waited for."""
        ...

    def step(self, step: "Step") -> None:
        """A population was told to the strategy."""
        ...

    def end(self, result: "Result | None", error: BaseException | None) -> None:
        """The run has ended."""
        ...


class Running:
    """A run that goes on in a thread of its own. As a cell's last line it is the widget that shows it.

    If the process ends, the run's folder is as after a kill, and `resume` goes on.

    Args:
        work: carries the run out; it is given what to call after every population.
        view: shows it.
    """

    def __init__(self, work: "Callable[[Callable[[Step], None]], Result]", view: View) -> None:
        self._work, self._view = work, view
        self._interrupt, self._ended = Interrupt(), threading.Event()
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._carry_out, name="zo-dno run", daemon=True)
        self._thread.start()

    @property
    def widget(self) -> Any:
        """The widget that shows the run."""
        return self._view.box

    @property
    def done(self) -> bool:
        """The run has ended, in whatever way."""
        return self._ended.is_set()

    @property
    def failed(self) -> bool:
        """It has ended by an error, which `result` raises."""
        return self.done and self._error is not None

    def result(self, timeout: float = 0.0) -> "Result":
        """Return what the run found, or raise whatever it raised.

        Args:
            timeout: seconds to wait for it. While a notebook's cell waits, no click on a widget arrives.
        Raises:
            RunError: it has not ended, or was stopped before it had a result.
        """
        if not self._ended.wait(timeout):
            raise RunError(f"The run has not ended: {self._view.how_far()}. Ask again when it has, or call stop().")
        if isinstance(self._error, KeyboardInterrupt):
            raise RunError("The run was stopped before it had a result.") from self._error
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def stop(self, timeout: float | None = None) -> None:
        """End the run as Ctrl-C would: what was answered is kept, and `resume` goes on.

        Args:
            timeout: seconds to wait until it has ended; None waits as long as it takes.
        """
        self._interrupt.ask()
        self._thread.join(timeout)

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self._view.box._repr_mimebundle_(**options)

    def _carry_out(self) -> None:
        with self._interrupt.scope():
            try:
                self._result = self._work(self._on_step)
            except BaseException as error:  # for whoever asks for the result
                self._error = error
        self._ended.set()
        self._view.end(self._result, self._error)

    def _on_step(self, step: "Step") -> None:
        self._view.step(step)
        self._interrupt.look()
