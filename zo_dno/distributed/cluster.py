"""Reaching Ray: one of this run's own on this machine, or a cluster that is running."""

import logging
import os
import secrets
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError
from zo_dno.failures import one_line

LOCAL, RUNNING = "local", "auto"
PACKAGE = Path(__file__).parents[1]
_ANSWER_WITHIN = 5.0  # seconds for a machine to accept a connection
_OBJECT_STORE = 256 * 2**20  # bytes, of a Ray of our own: images on their way, and little else
_SETTINGS = 4  # the type of such a frame
_CPUS = 10_000  # of a Ray of our own: how many actors share the machine's is for the caller to say
_TOKEN_FILE = Path(".ray") / "auth_token"  # where Ray looks for one, in the home folder


def connect(address: str = LOCAL, *, runtime_env: Mapping[str, Any] | None = None) -> Any:
    """Return the module `ray`, connected. A Ray that this process is connected to already stays the one.

    Args:
        address: "local" starts Ray on this machine alone, on loopback and with a token of its own; "auto" finds the one
            that runs on this machine; HOST:PORT or ray://HOST:PORT is a cluster's.
        runtime_env: Ray's description of what workers need. This package travels to a cluster by itself, unless
            `py_modules` says otherwise.
    Raises:
        InputError: nobody answers, the token is not right, or the versions differ.
    """
    if address == LOCAL:
        _keep_private()
    else:
        _use_token()
        _check_answers(address)
    import ray
    import ray.exceptions

    if ray.is_initialized():
        _check_environment(ray, runtime_env)
        return ray
    quiet = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        _stay_private()
        ray.init(
            address="local",
            num_cpus=_CPUS,
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE,
            runtime_env=dict(runtime_env) if runtime_env else None,
            **quiet,
        )
        return ray
    brought = {"py_modules": [str(PACKAGE)], **(runtime_env or {})}
    try:
        ray.init(address=address, runtime_env={name: what for name, what in brought.items() if what}, **quiet)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        raise InputError(_reason(address, error)) from error
    return ray


def starting(address: str) -> int:
    """How many actors should be starting at once: each loads its libraries, which keeps a processor busy."""
    return max(2, os.cpu_count() or 1) if address == LOCAL else 64


def _check_environment(ray: Any, runtime_env: Mapping[str, Any] | None) -> None:
    """Refuse another environment than the one that this process joined with: Ray takes it once."""
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
    """Let a Ray of our own listen on loopback alone, and ask for a token that nobody else has."""
    if "ray" not in sys.modules:  # it reads this when it is imported; otherwise it sets it itself, with a warning
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    if os.environ.get("RAY_AUTH_MODE", "token") == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")  # everything listens on 127.0.0.1
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")


def _stay_private() -> None:
    """Tell a Ray that was imported before, such as for Ray Serve: it reads the environment only then."""
    from ray._private import ray_constants

    if os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] == "0":
        ray_constants.ENABLE_RAY_CLUSTER = False


def _use_token() -> None:
    """Send the cluster's token where there is one: Ray does not, unless its mode is set as well."""
    named = any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if named or (Path.home() / _TOKEN_FILE).exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _check_answers(address: str) -> None:
    """Find out in seconds what Ray itself needs minutes for."""
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
            f"ray must be the address of a running cluster; nobody answers at {address}: {error}. Start one with "
            "`ray start --head`, or look at the address that it printed."
        ) from error
    if not speaks:
        raise InputError(
            f"ray must be the address of a running cluster; what answers at {address} is something else. Look at the "
            "address that `ray start --head` printed."
        )


def _speaks_http2(connection: socket.socket) -> bool:
    """Whether it answers HTTP/2's preface with settings of its own, as gRPC servers do (RFC 9113, section 3.4)."""
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0]))
    header = connection.recv(9)
    return len(header) > 3 and header[3] == _SETTINGS


def _reason(address: str, error: Exception) -> str:
    """Say in one line why a cluster cannot be used."""
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
