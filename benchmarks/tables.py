"""Output of every benchmark: a table to read, and one JSON object as its last line."""

import json
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], figures: dict[str, Any]) -> None:
    """Print rows under their columns, then the figures as JSON."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left")
    for row in rows:
        table.add_row(*(f"{cell:.4g}" if isinstance(cell, float) else str(cell) for cell in row))
    Console(width=max(100, Console().width)).print(table)
    print(json.dumps(figures))
