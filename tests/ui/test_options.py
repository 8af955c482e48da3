"""The one list of options: what is declared in a group appears everywhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import zo_dno
from zo_dno.call_policy import CallPolicy
from zo_dno.errors import InputError
from zo_dno.run.config import CHANGEABLE, RunConfig, as_recorded, validated
from zo_dno.run.options import Budget, Cluster, Output
from zo_dno.ui.cli.options import values_of
from zo_dno.ui.cli.tables import page

ROOT = Path(__file__).parents[2]
DECLARED = "    top: int = option("
MADE_UP = '    made_up: int = option(3, "Number of sails on the mast", unit="sails", changeable=True, ge=1)\n'
SEEN = """
import contextlib
import io
import sys

sys.path[:0] = ["here", "."]
import zo_dno
from PIL import Image
from toys import generator
from zo_dno.results import outputs
from zo_dno.run.config import CHANGEABLE, validated
from zo_dno.ui.cli.main import app
from zo_dno.ui.cli.tables import page

assert "here" in zo_dno.__file__
picture = Image.new("L", (1, 1))
picture.savefig = lambda file, **_: picture.save(file, "PNG")
outputs.progress_figure = lambda *_: picture  # matplotlib takes most of the time of such short runs
print(next(line for line in page().splitlines() if "made_up" in line))
print(validated({"prompt": "x"}).made_up, validated({"prompt": "x", "output": {"made_up": 4}}).made_up)
print("made_up" in CHANGEABLE)
zo_dno.optimize(generator, "brightness", queries=8, made_up=5, out="run")


def kept(folder):
    return [line.strip() for line in open(folder + "/config.yaml") if "made_up" in line]


print(kept("run"))
with open("flat.yaml", "w") as file:
    file.write("made_up: 6\\nprompt: x\\nmodel: toys:generator\\nreward: brightness\\nqueries: 8\\n")
with contextlib.redirect_stdout(io.StringIO()):
    app(["run", "flat.yaml", "--out", "flat"], standalone_mode=False)
    app(["run", "flat.yaml", "--made-up", "7", "--out", "flag"], standalone_mode=False)
    zo_dno.resume("run", generator=generator, queries=16, made_up=8)
print(kept("flat"), kept("flag"), kept("run"))
for given in ({"made_up": 0}, {"output": zo_dno.Output(made_up=2), "made_up": 3}):
    try:
        zo_dno.optimize(generator, "brightness", **given)
    except zo_dno.InputError as error:
        print(error)
"""
TOYS = """
import torch
import zo_dno

