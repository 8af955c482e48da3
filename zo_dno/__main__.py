"""`python -m zo_dno`, the same as `zo-dno`."""

from zo_dno.cli import main

main()
