"""Who may use the rating page: a token in the link, sessions that it opens, forms that work once, limits on speed."""

import hashlib
import hmac
import os
import secrets
import time
from collections import OrderedDict
from pathlib import Path

from zo_dno.oracle.http_client import key_from
from zo_dno.web.server import TOKEN

_COOKIE = "zo-dno-rater"
_FILE = "rating-token"
_PER_SECOND = 10.0  # forms of a rater, or of an address without a session, that are looked at in the long run
_AT_ONCE = 60.0  # and in a burst
_RATERS = 10_000  # whose speed is remembered


def page_token(folder: Path | None) -> str:
    """Return the token of a run's link: the environment's, or one kept in the run's folder for its owner only."""
    if os.environ.get(TOKEN):
        return key_from(TOKEN)
    if folder is None:
        return secrets.token_urlsafe(24)
    path = folder / _FILE
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(24))
    except FileExistsError:
        pass
    return path.read_text().strip()


class Guard:
    """Opens sessions to those who have the token, and tells genuine forms from others.

    Args:
        token: of the link. Sessions and forms are signed with it, so they outlive the server.
    Attributes:
        cookie: name of the one that holds a session.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        # One a run: browsers send a host's cookies to all of its ports, so those of two runs would meet.
        self.cookie = f"{_COOKIE}-{self._sign('cookie')[:8]}"
        self._allowances: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admits(self, token: str) -> bool:
        """The token is right."""
        return hmac.compare_digest(token.encode(), self._token.encode())

    def new_session(self) -> str:
        """Make a session, which names a new rater."""
        rater = secrets.token_hex(8)
        return f"{rater}.{self._sign('session', rater)}"

    def rater(self, session: str | None) -> str | None:
        """Return the rater whose session this is; None if it is not genuine."""
        rater, _, signature = (session or "").partition(".")
        return rater if hmac.compare_digest(signature.encode(), self._sign("session", rater).encode()) else None

    def proof(self, rater: str, serial: int) -> str:
        """Sign a form for one rater; their next answer uses it up."""
        return f"{serial}.{self._sign('form', rater, str(serial))}"

    def serial(self, rater: str, proof: str) -> int | None:
        """Return the serial of a form; None if it is not genuine."""
        text, _, signature = proof.partition(".")
        genuine = hmac.compare_digest(signature.encode(), self._sign("form", rater, text).encode())
        return int(text) if genuine else None

    def allows(self, who: str) -> bool:
        """One more form now would not be too many."""
        now = time.monotonic()
        left, since = self._allowances.pop(who, (_AT_ONCE, now))
        left = min(_AT_ONCE, left + (now - since) * _PER_SECOND)
        self._allowances[who] = (left - 1 if left >= 1 else left, now)
        while len(self._allowances) > _RATERS:
            self._allowances.popitem(last=False)
        return left >= 1

    def _sign(self, *what: str) -> str:
        return hmac.new(self._token.encode(), "\n".join(what).encode(), hashlib.sha256).hexdigest()
