"""False alarms, power and cost of the feasibility tests: `python -m benchmarks.regularizer [--quick]`.

Prints the cost of each d, one table and, as the last line, one JSON object. A z is feasible when log P is above its 1 %
quantile and the norm and whiteness p-values are above 0.5 % each.
"""

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from scipy import fft, signal
from torch import Tensor

from benchmarks import memory
from benchmarks.tables import show
from zo_dno import rng
from zo_dno.noise.regularizer import GaussianProbability
from zo_dno.noise.whiteness import norm_p_value, whiteness

LEVEL = 0.01
SPACES: dict[int, tuple[tuple[int, ...], ...]] = {
    1024: ((4, 16, 16),),
    16_384: ((4, 64, 64),),
    835_584: ((4, 64, 64),) * 51,
}
DRAWS = {1024: (20_000, 1000), 16_384: (2000, 200), 835_584: (200, 20)}  # for false alarms; for each row of power
QUICK = {1024: (2000, 200), 16_384: (200, 40)}
_AT_ONCE = 2**21  # entries made at a time

Rows = dict[str, Callable[[Tensor], Tensor]]  # draws (n, t, c, h, w) -> the same, spoilt


def rescaled(spoilt: Tensor, like: Tensor) -> Tensor:
    """Give every candidate of `spoilt` the norm of its original."""
    ratio = like.flatten(1).square().sum(1).sqrt() / spoilt.flatten(1).square().sum(1).sqrt()
    return spoilt * ratio.view(-1, *[1] * (spoilt.ndim - 1))


def chain(draws: Tensor, axis: int, correlation: float = 0.1) -> Tensor:
    """Make an AR(1) sequence along one axis, keeping the norm."""
    noise = np.moveaxis(draws.numpy(), axis, -1).copy()
    noise[..., 1:] *= math.sqrt(1 - correlation**2)
    linked = signal.lfilter([1.0], [1.0, -correlation], noise, axis=-1)
    return rescaled(torch.from_numpy(np.moveaxis(linked, -1, axis).astype(np.float32)), draws)


def flat_chain(draws: Tensor) -> Tensor:
    """Make an AR(1) sequence along the flat order of z, keeping the norm."""
    return chain(draws.flatten(1), -1).view(draws.shape)


def low_band(draws: Tensor, edge: int, gain: float) -> Tensor:
    """Multiply the edge x edge lowest cosine modes of every channel, keeping the norm."""
    modes = fft.dctn(draws.numpy(), axes=(-2, -1), norm="ortho")
    modes[..., :edge, :edge] *= gain
    return rescaled(torch.from_numpy(fft.idctn(modes, axes=(-2, -1), norm="ortho")), draws)


def shared(draws: Tensor, axis: int, correlation: float = 0.1) -> Tensor:
    """Give all entries along one axis a common part."""
    common = draws.roll(1, dims=0).narrow(axis, 0, 1) if len(draws) > 1 else draws.flip(-1).narrow(axis, 0, 1)
    return math.sqrt(1 - correlation) * draws + math.sqrt(correlation) * common


def ramp(draws: Tensor) -> Tensor:
    """Add a slope from -0.2 to 0.2 along the rows."""
    return draws + torch.linspace(-0.2, 0.2, draws.shape[-1])


def first_channel(draws: Tensor) -> Tensor:
    """Shift the first channel of every draw by 0.1."""
    shift = torch.zeros(draws.shape[2], 1, 1)
    shift[0] = 0.1
    return draws + shift


ROWS: Rows = {
    "every entry +0.02": lambda z: z + 0.02,
    "every entry +0.05": lambda z: z + 0.05,
    "scaled x1.02": lambda z: z * 1.02,
    "scaled x1.05": lambda z: z * 1.05,
    "scaled x1.10": lambda z: z * 1.10,
    "scaled x0.90": lambda z: z * 0.90,
    "AR(1) 0.1, flat order": flat_chain,
    "AR(1) 0.1, columns": lambda z: chain(z, -2),
    "4 x 4 low band x1.5": lambda z: low_band(z, 4, 1.5),
    "8 x 8 low band x1.2": lambda z: low_band(z, 8, 1.2),
    "slope -0.2 to 0.2": ramp,
    "first channel +0.1": first_channel,
    "channels correlated 0.1": lambda z: shared(z, 2),
    "draws correlated 0.1": lambda z: shared(z, 1),
}


