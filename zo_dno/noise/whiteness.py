"""Calibrated tests of the norm and the whiteness of noise, which the moments of a Gaussian draw do not show.

Every whiteness statistic is a function of z / ||z||, which is uniform on the sphere under N(0, I) and independent of
the norm. So an orthonormal transform of z has shares of energy that are exactly Beta distributed, at any d.
"""

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from scipy import special
from torch import Tensor

from zo_dno.noise.regularizer import check_noise
from zo_dno.noise.space import NoiseLayout

_BLOCK = 2**19  # entries transformed at a time: they stay in the cache


def norm_ratio(z: Tensor) -> Tensor:
    """Divide every row's norm by sqrt(d), where a Gaussian draw has 1 +- 1 / sqrt(2 d): (n,)."""
    check_noise(z, z.shape[-1])
    return z.square().mean(1).sqrt()


def norm_p_value(z: Tensor) -> Tensor:
    """Test ||z||^2, two-sided, against chi-square with d degrees of freedom: (n,) float64 p-values, small is odd."""
    check_noise(z, z.shape[-1])
    half_d, half_energy = torch.tensor(z.shape[1] / 2, dtype=torch.float64), z.double().square().sum(1) / 2
    tails = torch.special.gammainc(half_d, half_energy), torch.special.gammaincc(half_d, half_energy)
    return (2 * torch.minimum(*tails)).clamp_max(1)


