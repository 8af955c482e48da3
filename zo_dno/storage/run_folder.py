"""The folder of a run: the names of its files, and the lock of its one process."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.errors import InputError, ZoDnoError
from zo_dno.failures import one_line
from zo_dno.storage.atomic import remove_unfinished, write_yaml
from zo_dno.storage.checked_folder import check_folder
from zo_dno.storage.folder_lock import FolderLock
from zo_dno.storage.ledger import Ledger
from zo_dno.storage.noise_files import NOISE_FILE, write_noise
from zo_dno.storage.signature import SIGNATURE, sign

if TYPE_CHECKING:
    from torch import Tensor

CONFIG = "config.yaml"
LEDGER = "ledger.db"
RESULT = "result.json"
PROMPTS = "prompts.json"  # of a folder that holds a run for each of many prompts
SNAPSHOT = "strategy.safetensors"
INIT_FILE = "init.safetensors"
NEAR_FILE = "near.safetensors"  # the liked noise that the search stays near
KNOWLEDGE_FILE = "surrogate.safetensors"  # what the surrogate began with
LEARNED_FILE = "learned.safetensors"  # what the surrogate learned
FRONT_FIGURE, FRONT_SHEET, FRONT_FOLDER = "front.png", "front-images.png", "front"  # of several rewards
DIVERSE_SHEET, DIVERSE_FOLDER = "diverse.png", "diverse"  # good images that differ
ELITES_SHEET, ELITES_FOLDER = "elites.png", "elites"  # the best image of every cell of measures
FIGURE_FILES = tuple(f"figures/[a-z]*.{kind}" for kind in ("svg", "pdf", "png"))
WRITTEN = (
    *(CONFIG, SIGNATURE, RESULT, SNAPSHOT, INIT_FILE, NEAR_FILE, NOISE_FILE, KNOWLEDGE_FILE, LEARNED_FILE),
    *("failed.txt", "report.html", f"judge-{'[0-9a-f]' * 8}.json"),
    *("first.png", "best.png", "strip.png", "progress.png", "top/[0-9]*.png", "top/[0-9]*.safetensors"),
    *(FRONT_FIGURE, FRONT_SHEET, f"{FRONT_FOLDER}/[0-9]*.png", f"{FRONT_FOLDER}/[0-9]*.safetensors"),
    *(DIVERSE_SHEET, f"{DIVERSE_FOLDER}/[0-9]*.png", f"{DIVERSE_FOLDER}/[0-9]*.safetensors"),
    *(ELITES_SHEET, f"{ELITES_FOLDER}/[0-9]*.png", f"{ELITES_FOLDER}/[0-9]*.safetensors"),
    *FIGURE_FILES,
    *(f"images/{'[0-9a-f]' * 64}.png", "noise/*-[0-9]*.safetensors"),
)
"""Names of the files that are written whole into the folder of a run, or into a trial of a comparison."""


class RunFolder:
    """The folder of one run, locked by one process inside a `with` block; a killed process releases it as well.

    Args:
        path: Path of the folder.
        new: Whether the folder is for a new run, and must be absent or empty; otherwise it must hold a run.
    Raises:
        InputError: The folder does not fit, or cannot be written to.
    """

    def __init__(self, path: Path, *, new: bool = True) -> None:
        if new and is_used(path):
            unfinished = f", or resume it: zo-dno resume {path}" if (path / CONFIG).exists() else ""
            raise InputError(f"out must be a new folder; {path} exists. Name another, or remove it{unfinished}.")
        if not new:
            check_is_run(path)
        self.path = path
        self._before = set(path.iterdir()) if path.exists() else set()
        self._missing = [folder for folder in (path, *path.parents) if not folder.exists()]
        self._lock = FolderLock(path)
        make_folder(path, self._role(new))

    @classmethod
    def check(cls, path: Path) -> None:
        """Check that a new run could have this folder, and leave nothing behind.

        Raises:
            InputError: The folder is in use, or cannot be made.
        """
        new = [folder for folder in (path, *path.parents) if not folder.exists()]
        cls(path)
        for folder in new:
            folder.rmdir()

    @staticmethod
    def is_held(path: Path) -> bool:
        """Whether a process is working on a run."""
        return FolderLock.is_held(path)

    def __enter__(self) -> "RunFolder":
        self._lock.__enter__()
        if self._lock.certain:
            remove_unfinished(self.path, WRITTEN)
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.__exit__()

    @contextmanager
    def nothing_left_by_mistakes(self) -> Iterator[None]:
        """Remove what was written inside the block where a mistake of the caller ends it before its first query."""
        try:
            yield
        except InputError:
            if not self._has_queries():
                for one in set(self.path.iterdir()) - self._before:
                    shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()
                with suppress(OSError):  # another run may have begun beside it
                    for folder in self._missing:
                        folder.rmdir()
            raise

    def _has_queries(self) -> bool:
        if not self.ledger.exists():
            return False
        try:
            with closing(Ledger(self.ledger, read_only=True)) as ledger:
                return bool(ledger.all_queries())
        except ZoDnoError:
            return True

    @property
    def is_new(self) -> bool:
        """Whether the folder holds no run yet."""
        return not (self.path / CONFIG).exists()

    @property
    def ledger(self) -> Path:
        """Path of the table of queries."""
        return self.path / LEDGER

    @property
    def snapshot(self) -> Path:
        """Path of the strategy's last state, which runs with a price keep."""
        return self.path / SNAPSHOT

    def write_config(self, config: dict[str, Any]) -> None:
        """Write the run's options, in a form that `zo-dno run` takes."""
        known = {key: value for key, value in config.items() if value is not None or key == "min_log_prob"}
        sign(self.path, known)
        write_yaml(self.path / CONFIG, known)

    def write_given(self, name: str, z: "Tensor") -> None:
        """Write noise that the search was given: (d,) to start from, or (n, d) to stay near."""
        write_noise(self.path / name, z.detach().float().cpu())

    @staticmethod
    def _role(new: bool) -> str:
        return "out" if new else "run"


