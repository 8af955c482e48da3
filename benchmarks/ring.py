"""The paper's tutorial on its ring: mean rewards here beside those that its authors print.

Tang et al. 2024, arXiv:2405.18881; the tutorial's figures are those of the authors' notebook, whose model, schedule and
normalisation are others (docs/dno.md).
"""

import argparse

import torch

from benchmarks.tables import show
from zo_dno import ring

AT = (0, 50, 100, 250)
TUTORIAL: dict[ring.Method, dict[int, float]] = {
    "gradient": {0: -0.33, 100: 1.55},
    "hybrid2": {0: -0.31, 50: 0.83, 100: 0.90, 250: 1.08},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--particles", type=int, default=200, help="points, each optimised by itself")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model, rows, figures = ring.Ring(), [], {}
    for method, printed in TUTORIAL.items():
        means = ring.climb(model, method, AT[-1], particles=options.particles)
        figures[method] = {str(at): float(means[at]) for at in AT}
        rows.append([f"{method}, the tutorial's figure", *(printed.get(at, "") for at in AT)])
        rows.append([f"{method}, here", *figures[method].values()])
    show(
        f"Mean reward of {options.particles} points after iterations",
        ["", *(str(at) for at in AT)],
        rows,
        figures,
    )


if __name__ == "__main__":
    main()
