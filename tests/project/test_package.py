"""The wheel holds everything and runs from anywhere; importing is light; the tables agree with what is there."""

import ast
import email
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.command_line import exit_code
from zo_dno.registry import load

ROOT = Path(__file__).parents[2]


def python(code: str, *path: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, path))
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    """Copy what git tracks, so that nothing untracked slips in."""
    source = tmp_path_factory.mktemp("source")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    for name in filter(None, listed.decode().split("\0")):
        if not (ROOT / name).is_symlink() and not (ROOT / name).exists():
            continue
        target = source / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / name).is_symlink():
            target.symlink_to(os.readlink(ROOT / name))
        else:
            target.write_bytes((ROOT / name).read_bytes())
    return source


@pytest.fixture(scope="module")
def wheel(source, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(source)]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (path,) = out.glob("*.whl")
    return path


def test_the_source_distribution_lists_what_its_tests_need(source):
    """And nothing that was compiled or built beside them."""
    left = ["tests/__pycache__/a.cpython-311.pyc", "rewards/__pycache__/b.cpython-311.pyc", "docs/_build/index.html"]
    for name in left:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    subprocess.run([sys.executable, "-c", "import setuptools; setuptools.setup()", "-q", "egg_info"], cwd=source)
    listed = set((source / "zo_dno.egg-info" / "SOURCES.txt").read_text().splitlines())
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert {name for name in tracked if not name.startswith(".") and (source / name).is_file()} <= listed
    assert not {*left} & listed


