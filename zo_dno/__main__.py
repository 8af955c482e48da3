"""`python -m zo_dno`, the same as `zo-dno`."""

from zo_dno.ui.cli.main import main

main()