def flags(z: Tensor, probability: GaussianProbability, shapes: tuple[tuple[int, ...], ...]) -> Tensor:
    """Say which tests flag each z: (n, 5), the indicator, norm, whiteness, norm or whiteness, any."""
    low = probability.log_prob(z) < probability.threshold("1%")
    norm, white = norm_p_value(z) < LEVEL / 2, whiteness(z, shapes) < LEVEL / 2
    return torch.stack([low, norm, white, norm | white, low | norm | white], dim=1)


NAMES = ("indicator", "norm", "whiteness", "norm + whiteness", "both")


def shares(
    probability: GaussianProbability, draws: int, name: str, spoil: Callable[[Tensor], Tensor]
) -> dict[str, float]:
    """Take the share of `draws` spoilt candidates that each test flags."""
    d = probability.d
    shapes = SPACES[d]
    generator = rng.stream(1, "benchmark", d, name)
    batch = max(2, min(draws, _AT_ONCE // d))
    found = []
    for start in range(0, draws, batch):
        z = torch.randn(min(batch, draws - start), len(shapes), *shapes[0], generator=generator)
        found.append(flags(spoil(z).flatten(1).contiguous(), probability, shapes))
    return dict(zip(NAMES, torch.cat(found).double().mean(0).tolist(), strict=True))


def seconds(function: Callable[[], Any], repeats: int = 5) -> float:
    """Take the median time of a call once warm."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return sorted(times)[repeats // 2]


def cost(d: int) -> dict[str, float]:
    """Measure milliseconds a candidate, and the most megabytes held at once beyond those held before."""
    memory.reset_peak()
    before = memory.held()
    start = time.perf_counter()
    probability = GaussianProbability(d)
    found = {"build_ms": 1000 * (time.perf_counter() - start)}
    for n in (1, 4):
        z = torch.randn(n, d, generator=rng.stream(2, "benchmark"))
        found[f"log_prob_ms_n{n}"] = 1000 * seconds(lambda z=z: probability.log_prob(z)) / n  # type: ignore[misc]
    found["peak_mb"] = memory.peak() - before
    z = z[:1].clone().requires_grad_()
    found["penalty_and_gradient_ms"] = 1000 * seconds(
        lambda: torch.autograd.grad(probability.penalty(z * 1.02).sum(), z), 1
    )
    found["norm_ms"] = 1000 * seconds(lambda: norm_p_value(z.detach()))
    found["whiteness_ms"] = 1000 * seconds(lambda: whiteness(z.detach(), SPACES[d]))
    start = time.process_time()
    probability.log_prob(z.detach())
    found["log_prob_cpu_ms_n1"] = 1000 * (time.process_time() - start)
    return {name: round(value, 2) for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer draws, without d = 835,584")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    plan = QUICK if options.quick else DRAWS
    cost(min(plan))  # what libraries allocate at their first use
    report: dict[str, Any] = {"level": LEVEL, "threads": options.threads, "cost": {d: cost(d) for d in plan}}
    report["false_alarms"], report["power"] = {}, {}
    table: list[list[object]] = []
    for d, (true_draws, draws) in plan.items():
        print(f"d = {d}, cost: {report['cost'][d]}", flush=True)
        probability = GaussianProbability(d)
        alarms = report["false_alarms"][d] = shares(probability, true_draws, "true draws", lambda z: z)
        rows = {name: spoil for name, spoil in ROWS.items() if not name.startswith("draws") or len(SPACES[d]) > 1}
        power = report["power"][d] = {name: shares(probability, draws, name, spoil) for name, spoil in rows.items()}
        for name, found in {f"{true_draws} true draws": alarms, **power}.items():
            table.append([f"{d}: {name}", *(found[test] for test in NAMES)])
    show(f"share flagged at the {LEVEL:.0%} level, by d", ["d: z", *NAMES], table, report)


if __name__ == "__main__":
    main()