generator = zo_dno.FunctionGenerator(lambda z: (z.sigmoid() * 255).to(torch.uint8).reshape(-1, 2, 2, 3), (12,))
"""


@pytest.mark.slow
def test_an_option_that_is_declared_in_its_group_appears_everywhere(tmp_path):
    """One line is added to a copy of the package, and nothing else."""
    package = tmp_path / "here" / "zo_dno"
    package.mkdir(parents=True)
    for item in (ROOT / "zo_dno").iterdir():
        if item.name != "run":
            (package / item.name).symlink_to(item.resolve())
    (package / "run").mkdir()
    for item in (ROOT / "zo_dno" / "run").glob("*.py"):
        text = item.read_text()
        if item.name == "options.py":
            assert text.count(DECLARED) == 1
            text = text.replace(DECLARED, MADE_UP + DECLARED)
        (package / "run" / item.name).write_text(text)
    (tmp_path / "toys.py").write_text(TOYS)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "here"), "COLUMNS": "200"}

    def python(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    lines = python("-c", SEEN).splitlines()
    assert lines == [
        r"| `made_up`\* | `--made-up` | 3 | Number of sails on the mast (sails) |",
        "3 4",
        "True",
        "['made_up: 5']",
        "['made_up: 6'] ['made_up: 7'] ['made_up: 8']",
        "made_up must be at least 1; got 0.",
        "made_up must be given once; got it in output and by itself. Leave one out.",
    ]
    helped = next(line for line in python("-m", "zo_dno", "run", "--help").splitlines() if "--made-up" in line)
    assert "Number of sails on the mast (sails). Default: 3." in helped


def test_the_page_of_options_is_the_code_s():
    assert (ROOT / "docs" / "options.md").read_text() == page(), "python -m zo_dno.ui.cli.tables > docs/options.md"


def test_groups_are_objects_mappings_or_flat_names(toy, tmp_path):
    ways = (
        {"budget": Budget(queries=16), "cluster": Cluster(workers=0), "output": Output(top=2)},
        {"budget": {"queries": 16}, "output": {"top": 2}},
        {"queries": 16, "top": 2},
    )
    results = [zo_dno.optimize(toy, "brightness", "snes", **way) for way in ways]
    assert all(result.queries == 16 and len(result.top) == 2 for result in results)
    assert len({result.best.sha256 for result in results}) == 1


def test_a_policy_changes_what_it_says_and_nothing_else(toy):
    def reward(images, prompts):
        return [0.0] * len(images)

    reward.policy = CallPolicy(price=0.5, attempts=1)
    for policy in (CallPolicy(in_flight=2), {"in_flight": 2}):
        result = zo_dno.optimize(toy, reward, "snes", queries=8, policy=policy)
        assert result.cost == 4.0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"budget": Budget(queries=16), "queries": 8}, "queries must be given once; got it in budget and by itself."),
        ({"budget": 16}, "budget must be a Budget or a mapping of its options; got 16."),
        ({"budget": {"querys": 16}}, "option 'querys' is unknown. Did you mean 'queries'?"),
        ({"gama": 1}, "option 'gama' is unknown. Did you mean 'gamma'?"),
        ({"gamma": -1}, "gamma must be at least 0"),
        ({"lag": "many"}, "lag must be a whole number; got 'many'."),
        ({"policy": {"in_fligt": 1}}, "policy option 'in_fligt' is unknown. Did you mean 'in_flight'?"),
        ({"policy": {"price": float("inf")}}, "price must be a finite number"),
        ({"generators": 2}, "generators must be left out with a generator that is made already; got 2."),
    ],
)
def test_a_mistake_in_python_is_one_line(toy, given, message):
    with pytest.raises(InputError, match=message.replace("(", r"\(")) as raised:
        zo_dno.optimize(toy, "brightness", **given)
    assert "\n" not in str(raised.value)


def test_only_changeable_options_change_when_a_run_is_resumed(toy, tmp_path):
    zo_dno.optimize(toy, "brightness", "snes", queries=8, out=tmp_path / "run")
    with pytest.raises(InputError, match="seed must stay as it was when a run is resumed; got 1"):
        zo_dno.resume(tmp_path / "run", generator=toy, seed=1)
    with pytest.raises(InputError, match="option 'querys' is unknown"):
        zo_dno.resume(tmp_path / "run", generator=toy, querys=16)
    assert zo_dno.resume(tmp_path / "run", generator=toy, budget=Budget(queries=16), top=2).queries == 16


def test_no_level_of_plausibility_is_written_as_none():
    assert validated({"prompt": "a cat", "min_log_prob": "none"}).min_log_prob is None


def test_the_former_name_of_the_policy_is_read(toy):
    assert validated({"prompt": "x", "asking": {"in_flight": 3}}).policy == {"in_flight": 3}
    assert zo_dno.Asking is CallPolicy
    assert zo_dno.optimize(toy, "brightness", queries=8, asking={"price": 0.25}).cost == 2.0


def test_the_built_in_model_has_the_size_that_it_had_when_a_run_recorded_it():
    assert validated({"prompt": "x", "model": "scenes"}).model == validated({"prompt": "x"}).model == "scenes-128"
    assert as_recorded({"model": "scenes", "steps": 2}) == {"model": "scenes-64", "steps": 2}
    assert as_recorded({"model": "scenes-128"}) == {"model": "scenes-128"}
    assert as_recorded({"steps": 2}) == {"steps": 2}
    assert as_recorded({"model": ["scenes"]}) == {"model": ["scenes"]}, "damage, which the checks of a config name"


def test_what_may_change_says_how_far_a_run_goes_and_what_is_kept():
    assert CHANGEABLE.isdisjoint({"seed", "strategy", "prompt", "model", "steps", "gamma", "space", "lag", "threads"})
    assert set(RunConfig.model_fields) >= CHANGEABLE


@pytest.mark.parametrize(
    "text", ["shape=[512", "key=ugly: bad: x", "key=2020-13-45", "key=!!python/none", "key=@x", f"key={'[' * 2000}"]
)
def test_a_text_that_is_no_yaml_is_one_line(text):
    with pytest.raises(InputError) as raised:
        values_of(RunConfig, {"generator_options": [text]})
    said = str(raised.value)
    assert said.startswith(f"--generator-option must be KEY=YAML; {text.partition('=')[0]}: ")
    assert said.endswith(". Put text into quotes.")
    assert "\n" not in said
    assert len(said) < 300


def test_the_values_of_pairs_are_read_as_yaml():
    given = {"generator_options": ["shape=[3, 4]", "eta=1", "text='ugly: bad: x'"]}
    assert values_of(RunConfig, given) == {"generator_options": {"shape": [3, 4], "eta": 1, "text": "ugly: bad: x"}}