def make_folder(path: Path, name: str = "out") -> None:
    """Make a folder with those above it, where it is missing.

    Raises:
        InputError: It cannot be made or written to; the message calls it by `name`.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()  # which has no name, so that no file of the user can have it
    except OSError as error:
        raise InputError(f"{name} must be a folder that can be written to; {path}: {error.strerror}.") from error


def is_used(path: Path) -> bool:
    """Return whether a folder holds something, but for what was left by a run that was killed before its config.

    Raises:
        InputError: The path is invalid, or the folder cannot be read.
    """
    try:
        return path.exists() and (not path.is_dir() or any(_counts(one) for one in path.iterdir()))
    except OSError as error:  # such as a name that is too long, or a folder that cannot be read
        raise InputError(f"out must be a new folder; {one_line(str(path), 200)}: {error.strerror}.") from error


def _counts(file: Path) -> bool:
    """Whether a file makes a folder a used one; files of a run that was killed before its config do not."""
    return not file.name.startswith(".") and file.name not in (INIT_FILE, NEAR_FILE, KNOWLEDGE_FILE)


def check_is_run(path: Path) -> None:
    """Check that a folder holds a run, and nothing but plain files.

    Raises:
        InputError: The folder holds no run, or something else than plain files.
    """
    where = one_line(str(path), 200)
    try:
        found = (path / CONFIG).is_file()
    except OSError as error:  # such as a name that is too long
        raise InputError(f"run must be the folder of a run; {where}: {error.strerror}.") from error
    if not found:
        inside = min((*path.glob(f"*/{CONFIG}"), *path.glob(f"runs/*/{CONFIG}")), default=None)
        hint = f" Name a run in it, such as {one_line(str(inside.parent), 200)}." if inside else ""
        raise InputError(f"run must be the folder of a run; {where} has no {CONFIG}.{hint}")
    check_folder(path)
    if (path / PROMPTS).exists():
        runs = ", ".join(sorted(one.parent.name for one in path.glob(f"*/{CONFIG}")))
        raise InputError(f"run must be one run; {where} holds those of many prompts. Name one: {one_line(runs, 300)}.")
    if (path / RESULT).exists() and not (path / LEDGER).exists():
        raise InputError(f"run must have its scores; {LEDGER} is gone from {where}. Put it back, or start another.")


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Name the folder whose content does not fit together, where reading it fails inside the block.

    Raises:
        InputError: Reading failed, since the content does not fit together.
    """
    try:
        yield
    except ZoDnoError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError) as error:
        reason = one_line(f"{type(error).__name__}: {error}", 200)
        raise InputError(f"run {path} is damaged, or was written by a later version ({reason}).") from error
