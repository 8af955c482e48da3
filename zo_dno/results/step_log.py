"""A run's progress in TensorBoard, MLflow and Weights & Biases."""

import json
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from zo_dno.errors import InputError
from zo_dno.failures import one_line
from zo_dno.storage.atomic import write_text
from zo_dno.storage.plain_json import parse_json

if TYPE_CHECKING:
    import numpy as np

    from zo_dno.results.result import Result
    from zo_dno.search.progress import Step

PACKAGES = {"tensorboard": "tensorboardX", "mlflow": "mlflow", "wandb": "wandb"}  # name -> package that is imported
IDS = "logged.json"  # file in a run's folder by which a resumed run is logged to the same one
_PROJECT = "zo-dno"
_ABOUT = ("prompt", "model", "reward", "strategy", "space", "seed", "queries")  # options that are logged
log = logging.getLogger(__name__)


class StepLog(Protocol):
    """A service that takes numbers and images.

    Attributes:
        id: Name of the run in the service, by which it can be continued; empty if it has none.
    """

    id: str

    def numbers(self, values: Mapping[str, float], queries: int) -> None:
        """Log numbers at a number of queries."""
        ...

    def image(self, image: "np.ndarray", queries: int) -> None:
        """Log the best image (H, W, 3) uint8 at a number of queries."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


def check_installed(names: Sequence[str]) -> None:
    """Check that the packages of services are installed.

    Raises:
        InputError: One of them is not.
    """
    for name in names:
        if find_spec(PACKAGES[name]) is None:
            raise InputError(
                f"log_to {name} needs the package {PACKAGES[name]}; got none. Install it: pip install {PACKAGES[name]}"
            )


@contextmanager
def logged(
    names: Sequence[str], folder: Path | None, options: Mapping[str, Any]
) -> "Iterator[tuple[Callable[[Step], None], Callable[[Result], None]]]":
    """Log a run to services inside the block. A service that fails is left out, with a warning; the run continues.

    Args:
        names: Names of the services.
        folder: Folder of the run; None if it has none.
        options: Options of the run.
    Yields:
        Functions that log the progress after a population, and the result.
    """
    about = {name: one_line(str(options[name]), 200) for name in _ABOUT if options.get(name) is not None}
    known = _ids(folder)
    services: dict[str, StepLog] = {}
    for name in names:
        if (service := _safely(name, partial(_OPENERS[name], folder, known.get(name, ""), about))) is not None:
            services[name] = service
    ids = {name: one.id for name, one in services.items() if one.id}
    if folder is not None and ids:
        write_text(folder / IDS, json.dumps(known | ids))
    shown: list[int] = []

    def for_each(use: "Callable[[StepLog], None]") -> None:
        for name, service in list(services.items()):
            if _safely(name, partial(_used, service, use)) is None:
                del services[name]

    def on_step(step: "Step") -> None:
        for_each(lambda service: service.numbers(_numbers(step), step.queries))
        if step.stage == "search" and step.best is not None and step.best.id not in shown[-1:]:
            shown.append(step.best.id)
            image = step.best.image
            for_each(lambda service: service.image(image, step.queries))

    def on_result(result: "Result") -> None:
        values = {"best reward at the end": result.best.reward, "first reward": result.first.reward}
        for name, (first, best) in result.held_out.items():
            values |= {f"held out {_plain(name)} first": first, f"held out {_plain(name)} best": best}
        for_each(lambda service: service.numbers(_known(values), result.queries))

    try:
        yield on_step, on_result
    finally:
        for_each(lambda service: service.close())


def _numbers(step: "Step") -> dict[str, float]:
    values = {
        "best reward": None if step.best is None else step.best.reward,
        "median log P": step.median_log_prob,
        "queries without a score": step.failed,
        "images per second": step.images_per_second,
        "cost": step.cost,
        "sigma": step.sigma,
    }
    return {name if step.stage == "search" else f"{step.stage} {name}": value for name, value in _known(values).items()}


def _known(values: Mapping[str, float | None]) -> dict[str, float]:
    return {name: float(value) for name, value in values.items() if value is not None and math.isfinite(value)}


def _plain(name: str) -> str:
    """Return a name of letters that all services take."""
    return "".join(letter if letter.isalnum() or letter in "_-. " else "_" for letter in one_line(name, 60))


def _used(service: StepLog, use: Callable[[StepLog], None]) -> StepLog:
    use(service)
    return service


def _safely(name: str, call: Callable[[], StepLog]) -> StepLog | None:
    """Return what a call returns, or None if it fails: that is a warning, since a run is worth more than its log."""
    try:
        return call()
    except Exception as error:  # packages and networks of others raise anything
        log.warning("the run is no longer logged to %s: %s", name, one_line(f"{type(error).__name__}: {error}", 300))
        return None


def _ids(folder: Path | None) -> dict[str, str]:
    try:
        found = parse_json((folder / IDS).read_bytes()) if folder is not None else {}
    except (OSError, ValueError):
        return {}
    return {str(name): str(id_) for name, id_ in found.items()} if isinstance(found, dict) else {}


class _TensorBoard:
    """Event files in the run's folder, or in ./runs where it has none."""

    id = ""

    def __init__(self, folder: Path | None, _: str, about: Mapping[str, str]) -> None:
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str((folder or Path("runs")) / "tensorboard"))
        self._writer.add_text("options", "\n\n".join(f"{name}: {value}" for name, value in about.items()))

    def numbers(self, values: Mapping[str, float], queries: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, queries)

    def image(self, image: "np.ndarray", queries: int) -> None:
        self._writer.add_image("best image", image, queries, dataformats="HWC")

    def close(self) -> None:
        self._writer.close()


