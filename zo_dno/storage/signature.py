"""Signatures of configs that run code or send secrets: whether this user wrote a folder on this machine."""

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
from zo_dno.registry import is_import
from zo_dno.storage.atomic import write_text
from zo_dno.storage.plain_json import parse_json

SIGNATURE = ".signature"
_MAY_RUN = (
    *("model", "reward", "reward_options", "require", "held_out"),
    *("strategy", "strategy_options", "space", "space_options", "apart", "measures"),
)
_ENVIRONMENT = "ray_env"
_OWN_RAY = (None, "local", "auto")
_SIGN = re.compile(">=|<=")  # of a threshold, after the name of a reward
_CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*|command")  # package.module:name, or the reward that runs programs


def sign(folder: Path, config: Mapping[str, Any]) -> None:
    """Write the signature of a config into its folder, if it runs code, sends a secret or joins a cluster."""
    key = _key()
    if key is not None and (any(_code_in(config)) or any(_contacts_in(config))):
        write_text(folder / SIGNATURE, _signature(key, config) + "\n")


def check_trusted(folder: Path, config: Mapping[str, Any], *, trust: bool, without: Collection[str] = ()) -> None:
    """Refuse a folder that was not written by this user on this machine, and could do harm.

    That is what runs code, sends a secret of the environment to a server, or joins a cluster, which gets pickles.

    Args:
        folder: Folder of the run.
        config: Config of the folder.
        trust: Whether the caller trusts the folder.
        without: Options that the caller does not use, such as the reward where it brings one.
    Raises:
        InputError: The config does one of these, and there is no signature of this user's.
    """
    used = {name: value for name, value in config.items() if name.removesuffix("_options") not in without}
    code, contacts = list(_code_in(used)), list(_contacts_in(used))
    if trust or not (code or contacts):
        return
    key = _key()
    with contextlib.suppress(OSError, UnicodeError):
        signature = (folder / SIGNATURE).read_text(encoding="utf-8").strip()
        if key is not None and hmac.compare_digest(signature, _signature(key, config)):
            return
    harm = [f"run code: {one_line(', '.join(code), 200)}"] if code else []
    harm += [one_line(contact, 200) for contact in contacts]
    raise InputError(
        f"run {folder} was not written by you on this machine, and to resume or render it would "
        f"{one_line('; '.join(harm), 800)}. Look at its config.yaml; if you trust it, add --trust (trust=True)."
    )


def _code_in(config: Mapping[str, Any]) -> Iterator[str]:
    for name in _MAY_RUN:
        value = config.get(name)
        texts = _texts(list(map(_without_range, value)) if name == "measures" and isinstance(value, list) else value)
        yield from (text for text in texts if _is_code(text) and not text.startswith("zo_dno."))
    if any(where.get(_ENVIRONMENT) for where in _with_cluster(config)):
        yield _ENVIRONMENT


def _without_range(measure: Any) -> Any:
    """Return the name in a measure such as "brightness=0.2..0.8"."""
    return measure.partition("=")[0] if isinstance(measure, str) else measure


def _is_code(text: str) -> bool:
    return bool(_CODE.fullmatch(text)) or is_import(text)


def _contacts_in(config: Mapping[str, Any]) -> Iterator[str]:
    """Say which secrets a config sends where, and which cluster it joins."""
    for entry in _entries([config.get("reward_options"), config.get("held_out")]):
        if isinstance(entry, Mapping) and entry.get("key_env"):
            yield f"send ${entry['key_env']} to {entry.get('url') or 'a server'}"
    for where in _with_cluster(config):
        if where.get("ray") not in _OWN_RAY:
            yield f"join the Ray cluster at {where['ray']}"


def _with_cluster(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the places in which a config may have the options of Ray: by themselves, or in their group."""
    return [where for where in (config, config.get("cluster")) if isinstance(where, Mapping)]


def _texts(value: Any) -> Iterator[str]:
    """Yield the texts that an option holds, and the names in thresholds such as "prompt_match >= 0.9"."""
    for text in _entries(value):
        if isinstance(text, str):
            yield text
            term, *limit = _SIGN.split(text, maxsplit=1)
            if limit:
                yield term.strip()


def _entries(value: Any) -> Iterator[Any]:
    """Yield a value and everything in it, also where it is written as JSON, as the command line takes it."""
    waiting = [value]  # and no recursion: JSON in JSON may be nested deeper than Python's calls
    while waiting:
        entry = waiting.pop()
        yield entry
        waiting += reversed(_inside(entry))


def _inside(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [entry for pair in value.items() for entry in pair]
    if isinstance(value, list | tuple):
        return [*value]
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        with contextlib.suppress(ValueError):
            return [parse_json(value)]
    return []


def _signature(key: bytes, config: Mapping[str, Any]) -> str:
    code, contacts = sorted(_code_in(config)), sorted(_contacts_in(config))
    reward = config.get("reward_options") if "command" in code or contacts else None  # programs, addresses
    signed = [
        code,
        reward,
        config.get(_ENVIRONMENT),
        *([contacts] if contacts else []),
    ]  # no more than ever, if possible
    content = json.dumps(signed, sort_keys=True, default=str, ensure_ascii=False)
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
