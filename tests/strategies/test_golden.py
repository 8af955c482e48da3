"""Recorded best-so-far curves on the shifted sphere. `UPDATE_GOLDEN=1` writes them anew; read the diff."""

import json
import os
from pathlib import Path

import pytest
import torch

from tests.support.play import NAMES, fit_briefly, make, play, shifted_sphere

GOLDEN = Path(__file__).parent / "golden" / "shifted_sphere.json"
RELATIVE = 1e-3  # sums in another order (BLAS, numpy) may change the last digits and with them a rank
MODELLED = {"turbo": 2}  # populations before its model proposes, whose fit ends elsewhere on another processor


BRIEF = {"surrogate": 6}  # populations in the fast set, of strategies that take seconds for all 20
SLOW = MODELLED | BRIEF


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) if n in SLOW else n for n in NAMES])
def test_curve_is_the_recorded_one(name: str) -> None:
    curve = curve_of(name)
    recorded = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}
    if os.environ.get("UPDATE_GOLDEN") == "1":
        recorded[name] = curve
        GOLDEN.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n")
    check(name, curve, recorded)


@pytest.mark.parametrize("name", BRIEF)
def test_the_curve_begins_as_recorded(name: str) -> None:
    recorded, curve = json.loads(GOLDEN.read_text())[name], curve_of(name, populations=BRIEF[name])
    assert recorded[: BRIEF[name]] == pytest.approx(curve, rel=RELATIVE)


def test_the_curve_of_turbo_begins_as_recorded_and_rises_with_its_model(monkeypatch: pytest.MonkeyPatch) -> None:
    fit_briefly(monkeypatch)
    recorded = json.loads(GOLDEN.read_text())["turbo"]
    curve = curve_of("turbo", populations=4)
    assert recorded[: MODELLED["turbo"]] == pytest.approx(curve[: MODELLED["turbo"]], rel=RELATIVE)
    assert curve[-1] - curve[0] > 0.5 * (recorded[3] - recorded[0])


@pytest.mark.slow
def test_turbo_gains_as_much_with_brief_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    fit_briefly(monkeypatch)
    monkeypatch.setattr("zo_dno.strategies.turbo._POINTS", 300)
    check("turbo", curve_of("turbo"), json.loads(GOLDEN.read_text()))


def curve_of(name: str, populations: int = 20) -> list[float]:
    asked = play(make(name, d=64, seed=1, horizon=160, population=8), shifted_sphere, populations)
    bests = torch.stack([shifted_sphere(z).max() for z in asked]).cummax(0).values
    return [round(value, 5) for value in bests.tolist()]


def check(name: str, curve: list[float], recorded: dict[str, list[float]]) -> None:
    assert name in recorded, "UPDATE_GOLDEN=1 records the first curve"
    same = MODELLED.get(name, len(curve))
    assert recorded[name][:same] == pytest.approx(curve[:same], rel=RELATIVE), "UPDATE_GOLDEN=1 records the new curve"
    gain, recorded_gain = curve[-1] - curve[0], recorded[name][-1] - recorded[name][0]
    assert gain == pytest.approx(recorded_gain, rel=0.5), "UPDATE_GOLDEN=1 records the new curve"
