"""The folder of a run: what is written where, and reading a noise back."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zo_dno.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from zo_dno.result import Result

NOISE_FILE = "best.safetensors"


class RunFolder:
    """A new folder for one run.

    Args:
        path: must not exist, or be empty.
    Raises:
        InputError: it holds something, or it cannot be written to.
    """

    def __init__(self, path: Path) -> None:
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise InputError(f"out must be a new folder; {path} exists. Name another, or remove it.")
        try:
            path.mkdir(parents=True, exist_ok=True)
            (path / ".writable").touch()
            (path / ".writable").unlink()
        except OSError as error:
            raise InputError(f"out must be a folder that can be written to; {path}: {error.strerror}.") from error
        self.path = path

    @classmethod
    def check(cls, path: Path) -> None:
        """Find out whether a run could have this folder, and leave nothing behind.

        Raises:
            InputError: it could not.
        """
        new = [folder for folder in (path, *path.parents) if not folder.exists()]
        cls(path)
        for folder in new:
            folder.rmdir()

    @property
    def ledger(self) -> Path:
        """The table of queries."""
        return self.path / "ledger.db"

    def write_config(self, config: dict[str, Any]) -> None:
        """Keep what the run was asked to do, in a form that `zo-dno run` takes."""
        import yaml

        known = {key: value for key, value in config.items() if value is not None or key == "min_log_prob"}
        (self.path / "config.yaml").write_text(yaml.safe_dump(known, sort_keys=False, allow_unicode=True))

    def write(self, result: "Result", threshold: float | None) -> None:
        """Keep everything that a run found."""
        from PIL import Image
        from safetensors.torch import save_file

        from zo_dno.report.progress import progress_figure
        from zo_dno.report.strip import strip

        result.first_image.save(self.path / "first.png")
        result.best_image.save(self.path / "best.png")
        strip(result.improvements, result.unit).save(self.path / "strip.png")
        progress_figure(result, threshold).savefig(self.path / "progress.png", dpi=130)
        save_file({"z": result.best.z.contiguous()}, self.path / NOISE_FILE)
        if len(result.top) > 1:
            (self.path / "top").mkdir(exist_ok=True)
            for place, found in enumerate(result.top, 1):
                Image.fromarray(found.image).save(self.path / "top" / f"{place:02d}.png")
                save_file({"z": found.z.contiguous()}, self.path / "top" / f"{place:02d}.safetensors")
        text = json.dumps(result.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        (self.path / "result.json").write_text(text + "\n")


def load_noise(path: Path) -> "Tensor":
    """Read z (d,) from a file that a run wrote.

    Raises:
        InputError: there is no such file, or it holds no noise.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = path / NOISE_FILE if path.is_dir() else path
    try:
        z: Tensor = load_file(path)["z"]
    except (OSError, KeyError, SafetensorError) as error:
        raise InputError(f"init must be a {NOISE_FILE} that a run wrote; got {path} ({error}).") from error
    return z
