"""Runs that start from what earlier prompts taught, and leave what they learned."""

import shutil

import pytest
import yaml

import zo_dno
from tests.support.command_line import exit_code
from zo_dno.errors import InputError
from zo_dno.generators.imported import imported_generator
from zo_dno.run.config import validated
from zo_dno.run.many_prompts import resume_many, run_many
from zo_dno.storage.run_folder import KNOWLEDGE_FILE, LEARNED_FILE
from zo_dno.surrogate.knowledge import Knowledge

MODEL = "tests.support.toys:prompted"
PROMPTS = ["mountains at day", "sea at dusk", "hills at night", "dunes at dawn"]
OPTIONS = {"inner": "images", "renders": 2, "population": 4, "features": ["colours"]}
FEW = {"queries": 20, "seed": 3, "threads": 1, "strategy_options": OPTIONS}


def generator(prompt=PROMPTS[0]):
    return imported_generator(MODEL, prompt, 8, {})


def search(prompt=PROMPTS[0], reward="brightness", strategy="surrogate", **options):
    return zo_dno.optimize(generator(prompt), reward, strategy, **{**FEW, **options})


def values(result):
    return [row.value for row in result.history]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("file") / "brightness.safetensors"
    search(surrogate=path)
    return path


def test_a_run_adds_to_the_file_and_the_next_one_starts_from_it(file, tmp_path):
    kept = Knowledge.read(file)
    assert kept.prompts == (PROMPTS[0],)
    assert len(kept) == 20
    path = shutil.copy(file, tmp_path / "file")
    found = search(PROMPTS[1], surrogate=path, out=tmp_path / "run")
    assert [row.population for row in found.history].count(0) == 4
    assert Knowledge.read(path).prompts == tuple(PROMPTS[:2])
    assert Knowledge.read(tmp_path / "run" / KNOWLEDGE_FILE).fingerprint == kept.fingerprint
    assert Knowledge.read(tmp_path / "run" / LEARNED_FILE).prompts == (PROMPTS[1],)
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["surrogate"] == str(path)
    again = search(PROMPTS[1], surrogate=kept)
    assert values(again) == values(found)
    assert values(again) != values(search(PROMPTS[1]))


@pytest.mark.parametrize("options", [{"queries": 7}, {"queries": 12, "strategy_options": {**OPTIONS, "first": 6}}])
def test_fewer_than_8_scores_of_whole_populations_are_not_added(tmp_path, options):
    options.get("strategy_options", {}).update(population=8)
    search(**options, surrogate=tmp_path / "file", out=tmp_path / "run")
    assert not (tmp_path / "file").exists()
    assert not (tmp_path / "run" / LEARNED_FILE).exists()


@pytest.mark.parametrize("change", ["removed", "changed", "same"])
@pytest.mark.fast_cases(1)
def test_a_run_is_resumed_to_the_same_end_whatever_happened_to_the_file(file, tmp_path, change):
    path = tmp_path / "file"
    shutil.copy(file, path)
    options = {"horizon": 20, "surrogate": path}
    whole = search(PROMPTS[1], **options)
    shutil.copy(file, path)
    search(PROMPTS[1], **{**options, "queries": 9}, out=tmp_path / "run")
    if change == "removed":
        path.unlink()
    elif change == "changed":
        path.write_bytes(b"no such file")
    resumed = zo_dno.resume(tmp_path / "run", queries=20, generator=generator(PROMPTS[1]))
    assert values(resumed) == values(whole)
    if change == "changed":
        assert path.read_bytes() == b"no such file"
    else:
        assert len(Knowledge.read(path)) == 20 * (1 + (change == "same"))


def test_a_copy_that_is_missing_or_another_one_is_one_line(file, tmp_path):
    search(PROMPTS[1], surrogate=Knowledge.read(file), queries=8, out=tmp_path / "run")
    copy = tmp_path / "run" / KNOWLEDGE_FILE
    Knowledge.read(tmp_path / "run" / LEARNED_FILE).write(copy)
    with pytest.raises(InputError, match="that is not the one that it began with. Put it back"):
        zo_dno.resume(tmp_path / "run", queries=12, generator=generator(PROMPTS[1]))
    copy.unlink()
    with pytest.raises(InputError, match=r"surrogate.safetensors that its search began with; in its folder, that is m"):
        zo_dno.resume(tmp_path / "run", queries=12, generator=generator(PROMPTS[1]))


