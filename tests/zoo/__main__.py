"""Find out everything again and write the table into docs/pipelines.md: `python -m tests.zoo`."""

import sys

from tests.zoo.check import check
from tests.zoo.documented import PAGE, written
from tests.zoo.table import CASES


def main() -> None:
    rows = []
    for case in CASES:
        rows.append(check(*case).row())
        print(rows[-1], file=sys.stderr)
    PAGE.write_text(written(PAGE.read_text(), rows))


if __name__ == "__main__":
    main()
