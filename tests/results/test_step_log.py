"""Runs in TensorBoard, MLflow and Weights & Biases, by the real packages where they are installed."""

import json
import struct
import time

import pytest

from tests.support import resuming
from tests.support.clocks import PATIENCE
from zo_dno.errors import InputError
from zo_dno.results import step_log

OFFLINE = {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}


def run(folder, service, **options):
    return resuming.run(folder, queries=16, log_to=service, held_out=[resuming.settled], **options)


@pytest.fixture
def offline(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in {**OFFLINE, "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}.items():
        monkeypatch.setenv(name, value)


def events(folder):
    """Read the numbers in TensorBoard's files: name -> queries -> value, and the names of images."""
    from tensorboardX.proto.event_pb2 import Event

    numbers, images = {}, set()
    for path in folder.glob("tensorboard/events.*"):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            event, content = Event.FromString(content[12 : 12 + length]), content[16 + length :]
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    numbers.setdefault(value.tag, {})[event.step] = value.simple_value
                elif value.HasField("image"):
                    images.add(value.tag)
    return numbers, images


def test_tensorboard_has_the_curve_the_image_and_held_out_rewards(tmp_path):
    result = run(tmp_path / "run", ["tensorboard"])
    numbers, images = events(tmp_path / "run")
    assert numbers["best_reward"].keys() == {8, 16}
    assert numbers["best_reward"][16] == pytest.approx(result.best.reward)
    assert numbers["held_out_settled_best"][16] == pytest.approx(result.held_out["settled"][1])
    assert images == {"best_image"}
    resumed = resuming.resume(tmp_path / "run", queries=24, held_out=[resuming.settled])
    assert events(tmp_path / "run")[0]["best_reward"][24] == pytest.approx(resumed.best.reward)


def test_a_service_that_fails_does_not_end_the_run(tmp_path, monkeypatch, caplog):
    class Failing:
        id = ""

        def __init__(self, *_):
            pass

        def numbers(self, values, queries):
            raise ConnectionError("<b>no network</b>")

    monkeypatch.setitem(step_log._OPENERS, "tensorboard", Failing)
    assert run(tmp_path / "run", "tensorboard").status == "finished"
    assert caplog.text.count("no longer logged to tensorboard: ConnectionError") == 1


def test_a_missing_package_is_named_before_anything_is_run(tmp_path, monkeypatch):
    monkeypatch.setattr(step_log, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs the package wandb; got none. Install it: pip install wandb"):
        run(tmp_path / "run", ["wandb"])
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_mlflow_has_one_run_for_both_sessions(tmp_path, offline):
    pytest.importorskip("mlflow", reason="needs mlflow")
    from mlflow.tracking import MlflowClient  # pyright: ignore[reportMissingImports]

    result = run(tmp_path / "run", ["mlflow"])
    name = json.loads((tmp_path / "run" / step_log.IDS).read_text())["mlflow"]
    client = MlflowClient()
    assert [one.value for one in client.get_metric_history(name, "best reward")][-1] == result.best.reward
    assert client.get_run(name).data.params["strategy"] == "snes"
    resuming.resume(tmp_path / "run", queries=24, held_out=[resuming.settled])
    assert client.get_metric_history(name, "best reward")[-1].step == 24
    assert client.get_run(name).info.status == "FINISHED"


def contents(folder, name):
    return [file.read_text(encoding="latin-1") for file in (folder / "wandb").glob(f"offline-run-*/run-{name}.wandb")]


@pytest.mark.slow
def test_wandb_offline_keeps_the_run_on_this_machine(tmp_path, offline):
    pytest.importorskip("wandb", reason="needs wandb")
    run(tmp_path / "run", ["wandb"])
    name = json.loads((tmp_path / "run" / step_log.IDS).read_text())["wandb"]
    resuming.resume(tmp_path / "run", queries=24, held_out=[resuming.settled])
    until = time.monotonic() + PATIENCE  # a process of wandb writes the files
    while not all("best reward" in content for content in contents(tmp_path, name)) and time.monotonic() < until:
        time.sleep(0.1)
    assert contents(tmp_path, name)
    assert all("best reward" in content for content in contents(tmp_path, name))
    assert json.loads((tmp_path / "run" / step_log.IDS).read_text())["wandb"] == name
