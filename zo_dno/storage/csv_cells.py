"""Cells of CSV files, which spreadsheet programs may take for formulas."""

from typing import Any

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def plain_cell(cell: Any) -> Any:
    """Put an apostrophe before a text that a spreadsheet would execute, as OWASP recommends; other cells stay."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell
