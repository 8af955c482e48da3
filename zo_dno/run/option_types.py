"""The types of a run's options, and how texts and lists become their values."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator

from zo_dno.call_policy import CallPolicy


def _as_text(path: Any) -> Any:
    return path if path is None else str(path)


def _as_list(values: Any) -> Any:
    if isinstance(values, str):
        return [values]
    return list(values) if isinstance(values, Sequence) else values


def _as_level(value: Any) -> Any:
    """Read a level of log P as the command line gives it: a number, a percentage, or none."""
    if value == "none":
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def policy_changes(policy: Any) -> Any:
    """Take a policy, or changes to one, as a mapping of what is changed."""
    return policy.given if isinstance(policy, CallPolicy) else policy


def _in_utf8(text: str) -> str:
    """Read the command line's words as UTF-8 also where the locale is C, for which Python makes surrogates of them."""
    try:
        text.encode()
    except UnicodeEncodeError:
        try:
            return text.encode("utf-8", "surrogateescape").decode()
        except UnicodeError:
            raise ValueError("text in UTF-8") from None
    return text


FilePath = Annotated[str, BeforeValidator(_as_text)]
Words = Annotated[str, AfterValidator(_in_utf8)]
Names = Annotated[list[str], BeforeValidator(_as_list)]
Services = Annotated[list[Literal["tensorboard", "mlflow", "wandb"]], BeforeValidator(_as_list)]
Level = Annotated[float | str | None, BeforeValidator(_as_level)]
