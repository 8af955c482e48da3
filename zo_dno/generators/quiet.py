"""Quiet libraries: the remarks of diffusers, transformers and stamina kept off the terminal."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Silence what diffusers and transformers say about their own files, and stamina about every retry."""
    import diffusers.utils.logging
    import transformers.utils.logging

    logging.getLogger("stamina").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        warnings.filterwarnings("ignore", category=UserWarning, module="diffusers|transformers|torch")
        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            library.utils.logging.disable_progress_bar()
        yield
