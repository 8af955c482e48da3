"""A torchvision that was built for another torch: hidden where models are loaded, and named where one needs it."""

import importlib
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import zo_dno
from zo_dno.errors import InputError
from zo_dno.generators import torchvision_check
from zo_dno.generators.load_failures import loading
from zo_dno.generators.torchvision_check import torchvision_trouble, without_broken_torchvision

REASON = "operator torchvision::nms does not exist"


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """Install a torchvision that raises what a mismatched one raises, in a folder."""
    package, facts = tmp_path / "torchvision", tmp_path / "torchvision-0.28.0.dist-info"
    package.mkdir()
    facts.mkdir()
    (package / "__init__.py").write_text(f"raise RuntimeError({REASON!r})\n")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "torchvision", raising=False)
    caches = (torchvision_trouble, torchvision_check._warn_once)
    for cache in caches:
        cache.cache_clear()
    yield tmp_path
    for cache in caches:
        cache.cache_clear()


def test_it_is_hidden_while_models_are_loaded_and_said_once(broken, caplog):
    for _ in range(2):
        with without_broken_torchvision():
            assert importlib.util.find_spec("torchvision") is None
            with pytest.raises(ImportError):
                importlib.import_module("torchvision")
        assert importlib.util.find_spec("torchvision") is not None
    (remark,) = [one.getMessage() for one in caplog.records]
    assert remark.startswith("torchvision 0.28.0 does not fit torch ")
    assert f"({REASON}); models are loaded without it." in remark
    assert "pip uninstall torchvision" in remark


def test_a_model_that_needs_it_names_it_and_the_remedy(broken):
    with pytest.raises(InputError) as raised, loading("model", "m", "Give another."):
        importlib.import_module("torchvision")
    assert str(raised.value).startswith("model 'm' could not be loaded: torchvision 0.28.0 does not fit torch ")
    assert "Install the torchvision that was built for this torch" in str(raised.value)
    assert "Give another" not in str(raised.value)


def test_nothing_is_hidden_or_said_without_one(monkeypatch, caplog):
    torchvision_trouble.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with without_broken_torchvision():
        assert sys.modules.get("torchvision", "absent") is not None
    torchvision_trouble.cache_clear()
    assert not caplog.records


@pytest.mark.slow  # diffusers is imported once more; the fast tests above show what hides it
def test_the_built_in_model_does_without_it(broken):
    code = "import zo_dno; print(zo_dno.DiffusersGenerator.builtin('sea at dusk', steps=1, batch_size=1).layout.d)"
    path = os.pathsep.join([str(broken), str(Path(zo_dno.__file__).parents[1])])
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.stdout.split()[-1:] == ["1024"], done.stderr
    assert "models are loaded without it" in done.stderr
    assert "Loading" not in done.stderr, "progress bars, which a program's user did not ask for"
