"""The table in docs/pipelines.md."""

from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs" / "pipelines.md"
_HEAD = [
    "| family | scheduler | steps | NFE | outside of steps | in steps | dead | shared | gradient |",
    "|---|---|---|---|---|---|---|---|---|",
]
_BEGIN, _END = "<!-- table: python -m tests.support.zoo -->", "<!-- end of table -->"


def documented(text: str) -> list[str]:
    """Read the rows of the table in the page's text."""
    return _parts(text)[1].strip().splitlines()[len(_HEAD) :]


def written(text: str, rows: list[str]) -> str:
    """Put rows into the page's text instead of those that are there."""
    before, _, after = _parts(text)
    return "\n".join([f"{before}{_BEGIN}", *_HEAD, *rows, f"{_END}{after}"])


def _parts(text: str) -> tuple[str, str, str]:
    before, _, rest = text.partition(_BEGIN)
    table, _, after = rest.partition(_END)
    return before, table, after
