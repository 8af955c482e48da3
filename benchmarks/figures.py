"""The age of measured figures: which of them are older than the code that they measure.

Every line of benchmarks/results/figures.jsonl names its commit. Benchmarks of many runs keep a file of their own, with
a line for each; they are as old as the commit that last added runs. What changed since then in the code that the
benchmark measures is counted; a figure without a line is named, too. It is a reminder, and never fails.
"""

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.tables import RECORDS, git, show

ROOT = Path(__file__).parents[1]
DOCS = ("README.md", *(str(path.relative_to(ROOT)) for path in sorted((ROOT / "docs").glob("*.md"))))
SEARCH = ("zo_dno/search", "strategies", "zo_dno/oracle", "zo_dno/generators")
MEASURED = {
    "ask_tell": ("strategies",),
    "best_of_n": (*SEARCH, "zo_dno/noise"),
    "diverse": ("strategies", "zo_dno/surrogate", "zo_dno/search"),
    "fronts": ("strategies", "zo_dno/surrogate", "zo_dno/search"),
    "gpu": ("zo_dno/generators", "zo_dno/search"),
    "human": ("zo_dno/judges", "zo_dno/web", "rewards/human.py", "strategies"),
    "lag": SEARCH,
    "latency": ("zo_dno/oracle", "rewards/http.py"),
    "ledger": ("zo_dno/storage", "zo_dno/search"),
    "memory": SEARCH,
    "regularizer": ("zo_dno/noise",),
    "reliability": ("zo_dno/storage", "zo_dno/search", "zo_dno/run"),
    "ring": ("zo_dno/ring.py", "strategies"),
    "scaling": ("zo_dno/distributed", "zo_dno/oracle"),
    "startup": ("zo_dno", "rewards", "strategies"),
    "strategies": (*SEARCH, "zo_dno/noise"),
    "throughput": SEARCH,
    "transfer": ("strategies", "zo_dno/surrogate", "zo_dno/search"),
    "white_box": ("strategies", "zo_dno/generators"),
}
"""Folders and files that a benchmark's figures depend on, not the links to them, which git does not follow."""


def named() -> dict[str, list[str]]:
    """Return the documents that quote a benchmark's command, by benchmark."""
    found: dict[str, list[str]] = {}
    for document in DOCS:
        text = (ROOT / document).read_text(encoding="utf-8")
        for name in sorted(set(re.findall(r"python -m benchmarks\.(\w+)", text))):
            found.setdefault(name, []).append(document)
    return found


def latest() -> dict[str, dict[str, Any]]:
    """Return the last line of each benchmark in the common file."""
    lines = RECORDS.read_text(encoding="utf-8").splitlines() if RECORDS.exists() else []
    return {line["benchmark"]: line for line in map(json.loads, lines)}


def of_runs() -> dict[str, dict[str, Any]]:
    """Return the last commit, its date and the hardware of each benchmark that has a file of its own."""
    found = {}
    for file in sorted(set(RECORDS.parent.glob("*.jsonl")) - {RECORDS}):
        commit, _, date = git("log", "-1", "--format=%H %as", "--", str(file)).partition(" ")
        lines = file.read_text(encoding="utf-8").splitlines()
        if commit and lines:
            found[file.stem] = {"commit": commit, "date": date, "hardware": json.loads(lines[-1])["hardware"]}
    return found


def changed_since(commit: str, folders: tuple[str, ...]) -> int | None:
    """Count the lines that changed in folders since a commit; None where git does not know it."""
    if not git("cat-file", "-t", commit):
        return None
    output = git("diff", "--numstat", commit, "HEAD", "--", *(str(ROOT / folder) for folder in folders))
    counts = [line.split("\t")[:2] for line in output.splitlines()]
    return sum(int(number) for pair in counts for number in pair if number.isdigit())


def main() -> None:
    known, rows = of_runs() | latest(), []
    for name, documents in sorted(named().items()):
        line, where = known.get(name), ", ".join(documents)
        if line is None:
            rows.append([name, "no line", "", where])
            continue
        changed = changed_since(line["commit"], MEASURED[name])
        age = f"{changed} lines changed since" if changed else "new"
        if changed is None:
            age = "its commit is not in this clone"
        rows.append([name, f"{line['date']}, {line['hardware']}", age, where])
    show("Figures and the code that they measure", ["benchmark", "measured", "age", "quoted in"], rows, {"rows": rows})


if __name__ == "__main__":
    main()