class _MLflow:
    """A run of the tracking server that MLFLOW_TRACKING_URI names."""

    def __init__(self, folder: Path | None, known: str, about: Mapping[str, str]) -> None:
        from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

        self._client = MlflowClient()
        if known:
            self._client.update_run(known, status="RUNNING")
            self.id = known
            return
        found = self._client.get_experiment_by_name(_PROJECT)
        experiment = found.experiment_id if found else self._client.create_experiment(_PROJECT)
        self.id = str(self._client.create_run(experiment, run_name=folder and folder.name).info.run_id)
        for name, value in about.items():
            self._client.log_param(self.id, name, value)

    def numbers(self, values: Mapping[str, float], queries: int) -> None:
        for name, value in values.items():
            self._client.log_metric(self.id, name, value, step=queries)

    def image(self, image: "np.ndarray", queries: int) -> None:
        self._client.log_image(self.id, image, key="best image", step=queries)

    def close(self) -> None:
        self._client.set_terminated(self.id)


class _WandB:
    """A run of Weights & Biases; WANDB_MODE=offline keeps it on this machine."""

    def __init__(self, folder: Path | None, known: str, about: Mapping[str, str]) -> None:
        import wandb  # pyright: ignore[reportMissingImports]

        name = folder and folder.name
        self._image = wandb.Image
        self._run = wandb.init(  # in ./wandb, as its links have no place in a run's folder
            project=_PROJECT,
            name=name,
            id=known or None,
            resume="allow",
            config=dict(about),
            reinit="create_new",
            settings=wandb.Settings(console="off", quiet=True),
        )
        self._run.define_metric("*", step_metric="queries")
        self.id = str(self._run.id)

    def numbers(self, values: Mapping[str, float], queries: int) -> None:
        self._run.log({**values, "queries": queries})

    def image(self, image: "np.ndarray", queries: int) -> None:
        self._run.log({"best image": self._image(image), "queries": queries})

    def close(self) -> None:
        self._run.finish()


_OPENERS: dict[str, Callable[[Path | None, str, Mapping[str, str]], StepLog]] = {
    "tensorboard": _TensorBoard,
    "mlflow": _MLflow,
    "wandb": _WandB,
}
