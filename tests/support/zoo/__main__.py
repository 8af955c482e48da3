"""Find out everything again and write the table into docs/pipelines.md: `python -m tests.support.zoo`."""

import sys

from tests.support.zoo.check import check
from tests.support.zoo.documented import PAGE, written
from tests.support.zoo.table import CASES


def main() -> None:
    rows = []
    for case in CASES:
        rows.append(check(*case).row())
        print(rows[-1], file=sys.stderr)
    PAGE.write_text(written(PAGE.read_text(), rows))


if __name__ == "__main__":
    main()
