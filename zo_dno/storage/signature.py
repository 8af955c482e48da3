"""Signatures of configs that run code: whether a folder was written by this user on this machine."""

import contextlib
import hashlib
import hmac
import json
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.storage.atomic import write_text

SIGNATURE = ".signature"
_MAY_RUN = ("model", "reward", "reward_options", "held_out", "strategy", "strategy_options", "space", "space_options")
_ENVIRONMENT = "ray_env"
_CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*|command")  # package.module:name, or the reward that runs programs


def sign(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the signature of a config into its folder, if it runs code of its own."""
    key = _key()
    if key is not None and any(_code_in(config)):
        write_text(folder / SIGNATURE, _signature(key, config) + "\n")


def check_trusted(folder: Path, config: Mapping[str, Any], *, trust: bool, without: Collection[str] = ()) -> None:
    """Refuse a folder that runs code and was not written by this user on this machine.

    Args:
        folder: Folder of the run.
        config: Its config.
        trust: Whether the caller trusts the folder.
        without: Options that the caller does not use, such as the reward where it brings one.
    Raises:
        InputError: The config runs code, and there is no signature of this user's.
    """
    used = {name: value for name, value in config.items() if name.removesuffix("_options") not in without}
    code = list(_code_in(used))
    if trust or not code:
        return
    key = _key()
    with contextlib.suppress(OSError, UnicodeError):
        signature = (folder / SIGNATURE).read_text(encoding="utf-8").strip()
        if key is not None and hmac.compare_digest(signature, _signature(key, config)):
            return
    raise InputError(
        f"run {folder} was not written by you on this machine, and resuming or rendering it runs code: "
        f"{one_line(', '.join(code), 200)}. Look at its config.yaml; if you trust it, add --trust (trust=True)."
    )


def _code_in(config: Mapping[str, Any]) -> Iterator[str]:
    for name in _MAY_RUN:
        texts = _texts(config.get(name))
        yield from (text for text in texts if _CODE.fullmatch(text) and not text.startswith("zo_dno."))
    if config.get(_ENVIRONMENT):
        yield _ENVIRONMENT


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, entry in value.items():
            yield from _texts(key)
            yield from _texts(entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            yield from _texts(entry)


def _signature(key: bytes, config: Mapping[str, Any]) -> str:
    code = sorted(_code_in(config))
    programs = config.get("reward_options") if "command" in code else None  # which programs the reward runs
    content = json.dumps([code, programs, config.get(_ENVIRONMENT)], sort_keys=True, default=str, ensure_ascii=False)
    return hmac.new(key, content.encode(), hashlib.sha256).hexdigest()


def _key() -> bytes | None:
    """Return a key that only this user can read, made at the first call; None where it cannot be kept."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    path = Path(state) / "zo-dno" / "key"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(os.urandom(32))
        key = path.read_bytes()
    except (OSError, RuntimeError):  # no home, or one that cannot be written to
        return None
    return key if len(key) == 32 else None
