"""Searching with few steps, and asking again about the best of it at full steps."""

import json

import numpy as np
import pytest
import torch
from scipy import stats
from typer.testing import CliRunner

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.run.config import validated
from zo_dno.run.draft import optimize_draft, resume_draft, run_draft
from zo_dno.storage.atomic import read_yaml, write_whole
from zo_dno.strategies.listed import Listed
from zo_dno.strategy import Problem
from zo_dno.ui.cli.main import app


class Blurred(ToyGenerator):
    """The toy, with noise of its own on top: what few steps draw of what full steps do."""

    model = "blurred toy"

    def __init__(self, strength: float) -> None:
        super().__init__()
        self._map = self._map + strength * torch.randn(self._map.shape, generator=torch.Generator().manual_seed(3))


def drafted(strength=0.03, **options):
    return optimize_draft(Blurred(strength), ToyGenerator(), "brightness", queries=96, seed=1, **options)


def test_the_winner_is_the_best_as_full_steps_draw_it():
    found = drafted(redraw=8)
    rewards = [query.value for query in found.full.history]
    assert found.full.best.reward == max(rewards)
    assert found.full.model == "toy"
    z = found.full.best.z[None]
    image = ToyGenerator()(z)[0].numpy()
    assert found.full.best.reward == pytest.approx(image.mean() / 255)
    assert torch.equal(found.full.first.z, found.draft.first.z)
    prior = zo_dno.optimize(ToyGenerator(), "brightness", "random_search", queries=96)
    assert found.full.best.reward > prior.best.reward


def test_every_new_best_and_the_best_different_ones_are_asked_about_again_once():
    found = drafted(redraw=8)
    wanted = {one.id: one.z for one in (found.draft.first, *found.draft.improvements, *found.draft.top)}
    assert found.redrawn == len(wanted)
    assert 8 <= found.redrawn <= 8 + len(found.draft.improvements)


def test_agreement_is_spearmans_rank_correlation_of_both_rewards():
    found = drafted()
    chosen = list({one.id: one for one in (found.draft.first, *found.draft.top, *found.draft.improvements)}.values())
    full = [query.value for query in found.full.history]
    wanted = stats.spearmanr([one.reward for one in chosen], full).statistic
    assert found.agreement == pytest.approx(wanted)
    low, high = found.interval
    assert low < found.agreement < high
    assert f"{found.redrawn} of 96 candidates" in str(found)


def test_a_draft_that_tells_nothing_is_warned_of(caplog):
    opposite = Blurred(0)
    opposite._map = -opposite._map
    found = optimize_draft(opposite, ToyGenerator(), "brightness", queries=96, seed=1)
    assert found.agreement < 0.5
    assert "Few steps hardly tell what full steps will be" in caplog.text


def test_both_runs_are_kept(tmp_path):
    found = drafted(out=tmp_path / "run")
    names = {path.name for path in (tmp_path / "run").iterdir()}
    assert names == {"draft", "full", "draft.json", "drafted.safetensors"}
    figures = json.loads((tmp_path / "run" / "draft.json").read_text())
    assert figures["agreement"] == pytest.approx(found.agreement)
    assert (tmp_path / "run" / "full" / "best.png").exists()


def test_other_noise_is_refused():
    with pytest.raises(InputError, match=r"draft must have the noise of full"):
        optimize_draft(ToyGenerator(24), ToyGenerator(), "brightness", queries=16)


ARGUMENTS = [
    "run",
    "--prompt",
    "sea at dusk",
    "--reward",
    "brightness",
    "--queries",
    "24",
    "--steps",
    "4",
    "--threads",
    "1",
]


@pytest.mark.slow
def test_the_command_searches_with_few_steps_and_can_be_gone_on_with(tmp_path):
    out = tmp_path / "run"
    shown = CliRunner().invoke(app, [*ARGUMENTS, "--draft", "2", "--out", str(out)])
    assert shown.exit_code == 0, shown.output
    assert "rank correlation" in shown.output.replace("\n", " ")
    whole = json.loads((out / "full" / "result.json").read_text())
    for path in (out / "full").iterdir():  # as if it had been killed between the two
        path.unlink() if path.is_file() else [*map(type(path).unlink, path.iterdir()), path.rmdir()]
    (out / "full").rmdir()
    again = resume_draft(out)
    assert again.full.best.reward == whole["best"]["reward"]
    assert again.draft.queries == 24
    assert again.full.best.sha256 == whole["best"]["image"]


