"""A surrogate of the reward: features of images, and a Gaussian process over them."""

import numpy as np
from scipy.fft import dctn

BLOCK = 8
_GRID = 8  # means along each side of the coarse picture
_VISIBLE = 0.04  # amplitude of a cosine mode, in [0, 1] times a block's side: about a step of JPEG's rounding
_LENGTHS = (0.5, 1.0, 2.0, 4.0)  # length scales of the smooth kernel, in standardized features
_MIXES = (0.0, 0.5, 1.0)  # linear share of the kernel
_NOISES = (0.003, 0.03, 0.1, 0.3, 1.0)  # variance that features do not explain, as a share of the rewards' variance
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


def image_features(image: np.ndarray) -> np.ndarray:
    """Describe an image (H, W, 3) uint8 by a coarse picture and the cosine modes of its blocks, (576,).

    The modes of 8 x 8 blocks, in brightness and two colour differences at full resolution, decide file size,
    sharpness and texture. The coarse picture shows which colour is where.
    """
    pixels = image.astype(np.float32) / 255
    sides = [-(-side // BLOCK) * BLOCK for side in pixels.shape[:2]]
    missing = [(0, side - had) for side, had in zip(sides, pixels.shape, strict=False)]
    pixels = np.pad(pixels, [*missing, (0, 0)], "edge")
    light = pixels @ _LUMA
    found = [_coarse(pixels).ravel()]
    for channel in (light, pixels[..., 2] - light, pixels[..., 0] - light):
        blocks = channel.reshape(sides[0] // BLOCK, BLOCK, sides[1] // BLOCK, BLOCK).swapaxes(1, 2)
        modes = np.abs(np.asarray(dctn(blocks, axes=(2, 3), norm="ortho")))
        found += [np.log(modes.mean((0, 1)) + 1e-3).ravel(), (modes > _VISIBLE).mean((0, 1)).ravel()]
    return np.concatenate(found).astype(np.float32)


def _coarse(pixels: np.ndarray) -> np.ndarray:
    rows, columns = (np.linspace(0, side, _GRID + 1).astype(int) for side in pixels.shape[:2])
    means = np.add.reduceat(np.add.reduceat(pixels, rows[:-1], 0), columns[:-1], 1)
    mean: np.ndarray = means / (np.diff(rows)[:, None, None] * np.diff(columns)[None, :, None])
    return mean


class GaussianProcess:
    """A Gaussian process with a linear and a smooth kernel, with the most likely settings of a grid.

    One eigendecomposition of each kernel serves all noise levels, so the choice costs as much as one fit; libraries
    factorize again for each level.

    Args:
        features: Features of the images, (n, m).
        rewards: Rewards of the images, (n,).
    """

    def __init__(self, features: np.ndarray, rewards: np.ndarray) -> None:
        x = np.asarray(features, float)
        self._centre, self._scale = x.mean(0), x.std(0) + 1e-6
        self._mean, self._unit = float(rewards.mean()), float(rewards.std()) or 1.0
        self._x = self._standardized(x)
        y = (np.asarray(rewards, float) - self._mean) / self._unit
        best = -np.inf
        for length in _LENGTHS:
            for mix in _MIXES if length == _LENGTHS[0] else _MIXES[:-1]:  # a linear kernel has no length
                values, vectors = np.linalg.eigh(self._kernel(self._x, length, mix))
                projected = vectors.T @ y
                for noise in _NOISES:
                    spread = np.maximum(values, 0) + noise
                    variance = float((projected**2 / spread).mean())
                    likelihood = -len(y) * np.log(max(variance, 1e-12)) - np.log(spread).sum()
                    if likelihood > best:
                        best = likelihood
                        self._length, self._mix, self._variance = length, mix, variance
                        self._vectors, self._spread = vectors, spread
                        self._weights = vectors @ (projected / spread)
        self._y = y

    def __call__(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Predict rewards from features (n, m): means and standard deviations, (n,) each."""
        x = self._standardized(np.asarray(features, float))
        kernel = self._kernel(x, self._length, self._mix)
        own = self._mix * (x**2).mean(1) + 1 - self._mix
        known = ((kernel @ self._vectors) ** 2 / self._spread).sum(1)
        deviation = np.sqrt(np.maximum(own - known, 0) * self._variance)
        return self._mean + self._unit * kernel @ self._weights, self._unit * deviation

    def left_out(self) -> np.ndarray:
        """Predict every reward from all the others, (n,) (Rasmussen and Williams 2006, eq. 5.12)."""
        diagonal = (self._vectors**2 / self._spread).sum(1)
        predictions: np.ndarray = self._mean + self._unit * (self._y - self._weights / diagonal)
        return predictions

    def _standardized(self, features: np.ndarray) -> np.ndarray:
        standard: np.ndarray = (features - self._centre) / self._scale
        return standard

    def _kernel(self, x: np.ndarray, length: float, mix: float) -> np.ndarray:
        m = x.shape[1]
        inner = x @ self._x.T
        squares = (x**2).sum(1)[:, None] + (self._x**2).sum(1)[None] - 2 * inner
        kernel: np.ndarray = mix * inner / m + (1 - mix) * np.exp(-np.maximum(squares, 0) / (2 * m * length**2))
        return kernel
