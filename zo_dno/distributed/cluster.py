"""Connections to Ray: one of the run's own on this machine, or a running cluster."""

import atexit
import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from zo_dno.distributed.ray_private import LATE, listen_on_loopback, without_sigterm_handler
from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.oracle.ctrl_c import insisting

log = logging.getLogger(__name__)
LOCAL, RUNNING = "local", "auto"
PACKAGE = Path(__file__).parents[1]
_ANSWER_WITHIN = 5.0  # seconds for a machine to accept a connection
_OBJECT_STORE = 256 * 2**20  # bytes for a Ray of the run's own, which holds images in transit and little else
_SETTINGS = 4  # type of HTTP/2's settings frame
_LONGEST_FOLDER = 40  # bytes of a temporary folder, below which Ray puts paths of 65 more
_CPUS = 10_000  # for a Ray of the run's own: the caller decides how many actors share the machine
_CLUSTER_FLAG = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # "0" lets everything listen on 127.0.0.1
_SERVERS = ("raylet", "gcs_server")
_TOKEN_FILE = Path(".ray") / "auth_token"  # where Ray looks for one, in the home folder


def connect(address: str = LOCAL, *, runtime_env: Mapping[str, Any] | None = None) -> Any:
    """Return the module `ray`, connected. An existing connection of this process is kept.

    Args:
        address: "local" to start Ray on this machine alone, on loopback and with a token of its own; "auto" for the
            Ray that runs on this machine; HOST:PORT or ray://HOST:PORT for a cluster.
        runtime_env: Ray's description of what actors need. This package is sent to a cluster unless `py_modules` says
            otherwise.
    Raises:
        InputError: The cluster does not respond, the token is wrong, or the versions differ.
    """
    if address == LOCAL:
        _keep_private()
    else:
        _use_token()
        _check_answers(address)
    with without_sigterm_handler():
        return _connected(address, runtime_env)


def _connected(address: str, runtime_env: Mapping[str, Any] | None) -> Any:
    import ray
    import ray.exceptions

    if ray.is_initialized():
        _check_environment(ray, runtime_env)
        return ray
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        if os.environ[_CLUSTER_FLAG] == "0":
            listen_on_loopback()
        _start(ray, runtime_env, quiet)
        atexit.register(_end, ray)
        return ray
    brought = {"py_modules": [str(PACKAGE)], **(runtime_env or {})}
    try:
        with insisting():
            ray.init(address=address, runtime_env={name: what for name, what in brought.items() if what}, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InputError(_reason(address, error)) from error
    return ray


def _start(ray: Any, runtime_env: Mapping[str, Any] | None, quiet: Mapping[str, Any], *, again: bool = True) -> None:
    """Start a Ray of this process's own; where it is late, as on a busy machine, once more."""
    try:
        with insisting():  # code that Ray runs while it starts may swallow a KeyboardInterrupt
            ray.init(
                address="local",
                num_cpus=_CPUS,
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE,
                runtime_env=dict(runtime_env) if runtime_env else None,
                _temp_dir=_short_folder(),
                **quiet,
            )
    except KeyboardInterrupt:
        _end(ray)
        raise
    except Exception as error:  # of Ray's own processes, of which there are several
        _end(ray)
        if not again or LATE not in str(error):
            raise InputError(
                f"Ray could not be started on this machine: {one_line(str(error))}. Wait until the machine is less "
                "busy, or join a cluster that runs: --ray."
            ) from error
        log.warning("Ray has not started within the 30 s that it allows itself; it is started once more.")
        _start(ray, runtime_env, quiet, again=False)


def _end(ray: Any) -> None:
    """Stop a Ray of this process's own, with those of its processes that would notice only minutes later."""
    servers = [process for process in psutil.Process().children() if process.name() in _SERVERS]
    theirs = [child for server in servers for child in server.children(recursive=True)]
    ray.shutdown()
    for server in servers:
        with suppress(psutil.NoSuchProcess):  # one that was still starting is not shut down, and starts more later
            server.suspend()
            theirs += [*server.children(recursive=True), server]
    for process in theirs:
        with suppress(psutil.NoSuchProcess):
            process.kill()


def _short_folder() -> str | None:
    """Return a folder for Ray's sockets, whose paths have at most 107 bytes; None where Ray's own choice is short."""
    if "RAY_TMPDIR" in os.environ or len(os.fsencode(tempfile.gettempdir())) <= _LONGEST_FOLDER:
        return None
    folder = Path("/tmp") / f"zo-dno-{os.getuid()}"  # a scheduler's TMPDIR is often far longer
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"TMPDIR must have at most {_LONGEST_FOLDER} bytes for Ray's sockets; got {tempfile.gettempdir()}, and "
            f"{folder} cannot be made: {error.strerror}. Set RAY_TMPDIR to a short folder."
        ) from error
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise InputError(f"{folder} must belong to you; it belongs to another user. Set RAY_TMPDIR to a short folder.")
    return str(folder / "ray")  # which Ray opens to everybody, unlike the folder around it