class Priced(zo_dno.Reward):
    """The brightness of an image at a price, which counts its calls."""

    name, unit, policy = "priced", "grey levels", zo_dno.CallPolicy(price=1.0, in_flight=1)

    def __init__(self):
        self.calls = 0

    def __call__(self, images, prompts):
        self.calls += len(images)
        return [float(np.asarray(image).mean()) for image in images]


@pytest.mark.parametrize("cap", [40.0, 70.0])
def test_the_cap_holds_for_both_runs_together(cap):
    reward = Priced()
    found = optimize_draft(Blurred(0.03), ToyGenerator(), reward, "snes", queries=96, seed=1, redraw=8, max_cost=cap)
    assert reward.calls == found.draft.cost + found.full.cost <= cap
    assert found.draft.stopped_by == "cost"
    assert found.full.queries >= 8
    with pytest.raises(InputError, match=r"max_cost must be more than 9, which scoring 9 candidates again costs"):
        optimize_draft(Blurred(0.03), ToyGenerator(), Priced(), "snes", queries=96, redraw=8, max_cost=9.0)


def test_an_interrupted_draft_asks_nothing_at_full_steps(tmp_path):
    stop, reward = zo_dno.Stop(), Priced()
    found = optimize_draft(
        *(Blurred(0.03), ToyGenerator(), reward, "snes"), queries=96, stop=stop, on_step=lambda step: stop(), seed=1
    )
    assert found.full is None
    assert found.result.status == "interrupted"
    assert reward.calls == found.draft.queries < 96
    assert "its best are scored at full steps at its end" in str(found)


@pytest.mark.slow
def test_changes_of_a_resumed_draft_are_carried_out_or_refused(tmp_path):
    out = tmp_path / "run"
    config = validated({"prompt": "sea at dusk", "steps": 4, "threads": 1, "reward": "brightness", "queries": 16})
    with pytest.raises(RuntimeError, match="stop here"):
        run_draft(config, 2, out, _stopping)
    found = resume_draft(out, queries=24)
    assert (found.draft.queries, found.draft.status) == (24, "finished")
    with pytest.raises(
        InputError, match="queries must stay 24 once the best of the draft are scored at full steps; got"
    ):
        resume_draft(out, queries=32)
    with pytest.raises(InputError, match="seed must stay as it was"):
        resume_draft(out, seed=3)
    with pytest.raises(InputError, match=r"target must stay None once .* got 1\.0"):
        resume_draft(out, target=1.0)
    again = resume_draft(out, ray="local", top=3, held_out=["contrast"], policy={"attempts": 2})
    assert again.full.queries == found.full.queries
    assert len(again.full.top) == 3
    assert again.full.held_out["contrast"][1] is not None
    assert read_yaml(out / "draft" / "config.yaml")["policy"] == {"attempts": 2}


def _stopping(step):
    raise RuntimeError("stop here")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--draft", "4"], "draft must be fewer steps than 4; got 4"),
        (["--draft", "2", "--search", "all"], "draft must come with search 'initial'; got 'all'"),
    ],
)
def test_what_a_draft_cannot_do_is_refused_before_anything_is_written(arguments, message, tmp_path):
    shown = CliRunner().invoke(app, [*ARGUMENTS, *arguments, "--out", str(tmp_path / "run")])
    assert shown.exit_code != 0
    assert message in str(shown.exception or "") + shown.output
    assert not (tmp_path / "run").exists()


def test_files_of_the_user_stay_in_a_folder_that_is_refused(tmp_path):
    names = {".viminfo.1", ".notes.2024", ".draft.4711.yaml", "thesis.txt"}
    for name in names:
        (tmp_path / name).touch()
    config = validated({"prompt": "sea at dusk", "steps": 4, "threads": 1})
    with pytest.raises(InputError, match="out must be a new folder"):
        run_draft(config, 2, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == names


def test_listed_noise_is_asked_about_as_it_is(tmp_path):
    from safetensors.torch import save_file

    z = torch.randn(3, 12)
    write_whole(tmp_path / "noise.safetensors", lambda unfinished: save_file({"z": z}, unfinished))
    for noise in (z, str(tmp_path / "noise.safetensors")):
        strategy = Listed(Problem(12, 3, 0), noise=noise)
        for _ in range(2):
            candidates = strategy.ask()
            assert np.array_equal(candidates.z, z)
            strategy.tell(candidates, torch.zeros(3))


@pytest.mark.parametrize(
    ("noise", "message"),
    [(torch.zeros(3, 4), r"noise must be \(n, 12\); got \(3, 4\)"), ("x", r"safetensors file with z \(n, d\); got x")],
)
def test_other_noise_than_the_models_is_refused(noise, message):
    with pytest.raises(InputError, match=message):
        Listed(Problem(12, 3, 0), noise=noise)
