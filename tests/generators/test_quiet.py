"""What libraries remark on the built-in model is kept out of notebooks, and their settings return."""

import os
import sys
from types import SimpleNamespace

import pytest

from zo_dno.generators.quiet import without_remarks


class Settings(SimpleNamespace):
    """The settings of a library, of which these are used."""

    level, bars = 30, True

    def get_verbosity(self):
        return self.level

    def set_verbosity(self, level):
        self.level = level

    def set_verbosity_error(self):
        self.level = 40

    def is_progress_bar_enabled(self):
        return self.bars

    def enable_progress_bar(self):
        self.bars = True

    def disable_progress_bar(self):
        self.bars = False


@pytest.mark.parametrize(("level", "bars"), [(30, True), (10, True), (40, False)])
def test_settings_return(monkeypatch, level, bars):
    diffusers, transformers = Settings(level=level, bars=bars), Settings(level=40, bars=False)
    monkeypatch.setitem(sys.modules, "diffusers.utils.logging", diffusers)
    monkeypatch.delitem(sys.modules, "transformers.utils.logging", raising=False)
    monkeypatch.delenv("TRANSFORMERS_VERBOSITY", raising=False)
    with without_remarks():
        assert (diffusers.level, diffusers.bars) == (40, False)
        monkeypatch.setitem(sys.modules, "transformers.utils.logging", transformers)  # imported meanwhile
    assert (diffusers.level, diffusers.bars) == (level, bars)
    assert (transformers.level, transformers.bars) == (30, True), "as after an import without it"


def test_what_the_environment_says_stays(monkeypatch):
    """As inside of a command, which is quiet to its end."""
    diffusers = Settings(level=40, bars=False)
    monkeypatch.delitem(sys.modules, "diffusers.utils.logging", raising=False)
    monkeypatch.setenv("DIFFUSERS_VERBOSITY", "error")
    with without_remarks():
        monkeypatch.setitem(sys.modules, "diffusers.utils.logging", diffusers)
    assert (diffusers.level, diffusers.bars) == (40, False)
    assert os.environ["DIFFUSERS_VERBOSITY"] == "error"


@pytest.mark.slow  # where nothing else has imported them yet; the stand-ins above are their fast twin
def test_real_libraries_have_these_settings():
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    for real in (diffusers_logging, transformers_logging):
        used = [name for name in vars(Settings) if not name.startswith("_") and name not in ("level", "bars")]
        assert all(callable(getattr(real, name)) for name in used), real