def test_a_folder_without_a_config_leaves_no_copy_behind(file, tmp_path):
    out = tmp_path / "run"
    out.mkdir()
    shutil.copy(file, out / KNOWLEDGE_FILE)
    search(queries=8, out=out)
    assert not (out / KNOWLEDGE_FILE).exists()


def test_a_file_of_another_reward_or_of_other_features_or_damaged_is_refused_before_anything_runs(file, tmp_path):
    with pytest.raises(InputError, match="surrogate must be of the same reward; .* Name another file for this reward"):
        search(reward="saturation", surrogate=file, out=tmp_path / "run")
    with pytest.raises(InputError, match=r"surrogate must have the features of this run, picture \(768\)"):
        search(surrogate=file, strategy_options={"features": ["picture"]}, out=tmp_path / "run")
    (tmp_path / "file").write_bytes(b"damaged")
    with pytest.raises(InputError, match="surrogate must be a file that a run of the surrogate wrote"):
        search(surrogate=tmp_path / "file", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["missing/file", "x" * 300, "nul\0", "."])
def test_a_place_where_no_file_can_be_is_refused_before_anything_runs(tmp_path, name):
    with pytest.raises(InputError, match="surrogate must be a file") as error:
        search(surrogate=tmp_path / name, out=tmp_path / "run")
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_file_that_others_changed_meanwhile_is_left_alone_with_a_warning(tmp_path, caplog):
    def change(step):
        (tmp_path / "file").write_bytes(b"of another program")

    found = search(surrogate=tmp_path / "file", on_step=change)
    assert found.status == "finished"
    assert "what the surrogate learned was not added to" in caplog.text
    assert (tmp_path / "file").read_bytes() == b"of another program"


def test_a_strategy_that_learns_nothing_across_prompts_refuses_it(file, tmp_path):
    for given in (file, tmp_path / "not yet", Knowledge.read(file)):
        with pytest.raises(InputError, match="surrogate must be left out with snes: only surrogate learns across pr"):
            search(strategy="snes", strategy_options={}, surrogate=given)


def test_auto_says_that_it_cannot_use_it(file, tmp_path):
    options = {"strategy": "auto", "strategy_options": {}, "surrogate": file}
    assert "what earlier prompts taught is not used: only surrogate learns across prompts" in search(**options).chosen
    assert Knowledge.read(file).prompts == (PROMPTS[0],)


def test_auto_passes_it_on_where_it_chose_the_surrogate(tmp_path):
    path = tmp_path / "file"
    options = {"strategy": "auto", "climb": True, "strategy_options": {}, "surrogate": path}
    search(**options)
    found = search(PROMPTS[1], **options)
    assert [row.population for row in found.history].count(0) == 4
    assert "not used" not in found.chosen
    assert Knowledge.read(path).prompts == tuple(PROMPTS[:2])


