"""The trace of a pipeline call: the Gaussian draws that it makes, and which of them change its image."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zo_dno.errors import InputError
from zo_dno.generators.memory import is_out_of_memory, memory_named
from zo_dno.generators.tape import Draw, DrawSource, Playback, TapeError
from zo_dno.rng import stream

PlayedCall = Callable[[int, DrawSource], tuple[Tensor, Playback]]
"""Number of images, and source of draws -> images (n, 3, H, W), and the playback."""

Settle = Callable[[Callable[[int], Tensor], int], None]
"""Call of a pipeline that renders the given number of images, always with the same noise; the most it may render."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The Gaussian draws, the denoiser calls and the decodings of one pipeline call.

    Attributes:
        draws: Gaussian draws in their order.
        nfe: Denoiser calls per image; classifier-free guidance counts two.
        calls: Denoiser calls of one pipeline call; neither guidance nor the batch size changes them.
        decodings: Decodings by an autoencoder in a call for one image; 0 of a pipeline without one.
    """

    draws: tuple[Draw, ...]
    nfe: int
    calls: int
    decodings: int

    def check(self, number: int, shape: tuple[int, ...], n: int) -> None:
        """Refuse a draw of a call for n images that differs from the trace.

        Raises:
            TapeError: The draw differs.
        """
        if number >= len(self.draws) or shape != drawn_shape(self.draws[number], n):
            raise TapeError(
                f"The pipeline's draws changed: there were {len(self.draws)}, and draw {number} is now {shape}. "
                "It cannot be replayed."
            )

    def check_count(self, played: int) -> None:
        """Refuse a call with another number of draws.

        Raises:
            TapeError: The numbers differ.
        """
        if played != len(self.draws):
            raise TapeError(
                f"The pipeline's draws changed: there were {len(self.draws)}, and now {played}. It cannot be replayed."
            )


def drawn_shape(draw: Draw, n: int) -> tuple[int, ...]:
    """Return the shape of a draw in a call for n images, in which the rows of a candidate follow each other."""
    if draw.shared:
        return draw.shape
    return (n * draw.rows, *draw.shape[draw.rows > 1 :])


def frozen(draw: Draw, number: int, shape: tuple[int, ...], seed: int) -> Tensor:
    """Return the noise of a draw that is not searched, the same for all candidates."""
    noise = torch.randn(draw.shape, generator=stream(seed, "frozen draw", number))
    return noise if draw.shared else noise.expand(shape[0] // draw.rows, *draw.shape).reshape(shape)


def traced(call: PlayedCall, settle: Settle, name: str) -> tuple[Trace, Tensor]:
    """Trace a pipeline by calling it for one image and for two, and return those two as well, (2, 3, H, W).

    Where two do not fit into memory it is called for one, and every draw counts as the candidate's own.

    Args:
        call: Call of the pipeline.
        settle: Function that is given, before anything else, a call with always the same noise, and a number of images;
            it renders one image, and at last that number as images will be rendered from then on.
        name: Name of the pipeline.
    Raises:
        InputError: The pipeline cannot be called or does not render images, or not even one fits into memory.
        TapeError: A draw does not grow with the number of images as it should.
    """
    try:
        played = _tried(call, settle, 2)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        with memory_named(None):
            played = _tried(call, settle, 1)
    except InputError:
        raise
    except (TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{name} cannot be called like this: {error}") from error
    shapes = [playback.shapes for _, playback in played.values()]
    if len({len(one) for one in shapes}) > 1:
        raise TapeError(f"{name} makes {len(shapes[0])} draws for one image and {len(shapes[1])} for two.")
    decodings = played[1][1].decodings
    n, (images, last) = played.popitem()
    draws = []
    for number, in_step in enumerate(last.in_step):
        own = _own(in_step, [(count, one[number]) for count, one in enumerate(shapes, 1)])
        if own is None:
            seen = " and ".join(str(one[number]) for one in shapes)
            raise TapeError(f"{name} draws noise without a batch axis ({seen}); it cannot be searched.")
        draws.append(own)
    return Trace(tuple(draws), last.denoiser_rows // n, last.denoiser_calls, decodings), images


def _tried(call: PlayedCall, settle: Settle, most: int) -> dict[int, tuple[Tensor, Playback]]:
    """Return the last call for one image and for `most`."""
    played: dict[int, tuple[Tensor, Playback]] = {}

    def render(n: int) -> Tensor:
        played[n] = call(n, tracing)
        return played[n][0]

    with torch.no_grad():
        settle(render, most)
    return played


def tracing(number: int, shape: tuple[int, ...]) -> Tensor:
    """Return the noise of a draw in a traced call, the same for all candidates."""
    return torch.randn(shape[1:], generator=stream(0, "recording", number)).expand(shape)


def _own(in_step: bool, seen: Sequence[tuple[int, tuple[int, ...]]]) -> Draw | None:
    """Return the draw of one candidate, from its shapes for several numbers of images; None if they do not fit."""
    shapes = {shape for _, shape in seen}
    if len(seen) > 1 and len(shapes) == 1:
        return Draw(shapes.pop(), in_step, shared=True)
    if any(not shape or shape[0] % n for n, shape in seen):
        return None
    own = {(shape[0] // n, *shape[1:]) for n, shape in seen}
    if len(own) > 1:
        return None
    rows, *rest = own.pop()
    return Draw((rows, *rest) if rows > 1 else tuple(rest), in_step, rows=rows)


def influential(
    call: PlayedCall, trace: Trace, numbers: Sequence[int], batch_size: int, seed: int, name: str, seen: Tensor | None
) -> list[int]:
    """Return the numbers of the draws that change the image.

    Each row of a call has one draw replaced; the last row has none and shows that candidates do not mix. Rendering is
    what it costs, so a call has no more rows than that takes, and the traced images serve again.

    Args:
        call: Call of the pipeline.
        trace: Trace of the pipeline.
        numbers: Numbers of the draws in question.
        batch_size: Number of images that a call may render.
        seed: Seed of the noise that replaces a draw.
        name: Name of the pipeline.
        seen: Images of the traced call; None where the networks may give other numbers by now.
    Raises:
        TapeError: The draws do not determine the image, or candidates mix.
        InputError: The images hold NaN.
    """
    n = min(batch_size, len(numbers) + 1)
    if not numbers:
        return []
    with torch.no_grad():
        before = seen if seen is not None and len(seen) == n else call(n, tracing)[0]
        if bool(before.isnan().any()):
            raise InputError(
                f"{name} draws images that are not numbers (NaN) from plain Gaussian noise: its numbers overflow in "
                f"{str(before.dtype).removeprefix('torch.')}. Use dtype bfloat16 or float32."
            )
        kept: list[int] = []
        size = max(1, n - 1)
        for start in range(0, len(numbers), size):
            some = numbers[start : start + size]
            after = call(n, _probe(trace, some, seed))[0]
            # A row without a replaced draw shows both: where it differs, a repeated call tells which of them it is.
            if n == 1 or not torch.equal(before[len(some) :], after[len(some) :]):
                if not torch.equal(before, call(n, tracing)[0]):
                    raise TapeError(
                        f"{name} gives two images for the same noise: something other than its Gaussian draws decides "
                        "the image. Use a scheduler whose noise comes from torch.randn."
                    )
                if n > 1:
                    raise TapeError(f"{name} mixes the noise of the images of a batch; use batch_size 1.")
            kept += [number for row, number in enumerate(some) if not torch.equal(before[row], after[row])]
    return kept


def _probe(trace: Trace, numbers: Sequence[int], seed: int) -> DrawSource:
    def source(number: int, shape: tuple[int, ...]) -> Tensor:
        noise = tracing(number, shape)
        if number in numbers:
            draw, noise = trace.draws[number], noise.clone()
            row = slice(numbers.index(number) * draw.rows, (numbers.index(number) + 1) * draw.rows)
            other = torch.randn(draw.shape, generator=stream(seed, "probe", number))
            noise[row] = other.reshape(noise[row].shape)
        return noise

    return source
