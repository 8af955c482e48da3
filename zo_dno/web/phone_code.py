"""The QR code of a link, for a phone's camera; it needs the package segno."""

import importlib
import io
from importlib.util import find_spec


def has_codes() -> bool:
    """Whether segno is installed."""
    return find_spec("segno") is not None


def phone_code(link: str) -> bytes | None:
    """Return the QR code of a link as SVG; None if segno is not installed."""
    if not has_codes():
        return None
    file = io.BytesIO()
    importlib.import_module("segno").make(link, micro=False).save(file, kind="svg", scale=4, light="#fff")
    return file.getvalue()