def test_the_command_line_and_yaml_take_the_file(file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = shutil.copy(file, tmp_path / "file")
    given = {"model": MODEL, "reward": "brightness", "strategy": "surrogate", **FEW, "queries": 12}
    (tmp_path / "one.yaml").write_text(yaml.safe_dump(given))
    (tmp_path / "two.yaml").write_text(yaml.safe_dump({**given, "surrogate": "file"}))
    words = ("run", "one.yaml", "--prompt", PROMPTS[1], "--surrogate", "file", "--out", "one")
    assert exit_code(words) == 0
    assert exit_code(("run", "two.yaml", "--prompt", PROMPTS[2], "--out", "two")) == 0
    assert Knowledge.read(path).prompts == tuple(PROMPTS[:3])


def test_a_comparison_refuses_it(file):
    with pytest.raises(InputError, match="surrogate must be left out of a comparison"):
        zo_dno.compare("nowhere", ["surrogate"], [PROMPTS[0]], surrogate=str(file))


def config(**changes):
    given = {"prompt": PROMPTS[0], "model": MODEL, "batch_size": 8, "reward": "brightness", "strategy": "surrogate"}
    return validated({**given, **FEW, **changes})


def joined(several):
    whole = None
    for one in several:
        whole = one if whole is None else whole.joined(one)
    return whole


@pytest.mark.parametrize("at_once", [1, 2])
@pytest.mark.fast_cases(1)
def test_a_prompt_starts_from_what_those_before_it_learned(file, tmp_path, at_once):
    path, out = tmp_path / "file", tmp_path / "out"
    shutil.copy(file, path)
    lines = run_many(config(surrogate=path), PROMPTS[1:], out, at_once=at_once)
    learned = [Knowledge.read(line.folder / LEARNED_FILE) for line in lines]
    for number, line in enumerate(lines):
        before = joined([Knowledge.read(file), *learned[: max(0, number + 1 - at_once)]])
        assert Knowledge.read(line.folder / KNOWLEDGE_FILE).fingerprint == before.fingerprint
        alone = search(PROMPTS[1 + number], surrogate=before)
        assert line.result["best"] == alone.to_dict()["best"]
    assert Knowledge.read(path).fingerprint == joined([Knowledge.read(file), *learned]).fingerprint


def copied(file, path):
    shutil.copy(file, path)
    return path


@pytest.mark.slow
def test_prompts_that_were_stopped_go_on_from_the_same_starts(file, tmp_path):
    whole = run_many(config(surrogate=copied(file, tmp_path / "a")), PROMPTS[1:], tmp_path / "whole")
    path = copied(file, tmp_path / "b")
    seen = []

    def interrupt(prompt, step):
        seen.append(prompt)
        if prompt == PROMPTS[2]:
            raise KeyboardInterrupt

    run_many(config(surrogate=path), PROMPTS[1:], tmp_path / "parts", interrupt)
    path.unlink()
    parts = resume_many(tmp_path / "parts")
    assert [line.result["best"] for line in parts] == [line.result["best"] for line in whole]


def test_prompts_of_other_strategies_are_searched_alone(tmp_path):
    lines = run_many(config(strategy="snes", strategy_options={"population": 4}), PROMPTS[:2], tmp_path / "out")
    assert not list((tmp_path / "out").rglob("*" + LEARNED_FILE))
    assert all(line.error is None for line in lines)
    refused = run_many(config(strategy="snes", strategy_options={}, surrogate="x"), PROMPTS[:2], tmp_path / "refused")
    assert all("surrogate must be left out with snes" in line.error for line in refused)


def test_a_prompt_that_fails_taught_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("zo_dno.run.optimize.carry_out", failing_at(PROMPTS[0]))
    lines = run_many(config(), PROMPTS[:2], tmp_path / "out")
    assert [line.error is None for line in lines] == [False, True]
    assert not (lines[1].folder / KNOWLEDGE_FILE).exists()


def failing_at(prompt):
    from zo_dno.run.session import carry_out

    def carried_out(spec, *args, **kwargs):
        if spec.generator.prompt == prompt:
            raise zo_dno.RunError("no score")
        return carry_out(spec, *args, **kwargs)

    return carried_out


class Clicks(zo_dno.Reward):
    """A reward that scores by choices."""

    name, unit = "clicks", "strength"

    def __call__(self, images, prompts):
        return [float(index) for index, _ in enumerate(images)]

    def orders(self, images):
        return []


def test_scores_of_choices_are_not_passed_on(file, tmp_path):
    with pytest.raises(InputError, match="clicks scores by choices, whose scores have a scale of their own in every r"):
        search(reward=Clicks(), surrogate=tmp_path / "file")
    auto = {"strategy": "auto", "climb": True, "strategy_options": {}, "queries": 12}
    assert "clicks scores by choices" in search(reward=Clicks(), surrogate=tmp_path / "file", **auto).chosen
    search(reward=Clicks(), queries=12, out=tmp_path / "run")
    assert not (tmp_path / "run" / LEARNED_FILE).exists()