def max_starting(address: str) -> int:
    """Return how many actors should start at the same time: each loads its libraries, which keeps a processor busy."""
    return max(2, os.cpu_count() or 1) if address == LOCAL else 64


def _check_environment(ray: Any, runtime_env: Mapping[str, Any] | None) -> None:
    """Refuse an environment other than the one that this process joined with: Ray takes it once."""
    joined = ray.get_runtime_context().runtime_env
    missing = [
        name for name, value in (runtime_env or {}).items() if name not in joined or (value and not joined[name])
    ]
    if missing:
        raise InputError(
            f"ray_env must be given to the first run of a process; {', '.join(missing)} came later. Call "
            "ray.shutdown() first, or begin another process."
        )


def _keep_private() -> None:
    """Let a Ray of the run's own listen on loopback alone, and require a token that no other process has."""
    if "ray" not in sys.modules:  # Ray reads it at import; without it Ray sets it itself, with a warning
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    if os.environ.get("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault(_CLUSTER_FLAG, "0")
    # Ray kills a process that has not reported after 60 s and starts another, on a busy machine for ever; and it lets
    # its processes give way to all others (nice 15), which then hardly run beside other work
    os.environ.setdefault("RAY_worker_register_timeout_seconds", "600")
    os.environ.setdefault("RAY_worker_niceness", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


def _use_token() -> None:
    """Send the cluster's token if there is one: Ray sends it only if its mode is set as well."""
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if named or (Path.home() / _TOKEN_FILE).exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _check_answers(address: str) -> None:
    """Check in seconds that a Ray answers; Ray itself takes minutes to find out."""
    if address == RUNNING:
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise InputError(f"ray must be local, auto, HOST:PORT or ray://HOST:PORT; got {address!r}.")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_ANSWER_WITHIN) as connection:
            speaks = os.environ.get("RAY_USE_TLS") == "1" or _speaks_http2(connection)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"ray must be the address of a running cluster; there is no answer at {address}: {error}. Start one with "
            "`ray start --head`, or look at the address that it printed."
        ) from error
    if not speaks:
        raise InputError(
            f"ray must be the address of a running cluster; {address} answers, but it is not Ray. Look at the "
            "address that `ray start --head` printed."
        )


def _speaks_http2(connection: socket.socket) -> bool:
    """Return whether a server answers HTTP/2's preface with its settings, as gRPC does (RFC 9113, section 3.4)."""
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0]))
    header = connection.recv(9)
    return len(header) > 3 and header[3] == _SETTINGS


def _reason(address: str, error: Exception) -> str:
    """Return in one line why a cluster cannot be joined."""
    text = one_line(str(error))
    kind = type(error).__name__
    if "ersion mismatch" in text:
        return f"ray must run the same versions at {address} as here: {text}"
    if "uthenticat" in kind + text or "Unauthorized" in text:
        return (
            f"ray at {address} asks for a token; {text} Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN or "
            "RAY_AUTH_TOKEN_PATH to the cluster's."
        )
    if address == RUNNING:
        return f"ray must be running on this machine for 'auto': {text} Start it with `ray start --head`."
    return (
        f"ray at {address} could not be joined: {text} It must be a Ray cluster whose token, if it has one, is in "
        "RAY_AUTH_TOKEN or RAY_AUTH_TOKEN_PATH."
    )
