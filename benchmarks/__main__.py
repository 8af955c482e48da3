"""Run the benchmarks that take minutes on a CPU, one after the other, each in a process of its own."""

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
    "ring",
)
BY_THEMSELVES = {
    "diverse": "half an hour",
    "fronts": "half an hour",
    "white_box": "an hour",
    "strategies": "hours",
    "transfer": "half an hour",
    "gpu": "needs a GPU",
}
"""Benchmarks that are started one by one, `python -m benchmarks.NAME`, and why."""


def main() -> int:
    failed = [name for name in MODULES if subprocess.run([sys.executable, "-m", f"benchmarks.{name}"]).returncode]
    print("started one by one:", "; ".join(f"benchmarks.{name} ({why})" for name, why in BY_THEMSELVES.items()))
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