def test_the_wheel_holds_every_file_of_the_package(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in listed:
        top = name.split("/")[0]
        if top in ("rewards", "strategies") and name.endswith(".py"):
            assert f"zo_dno/{name}" in names
        elif top == "zo_dno" and (ROOT / name).is_file() and not (ROOT / name).is_symlink():
            assert name in names
    assert not [name for name in names if name.startswith(("rewards/", "strategies/", "tests/"))]


def test_the_wheel_is_imported_from_another_folder(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as file:
        file.extractall(tmp_path / "site", [name for name in file.namelist() if name.endswith(".py")])
    code = "import sys, zo_dno.ui.cli.main, zo_dno.rewards.jpeg, zo_dno.strategies\n"
    code += "print({module.__file__ for name, module in sys.modules.items() if name.split('.')[0] == 'zo_dno'})"
    done = python(code, tmp_path / "site", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    files = ast.literal_eval(done.stdout)
    assert len(files) > 10
    assert all(Path(file).is_relative_to(tmp_path / "site") for file in files)


@pytest.fixture(scope="module")
def requirements(wheel) -> list[Requirement]:
    """Return what the wheel asks pip for, those of extras included."""
    with zipfile.ZipFile(wheel) as file:
        (name,) = (name for name in file.namelist() if name.endswith(".dist-info/METADATA"))
        return [Requirement(line) for line in email.message_from_bytes(file.read(name)).get_all("Requires-Dist", [])]


def test_the_wheel_leaves_a_torch_that_is_there_alone(requirements):
    (torch,) = (one.specifier for one in requirements if one.name == "torch")
    assert all(torch.contains(version) for version in ("2.6.0", "2.6.0+cu124", "2.11.0", "2.13.0+cpu", "2.15.0"))
    assert not torch.contains("2.5.1")
    exact = [one for one in requirements if any(clause.operator in ("==", "===") for clause in one.specifier)]
    assert not exact, "exact versions belong into constraints.txt"


def test_the_wheel_installs_what_runs_need_and_nothing_for_developers(requirements):
    default = {one.name: one.extras for one in requirements if one.marker is None}
    assert default.keys() >= {"torch", "diffusers", "nevergrad", "cma", "ray", "scipy", "pillow"}
    assert "tune" in default["ray"]
    assert not default.keys() & {"botorch", "lpips", "ipywidgets", "pytest", "mypy", "playwright", "sphinx", "optuna"}


def test_every_extra_that_an_error_names_exists():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [
        path.read_text() for folder in ("zo_dno", "rewards", "strategies") for path in ROOT.glob(f"{folder}/**/*.py")
    ]
    named = {extra for text in texts for extra in re.findall(r"pip install 'zo-dno\[(\w+)\]'", text)}
    assert named >= {"bayes", "lpips", "notebooks", "serve"}
    assert named <= project["optional-dependencies"].keys()


@pytest.mark.parametrize(("target", "whole"), [("demo", False), ("test", True)])
def test_the_demo_installs_what_runs_need_alone(target, whole, tmp_path):
    make = ["make", "--dry-run", target, f"VENV={tmp_path}/venv", f"PYTHON={sys.executable}"]
    steps = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "install --quiet --disable-pip-version-check -c constraints.txt -e .\n" in steps
    assert ("[dev]" in steps) == whole
    assert "torch==" not in steps


@pytest.mark.slow
def test_the_wheel_runs_from_another_folder(wheel, tmp_path):
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = """
import torch, zo_dno, zo_dno.rewards, zo_dno.strategies
assert "site" in zo_dno.__file__ and "site" in zo_dno.rewards.__file__, zo_dno.__file__
generator = zo_dno.FunctionGenerator(lambda z: (z.sigmoid() * 255).to(torch.uint8).reshape(-1, 4, 4, 3), (48,))
print(zo_dno.optimize(generator, "jpeg_smaller", queries=32).best.reward)
"""
    done = python(code, site, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 0


@pytest.mark.parametrize("name", ["rewards", "strategies"])
def test_the_bare_import_names_are_refused(name, tmp_path):
    done = python(f"import {name}", ROOT, cwd=tmp_path)
    assert f"as zo_dno.{name}, not as '{name}'" in done.stderr


@pytest.mark.slow
def test_a_bare_checkout_imports(tmp_path):
    done = python("import zo_dno.rewards.jpeg, zo_dno.strategies.snes", ROOT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_importing_is_light(tmp_path):
    code = "import sys, zo_dno, zo_dno.rewards, zo_dno.strategies, zo_dno.ui.cli.main\n"
    code += "print([name for name in ('torch', 'diffusers', 'ray', 'numpy', 'scipy', 'cma') if name in sys.modules])"
    assert python(code, ROOT, cwd=tmp_path).stdout.strip() == "[]"


def test_a_reward_needs_no_torch(tmp_path):
    code = "import sys, zo_dno.oracle.oracle, zo_dno.rewards.jpeg, zo_dno.rewards.brightness\n"
    code += "print('torch' in sys.modules)"
    assert python(code, ROOT, cwd=tmp_path).stdout.strip() == "False"


RUN = ["run", "--model", "tests.support.toys:ToyGenerator", "--prompt", "x", "--reward", "jpeg_smaller"]
RUN += ["--queries", "8", "--out", "out"]


def test_a_run_of_a_function_works_without_a_pipelines_library(tmp_path, monkeypatch):
    """All modules import one inside functions, so that none is loaded with the modules that are there already."""
    libraries = ("diffusers", "transformers")
    for folder in ("zo_dno", "rewards", "strategies"):
        for path in ROOT.glob(f"{folder}/**/*.py"):
            assert not re.search(rf"^(from|import) ({'|'.join(libraries)})\b", path.read_text(), re.MULTILINE), path
    for name in [*libraries, *(name for name in sys.modules if name.startswith(tuple(f"{one}." for one in libraries)))]:
        monkeypatch.setitem(sys.modules, name, None)  # whose import fails
    monkeypatch.chdir(tmp_path)
    assert exit_code(RUN) == 0


@pytest.mark.slow
def test_a_run_of_a_function_loads_no_pipelines_library(tmp_path):
    """Which takes seconds; the command says what libraries may print before any of them is there."""
    code = f"import sys; from zo_dno.ui.cli.main import app; app({RUN}, standalone_mode=False); "
    run = python(f"{code}assert not {{'diffusers', 'transformers'}} & set(sys.modules)", ROOT, cwd=tmp_path)
    assert run.returncode == 0, run.stderr[-1000:]


@pytest.mark.parametrize("kind", ["rewards", "strategies"])
def test_every_file_is_in_the_table_and_every_entry_loads(kind):
    module = __import__(f"zo_dno.{kind}", fromlist=["x"])
    table = getattr(module, kind.upper())
    for name in table:
        assert load(kind, table, name).__doc__


def test_constraints_pin_every_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + [one for extra in project["optional-dependencies"].values() for one in extra]
    pinned = {
        line.split("==")[0].lower().replace("_", "-") for line in (ROOT / "constraints.txt").read_text().split("\n")
    }
    for requirement in wanted:
        name = requirement.split("[")[0].split("=")[0].split(">")[0].strip().lower().replace("_", "-")
        assert name == "zo-dno" or name in pinned, requirement


def test_nothing_of_the_machine_is_in_a_file():
    text = (ROOT / "constraints.txt").read_text() + (ROOT / "pyproject.toml").read_text()
    assert "file:" not in text
    assert "http://" not in text
    assert "torch==2.13.0\n" in text


@pytest.mark.parametrize(
    "command",
    ["list", "show old/finished", "--help", "run --help", "serve-reward jpeg_smaller --port 0", "watch old --port 0"],
)
@pytest.mark.fast_cases(2)
def test_commands_that_render_nothing_import_no_torch(command, tmp_path):
    (tmp_path / "old").symlink_to(ROOT / "tests" / "storage" / "old_runs")
    code = f"""
import sys
from zo_dno.ui.cli.main import app
import zo_dno.web.server
zo_dno.web.server.WebServer.run = lambda self: None
try:
    app({command.split()!r})
except SystemExit as end:
    assert not end.code
print(sorted({{"torch", "diffusers", "ray", "pandas", "matplotlib"}} & set(sys.modules)))
"""
    done = python(code, ROOT, cwd=tmp_path)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr


def test_windows_is_refused_in_one_line(tmp_path):
    code = "import os; os.name = 'nt'\ntry:\n    import zo_dno\nexcept ImportError as error:\n    print(error)"
    assert "zo-dno needs Linux or macOS" in python(code, ROOT, cwd=tmp_path).stdout


@pytest.mark.parametrize("method", ["read_text", "write_text"])
def test_text_files_are_read_and_written_as_utf8(method):
    """The linter sees this only where it knows the type of the path."""
    calls = [
        (path, call)
        for folder in ("zo_dno", "rewards", "strategies")  # glob does not follow the links to the last two
        for path in ROOT.glob(f"{folder}/**/*.py")
        for call in re.findall(rf"\.{method}\((?:[^()]|\([^()]*\))*\)", path.read_text())
    ]
    assert calls
    assert not [(path, call) for path, call in calls if not re.search(r"encoding=(['\"])utf-8\1", call)]


@pytest.mark.parametrize("own", ["", "ACTIVE"])
def test_threads_sleep_while_they_wait_unless_the_user_says_otherwise(own):
    """Spinning ones took minutes for what takes seconds where others use the processors."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    asked = "import sys, os, zo_dno; print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    said = subprocess.run(
        [sys.executable, "-c", asked],
        env=environment | ({"OMP_WAIT_POLICY": own} if own else {}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout.split() == ["False", own or "PASSIVE"]
