"""Run every benchmark, one after the other, each in a process of its own."""

import subprocess
import sys

MODULES = (
    "regularizer",
    "throughput",
    "startup",
    "ask_tell",
    "best_of_n",
    "ledger",
    "reliability",
    "latency",
    "lag",
    "scaling",
    "human",
)


def main() -> int:
    failed = [name for name in MODULES if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode]
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
