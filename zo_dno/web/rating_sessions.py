"""Access to the rating page: the link's token, signed sessions, forms that work once, and rate limits."""

import hashlib
import hmac
import os
import secrets
import time
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

from zo_dno.errors import InputError, StorageError
from zo_dno.failures import one_line
from zo_dno.oracle.http_client import key_from
from zo_dno.web.server import TOKEN

_COOKIE = "zo-dno-rater"
_FILE = "rating-token"
_BYTES, _SHORTEST = 24, 16  # of a token; in characters
_PER_SECOND = 10.0  # forms per second that one rater, or one address without a session, may submit
_BURST = 60.0  # forms that may be submitted at once
_RATERS = 10_000  # raters and addresses whose rate is remembered


def page_token(folder: Path | None) -> str:
    """Return the token of a run's link: the environment's, or one in a file of the run that only its owner can read.

    Raises:
        InputError: The file holds no token.
        StorageError: The file could not be written.
    """
    if os.environ.get(TOKEN):
        return key_from(TOKEN)
    if folder is None:
        return secrets.token_urlsafe(_BYTES)
    path = folder / _FILE
    if not path.exists():
        _write_token(path)
    return _token_in(path)


def _write_token(path: Path) -> None:
    """Write a new token whole, unless another server is faster."""
    unfinished = path.with_name(f".{path.name}.{secrets.randbits(48)}")
    try:
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(_BYTES))
        _move_unless_there(unfinished, path)
    except OSError as error:
        raise StorageError(
            f"file {path} could not be written: {error.strerror or error}. Make room or set the permissions, or set "
            f"{TOKEN}, then try again."
        ) from error
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _move_unless_there(unfinished: Path, path: Path) -> None:
    try:
        os.link(unfinished, path)
    except FileExistsError:
        pass
    except OSError:  # of a file system without links
        unfinished.replace(path)


def _token_in(path: Path) -> str:
    try:
        token = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeError) as error:
        raise InputError(f"file {path} must hold the token of the rating page: {one_line(str(error))}.") from error
    if len(token) < _SHORTEST:
        raise InputError(
            f"file {path} must hold a token of at least {_SHORTEST} characters; got {len(token)}. Remove the file: the "
            "page then makes a new token, and raters need its new link."
        )
    return token


class Guard:
    """Opens sessions to browsers that bring the token, and verifies sessions and forms.

    Args:
        token: Token of the link. It signs sessions and forms, which therefore outlive the server.
    Attributes:
        cookie: Name of the cookie that holds a session.
    """

    def __init__(self, token: str) -> None:
        self._token = token
        # One name for each run: browsers send a host's cookies to all its ports, where those of two runs would collide.
        self.cookie = f"{_COOKIE}-{self._sign('cookie')[:8]}"
        self._allowances: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def admits(self, token: str) -> bool:
        """Whether the token is right."""
        return hmac.compare_digest(token.encode(), self._token.encode())

    def new_session(self) -> str:
        """Create a session with a new rater's id."""
        rater = secrets.token_hex(8)
        return f"{rater}.{self._sign('session', rater)}"

    def rater(self, session: str | None) -> str | None:
        """Return the rater of a session; None if its signature is wrong."""
        rater, _, signature = (session or "").partition(".")
        return rater if hmac.compare_digest(signature.encode(), self._sign("session", rater).encode()) else None

    def proof(self, rater: str, serial: int) -> str:
        """Sign a form for one rater; the next rating invalidates it."""
        return f"{serial}.{self._sign('form', rater, str(serial))}"

    def serial(self, rater: str, proof: str) -> int | None:
        """Return the serial of a form; None if its signature is wrong."""
        text, _, signature = proof.partition(".")
        genuine = hmac.compare_digest(signature.encode(), self._sign("form", rater, text).encode())
        return int(text) if genuine else None

    def allows(self, who: str) -> bool:
        """Whether one more form is within the rate limit; it counts as submitted."""
        now = time.monotonic()
        left, since = self._allowances.pop(who, (_BURST, now))
        left = min(_BURST, left + (now - since) * _PER_SECOND)
        self._allowances[who] = (left - 1 if left >= 1 else left, now)
        while len(self._allowances) > _RATERS:
            self._allowances.popitem(last=False)
        return left >= 1

    def _sign(self, *what: str) -> str:
        return hmac.new(self._token.encode(), "\n".join(what).encode(), hashlib.sha256).hexdigest()
