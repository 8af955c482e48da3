"""Failures that a retry does not mend: a server that fails every request with HTTP 500 in the same words."""

import re
from collections import Counter
from dataclasses import dataclass, field, replace

from zo_dno.failures import Failure

_ENOUGH = 5  # as many calls as one query makes by default
_KIND = "HTTP 500"
_NUMBERS = re.compile(r"[0-9a-f-]{8,}|[0-9]+")  # such as ids of requests, which differ each time


@dataclass(slots=True)
class RepeatedFailures:
    """Counts the failures of each judge until its first response.

    Many servers answer 500 to what they cannot do, such as an image that is too small. Without this, every image would
    cost all of its attempts. A server that has responded before may respond again, so its failures stay transient.
    """

    _alike: Counter[tuple[str, str]] = field(default_factory=Counter)
    _works: set[str] = field(default_factory=set)

    def note_success(self, judge: str) -> None:
        """Note that a judge has responded."""
        self._works.add(judge)

    def judged(self, judge: str, failure: Failure) -> Failure:
        """Return a failure, as one for good where a judge has never responded and always fails alike."""
        if failure.kind != _KIND or judge in self._works:
            return failure
        words = _NUMBERS.sub("#", failure.message)
        self._alike[judge, words] += 1
        if self._alike[judge, words] < _ENOUGH:
            return failure
        message = f"{failure.message} (for every request so far, so it is not sent again)"
        return replace(failure, transient=False, message=message)
