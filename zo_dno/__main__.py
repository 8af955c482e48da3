"""`zo-dno`, also as `python -m zo_dno`."""

import gc
import sys


def main() -> None:
    """Run the command line; Ctrl-C at any moment ends it without a traceback."""
    try:
        from zo_dno.ui.cli.main import main as run

        run()
    except KeyboardInterrupt:  # while the libraries load, or a second time while the first ends the command
        print("Interrupted.", file=sys.stderr)
        sys.exit(130)
    finally:
        gc.freeze()  # or the interpreter's end looks through all objects of the libraries, which takes 2 s


if __name__ == "__main__":
    main()
