"""Tables in the documentation that a test writes: `UPDATE_DOCS=1 pytest FILE`."""

import os
from collections.abc import Sequence
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def check_table(page: str, name: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Check that a page has a table between the comments of its name, or write it there."""
    path = DOCS / page
    lines = [head, ["---"] * len(head), *rows]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
    begins, ends = f"<!-- {name} -->\n", "<!-- end -->\n"
    before, found, rest = path.read_text(encoding="utf-8").partition(begins)
    assert found, f"{page} has no place for the table {name}"
    inside, _, after = rest.partition(ends)
    if os.environ.get("UPDATE_DOCS"):
        path.write_text(f"{before}{begins}\n{table}\n\n{ends}{after}", encoding="utf-8")
    else:
        assert inside.strip() == table, f"the table {name} of {page} differs; write it: UPDATE_DOCS=1 pytest this file"