def whiteness(z: Tensor, shapes: Sequence[tuple[int, ...]]) -> Tensor:
    """Test whether z is white: no frequency, direction, channel or draw stands out or repeats another.

    The p-values of several statistics (docs/regularizer.md) are combined into one, which for Gaussian draws is uniform
    on [0, 1] within a few per cent of the level, at any norm.

    Args:
        z: Noise on the N(0, I) scale, (n, d).
        shapes: Shapes of the draws that z concatenates, such as ((4, 64, 64),) or ((d,),). With three axes or more, all
            but the first are space (and time); with fewer, all are.
    Returns:
        p-values, (n,) float64, small where z is not white; differentiable.
    Raises:
        InputError: z is not (n, d) of these shapes or has entries that are not finite.
    """
    blocks = torch.split(z, max(1, _BLOCK // max(1, z.shape[-1])))
    return torch.cat([_combine(torch.stack(list(p_values(b, shapes).values()), dim=1)) for b in blocks])


def p_values(z: Tensor, shapes: Sequence[tuple[int, ...]]) -> dict[str, Tensor]:
    """Take the (n,) float64 p-value of every statistic that `whiteness` combines, by name."""
    layout = NoiseLayout(tuple(shapes))
    check_noise(z, layout.d)
    z = z if z.dtype == torch.float64 else z.float()
    energy = z.double().square().sum(1)
    kinds: dict[tuple[int, ...], list[Tensor]] = {}
    for shape, draw in zip(shapes, layout.split(z), strict=True):
        kinds.setdefault(tuple(shape), []).append(draw)
    draws = [_grid(torch.stack(alike, dim=1), shape) for shape, alike in kinds.items()]
    largest = z.double().square().amax(1) / energy
    found = {"largest entry": _sidak(_above(largest, 0.5, (layout.d - 1) / 2), layout.d)}  # not spectral: spikes
    found |= _neighbours(draws, energy)
    found |= _spectrum(draws, energy)
    found |= _rows(draws, energy)
    return found


def _grid(draws: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Give draws (n, t, *shape) one channel axis: (n, t, channels, *space)."""
    return draws if len(shape) > 2 else draws.unsqueeze(2)


def _neighbours(draws: list[Tensor], energy: Tensor) -> dict[str, Tensor]:
    """Test the correlation of next neighbours along each axis, counted from the last."""
    found = {}
    d = sum(draw[0].numel() for draw in draws)
    for axis in range(1, max(draw.ndim for draw in draws) - 2):
        products, pairs, longest = torch.zeros_like(energy), 0, 2
        for draw in draws:
            if draw.ndim - 3 < axis or draw.shape[-axis] < 2:
                continue
            moved = draw.transpose(-axis, -1)
            products = products + (moved[..., 1:] * moved[..., :-1]).flatten(1).sum(1).double()
            pairs += moved[0, ..., 1:].numel()
            longest = max(longest, draw.shape[-axis])
        if pairs:
            # u^T A u for a uniform direction u: variance 2 tr(A^2) / (d (d + 2)) = pairs / (d (d + 2)); A's extreme
            # eigenvalues are those of a path. A symmetric Beta with both is exact for paths of two.
            bound = math.cos(math.pi / (longest + 1))
            a = (d * (d + 2) * bound**2 / pairs - 1) / 2
            found[f"neighbours on axis -{axis}"] = _two_sided((1 + products / energy / bound) / 2, a, a)
    return found


def _spectrum(draws: list[Tensor], energy: Tensor) -> dict[str, Tensor]:
    """Test the largest mode, of one channel and of all, and the energy of the low modes, over all draws and in each."""
    powers = [_cosine_power(draw) for draw in draws]
    d = sum(power[0].numel() for power in powers)
    largest = torch.stack([power.flatten(1).amax(1) for power in powers], dim=1).amax(1)
    found = {"largest mode": _sidak(_above(largest / energy, 0.5, (d - 1) / 2), d)}
    each = [_largest_frequency(power) for power in powers if 1 < power[0, 0, 0].numel() < power[0, 0].numel()]
    if each:
        found["largest frequency of one draw"] = _combine(torch.cat(each, dim=1))
    n_draws = sum(power.shape[1] for power in powers)
    edge, growth = 1, 2 if any(power.ndim > 4 for power in powers) else 4  # bands at least 4 times the one before
    while wide := [power for power in powers if 2 * edge <= max(power.shape[3:])]:
        bands = [_lowest(power, edge) for power in wide]  # (n, t, modes)
        modes = sum(band[0].numel() for band in bands)
        inside = torch.stack([band.flatten(1).sum(1).double() for band in bands]).sum(0)
        found[f"modes below {edge}"] = _share(inside, modes, energy, d)
        if n_draws > 1:
            each = [
                _share(band.sum(2).double(), band.shape[2], power.flatten(2).sum(2).double(), power[0, 0].numel())
                for band, power in zip(bands, wide, strict=True)
            ]
            found[f"modes below {edge} of one draw"] = _combine(torch.cat(each, dim=1))
        edge *= growth
    return found


def _largest_frequency(power: Tensor) -> Tensor:
    """Test the largest mode of every draw once its channels are added up: (n, t) p-values."""
    spectrum = power.sum(2).flatten(2)
    channels, modes = power.shape[2], spectrum.shape[2]
    share = (spectrum.amax(2) / spectrum.sum(2)).double()
    return _sidak(_above(share, channels / 2, channels * (modes - 1) / 2), modes)


def _lowest(power: Tensor, edge: int) -> Tensor:
    """Take the modes below `edge` on every axis of space: (n, t, modes)."""
    for axis in range(3, power.ndim):
        power = power.narrow(axis, 0, min(edge, power.shape[axis]))
    return power.flatten(2)


def _rows(draws: list[Tensor], energy: Tensor) -> dict[str, Tensor]:
    """Test the energy of every channel, and how channels of one draw, and draws of one shape, repeat each other."""
    d = sum(draw[0].numel() for draw in draws)
    found = {}
    channels = [draw.flatten(3) for draw in draws]  # (n, t, c, points)
    if sum(draw[0, ..., 0].numel() for draw in channels) > 1:
        each = [_share(c.square().sum(3).flatten(1).double(), c.shape[3], energy[:, None], d) for c in channels]
        found["energy of a channel"] = _combine(torch.cat(each, dim=1))
    found |= _correlations("channels", channels)
    found |= _correlations("draws", [draw.flatten(2).unsqueeze(1) for draw in draws])
    return found


def _correlations(name: str, groups: list[Tensor]) -> dict[str, Tensor]:
    """Test the sum of squared correlations between the rows of every group, (n, groups, rows, points), as a Gamma."""
    total, mean, variance = torch.zeros(()), 0.0, 0.0
    for rows in groups:
        count, points = rows.shape[2:]
        if count < 2 or points < 2:
            continue
        gram = (rows @ rows.mT).double()
        norms = gram.diagonal(dim1=2, dim2=3)
        i, j = torch.triu_indices(count, count, 1)
        squared = (gram[:, :, i, j].square() / (norms[:, :, i] * norms[:, :, j])).flatten(1)
        total = total + squared.sum(1)
        mean += squared.shape[1] / points
        variance += squared.shape[1] * 2 * (points - 1) / (points**2 * (points + 2))  # of Beta(1/2, (points - 1) / 2)
    if not mean:
        return {}
    shape = torch.tensor(mean**2 / variance, dtype=torch.float64)
    return {f"correlations of {name}": torch.special.gammaincc(shape, total * (mean / variance))}


def _cosine_power(draws: Tensor) -> Tensor:
    """Square the orthonormal cosine transform (DCT-II by FFT, Makhoul 1980) over the axes of space."""
    for axis in range(3, draws.ndim):
        x = draws.transpose(axis, -1)
        size = x.shape[-1]
        turned = torch.cat([x[..., ::2], x[..., 1::2].flip(-1)], dim=-1)
        angle = torch.arange(size, device=x.device, dtype=x.dtype) * (-math.pi / (2 * size))
        weight = torch.polar(torch.full_like(angle, math.sqrt(2 / size)), angle)
        weight[0] = math.sqrt(1 / size)
        draws = (torch.fft.fft(turned) * weight).real.transpose(axis, -1)
    return draws.square()


def _share(inside: Tensor, modes: int, energy: Tensor, d: int) -> Tensor:
    return _two_sided(inside / energy, modes / 2, (d - modes) / 2)


def _above(x: Tensor, a: float, b: float) -> Tensor:
    return _beta(1 - x, b, a)


def _two_sided(x: Tensor, a: float, b: float) -> Tensor:
    return (2 * torch.minimum(_beta(x, a, b), _above(x, a, b))).clamp_max(1)


def _sidak(p: Tensor, count: int) -> Tensor:
    """Correct the smallest of `count` independent p-values for having been chosen."""
    return -torch.expm1(count * torch.log1p(-p.clamp_max(1 - 1e-15)))


def _combine(p: Tensor) -> Tensor:
    """Combine (n, tests) p-values, dependent or not, by Cauchy's way (Liu and Xie 2020, arXiv:1808.09011)."""
    p = p.nan_to_num(0)  # 0 / 0: a draw or channel of zeros, which no Gaussian draws
    cotangent = 1 / (torch.pi * p.clamp(1e-150, 0.999)).tan()
    return torch.atan2(torch.ones((), dtype=p.dtype), cotangent.mean(1)) / torch.pi


def _beta(x: Tensor, a: float, b: float) -> Tensor:
    """Take the distribution function of Beta(a, b) at x."""
    return cast(Tensor, _Beta.apply(x, a, b))  # type: ignore[no-untyped-call]


class _Beta(torch.autograd.Function):
    """The distribution function of Beta(a, b), which torch lacks; differentiable in x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: float, b: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.shape = a, b
        return torch.as_tensor(special.betainc(a, b, x.detach().cpu().clamp(0, 1).numpy()), device=x.device)

    @staticmethod
    def backward(ctx: Any, *grad: Tensor) -> tuple[Tensor, None, None]:
        (x,), (a, b) = ctx.saved_tensors, ctx.shape
        log_density = (a - 1) * x.log() + (b - 1) * (-x).log1p() - float(special.betaln(a, b))
        return grad[0] * log_density.exp(), None, None
