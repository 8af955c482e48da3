"""A pipeline whose Gaussian draws come from elsewhere: its call, its trace, and the draws that are not searched."""

import copy
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from zo_dno.generators.latents import FinalLatents, LatentsFoundError
from zo_dno.generators.no_effect import say_what_is_ignored, say_what_is_not_searched
from zo_dno.generators.pipeline_call import PipelineCall
from zo_dno.generators.tape import Around, DrawSource, Playback, Tape, TapeError
from zo_dno.generators.trace import frozen, influential, traced, tracing


class PlayedPipeline:
    """Calls a pipeline with some of its draws given, and the others fixed by a seed.

    Args:
        pipeline: Pipeline of diffusers.
        call: Call of the pipeline.
        name: Name of the model, for messages.
        seed: Seed of the draws that are not given.
    Attributes:
        call: Call of the pipeline.
        tape: Tape that replaces its draws.
        trace: Draws of the call.
    Raises:
        InputError: The pipeline cannot be called or does not render images.
        TapeError: Its draws cannot be replaced.
    """

    def __init__(self, pipeline: Any, call: PipelineCall, name: str, seed: int) -> None:
        self._pipeline, self.call, self._name, self._seed = pipeline, call, name, seed
        self.tape = Tape(pipeline)
        self.trace, self._seen = traced(self.play, call.settle, name)
        say_what_is_ignored(pipeline, call.arguments, self._without, self._seen)

    def with_prompt(self, prompt: str) -> "PlayedPipeline":
        """Return the same for another prompt."""
        other = copy.copy(self)
        other.call = self.call.with_prompt(prompt)
        return other

    def play(self, n: int, source: DrawSource, around: Around | None = None) -> tuple[Tensor, Playback]:
        """Call the pipeline once with all its draws taken from `source`."""
        with self.tape.playing(source, around) as playback:
            images = self.call(n)
        return images, playback

    def images(self, rows: Mapping[int, Tensor], n: int, around: Around | None = None) -> Tensor:
        """Render n images, (n, 3, H, W) float.

        Args:
            rows: Draws by their numbers, (n, *shape) each.
            n: Number of images.
            around: Wrapper of the calls of networks.
        Raises:
            TapeError: The pipeline draws something else than in its trace.
        """
        images, playback = self.play(n, self._source(rows, n), around)
        self.trace.check_count(len(playback.shapes))
        return images

    def latents(self, rows: Mapping[int, Tensor], n: int) -> Tensor:
        """Return the final latents of n images, (n, *shape) float32 on the CPU.

        Raises:
            TapeError: The pipeline decodes something else than latents of each image.
        """
        images, found = None, FinalLatents(n, self.trace.decodings)
        source = self._source(rows, n)
        with self.tape.playing(source, on_decode=found) as playback, suppress(LatentsFoundError):
            images = self.call(n)
        self.trace.check_count(len(playback.shapes))
        return found.joined(images)

    def searched(self, *, all_draws: bool, batch_size: int, compiled: bool) -> list[int]:
        """Return the numbers of the draws to search, each of which changes the image.

        Args:
            all_draws: Whether draws in the scheduler's steps are searched as well.
            batch_size: Number of images that a call may render.
            compiled: Whether the networks are compiled by now, and may give other numbers than in the trace.
        Raises:
            TapeError: There are none, or the draws do not determine the image.
        """
        draws = self.trace.draws
        wanted = [i for i, draw in enumerate(draws) if not draw.shared and (all_draws or not draw.in_step)]
        seen = None if compiled else self._seen
        kept = influential(self.play, self.trace, wanted, batch_size, self._seed, self._name, seen)
        if not kept:
            what = "draws no noise" if not draws else "draws no noise that is searched and changes its image"
            remedy = "" if all_draws or not draws else " Try search='all'."
            raise TapeError(f"{self._name} {what}, so there is nothing to search.{remedy}")
        if all_draws and self.trace.calls > 1 and not any(draws[number].in_step for number in kept):
            say_what_is_not_searched(self._pipeline)
        return kept

    def forget(self) -> None:
        """Forget what only the choice of draws needs."""
        self.call.forget()
        del self._seen

    def _source(self, rows: Mapping[int, Tensor], n: int) -> DrawSource:
        """Return a source of draws: those in `rows` by their numbers, and the others by the seed."""

        def source(number: int, shape: tuple[int, ...]) -> Tensor:
            self.trace.check(number, shape, n)
            found = rows.get(number)
            if found is None:
                return frozen(self.trace.draws[number], number, shape, self._seed)
            return found.reshape(shape)

        return source

    def _without(self, argument: str) -> Tensor:
        """Render the images of the trace without an argument of the call."""
        call = self.call.without(argument)
        with torch.no_grad(), self.tape.playing(tracing):
            return call(len(self._seen))
