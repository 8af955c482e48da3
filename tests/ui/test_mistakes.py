"""A mistake of the user is one line and an exit code."""

from pathlib import Path

import pytest
import yaml

import zo_dno
from zo_dno.errors import InputError


@pytest.mark.parametrize("out", ["x" * 300, "x" * 300 + "/a", "a/" * 3000])
@pytest.mark.parametrize(
    "words",
    [
        ("run", "--prompts", "prompts.txt", "--out"),
        ("run", "--prompt", "sea", "--out"),
        ("show",),
        ("resume",),
        ("report",),
    ],
)
def test_a_path_that_is_too_long_is_one_line(zo, own, words, out):
    code, _, errors = zo(words[0], *(own if words[0] == "run" else ()), *words[1:], out)
    assert code == 2
    assert len(errors.strip().splitlines()) == 1
    assert "ile name too long" in errors
    assert len(errors) < 600


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--prompts", "prompts.txt", "--draft", 2), "draft must be left out with prompts; got both"),
        (("--prompt", "sea", "--at-once", 2), "at-once must come with prompts; got 2 without them"),
    ],
)
def test_options_that_would_do_nothing_are_refused(zo, own, words, said):
    code, _, errors = zo("run", *own, *words, "--out", "here")
    assert code == 2
    assert said in " ".join(errors.split())
    assert not Path("here").exists()


FRONT = ("--reward", "jpeg_smaller", "--reward", "brightness")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            (*FRONT, "--reward-option", "reference=-3 MB,0.1"),
            "reference of 'jpeg_smaller' must be in its unit, kB; got '-3 MB'",
        ),
        ((*FRONT, "--reward-option", "reference=jpeg_smaller=-3"), "reference must have 2 values, one per reward"),
        ((*FRONT, "--diverse", 4), "diverse must be left out with a front, which has images of its own; got 4"),
        (("--reward", "brightness", "--diverse", 99), "diverse must be at most the number of queries, 8; got 99"),
        (
            ("--reward", "brightness", "--measures", "tests.support.combinations:constant"),
            "measures must differ among images; constant is 7 for all of 4 prior draws",
        ),
        (("--reward", "brightness", "--measures", "contrast=2"), "measures must be NAME or NAME=LOW..HIGH"),
        (("--reward", "brightness", "--distance", "ask"), "distance must come with near"),
        (("--reward", "brightness", "--distance", "far"), "distance must be a number or 'ask'; got 'far'"),
    ],
)
def test_several_answers_that_cannot_be_are_one_line_and_nothing_is_written(zo, toy_words, words, said):
    code, _, errors = zo("run", *toy_words, *words, "--queries", 8, "--out", "here")
    assert code == 2, errors
    assert said in errors
    assert len(errors.strip().splitlines()) == 1
    assert not Path("here").exists()


def test_a_folder_of_runs_names_one(zo, own):
    assert zo("run", *own, "--prompt", "sea", "--out", "all/runs/first")[0] == 0
    for folder in ("all", "all/runs"):
        code, _, errors = zo("show", folder)
        assert code == 2
        assert errors.strip() == (
            f"Error: run must be the folder of a run; {folder} has no config.yaml. Name a run in it, such as "
            "all/runs/first."
        )


@pytest.mark.parametrize("command", [("resume",), ("show",), ("export", "t.csv")])
def test_a_folder_without_a_run(zo, command):
    name, *rest = command
    code, _, errors = zo(name, "nowhere", *rest)
    assert code == 2
    assert errors.strip() == "Error: run must be the folder of a run; nowhere has no config.yaml."


def test_a_used_folder_says_how_to_go_on(zo, tiny):
    assert zo("run", *tiny, "--out", "here")[0] == 0
    code, _, errors = zo("run", *tiny, "--out", "here")
    assert code == 2
    assert "or resume it: zo-dno resume here" in errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reward", "jpeg_smalle"], "reward 'jpeg_smalle' is unknown. Did you mean 'jpeg_smaller'?"),
        (["--strategy", "cma_es"], "strategy 'cma_es' is unknown. Did you mean 'cmaes'?"),
        (["--model", "scene"], "model 'scene' is unknown. Did you mean 'scenes'?"),
        (
            ["--model", "sd15"],
            "model 'sd15' is unknown. Known: FILE.safetensors, FOLDER, MODULE:FUNCTION, OWNER/NAME on the hub, scenes, "
            "scenes-128, scenes-64.",
        ),
        (["--model", "no/such-model"], "model 'no/such-model' could not be loaded"),
        (["--queries", "0"], "queries must be at least 1; got 0."),
        (["--out", "full"], "out must be a new folder; full exists."),
        (["--out", "/proc/zo-dno"], "out must be a folder that can be written to"),
        (["--size", "big"], "size must be HEIGHTxWIDTH, such as 512x512; got 'big'."),
        (["--size", "99999x99999"], "size must be of at most 67108864 pixels, such as 4096x4096; got '99999x99999'."),
        (
            ["--generator-option", "prompt=x"],
            "prompt must be an option of its own, --prompt; got it as a generator opt",
        ),
        (["--prompt", "caf\udcff"], "prompt must be text in UTF-8; got 'caf\\udcff'."),
        (["--size", "13x13"], "cannot be called like this: `height` and `width` have to be divisible by 8"),
        (["--generator-option", "etta=1"], "StableDiffusionPipeline argument 'etta' is unknown. Did you mean 'eta'?"),
        (
            ["--generator-option", f"eta={'[' * 2000}"],
            "--generator-option must be KEY=YAML; eta: it is nested too deeply",
        ),
        (
            ["--generator-option", "eta=!!bool x"],
            "--generator-option must be KEY=YAML; eta: a value does not fit its type",
        ),
        (["--reward-option", "quality"], "--reward-option must be KEY=VALUE; got 'quality'."),
        (["--reward-option", "quality=best"], "jpeg_smaller option 'quality' does not fit"),
        (["--strategy-option", "sigmo=1"], "auto option 'sigmo' is unknown."),
        (["--reward", "my_rewards:cold"], "reward 'my_rewards:cold' could not be imported"),
        (["--held-out", "nothing"], "reward 'nothing' is unknown."),
        (["--init", "nowhere.safetensors"], "init must be a best.safetensors that a run wrote"),
        (["--min-log-prob", "7"], "min_log_prob must be"),
        (["--min-log-prob", "7%"], "7%"),
        (["--search", "some"], "search must be 'initial' or 'all'; got 'some'."),
        (["--baseline", "some"], "baseline must be"),
        (["--dtype", "float12"], "dtype must be the name of a torch type"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(zo, tiny, arguments, message):
    Path("full").mkdir()
    Path("full", "notes.txt").touch()
    out = [] if "--out" in arguments else ["--out", "here"]
    code, _, errors = zo("run", *tiny, *arguments, *out)
    assert code == 2, errors
    assert message in errors
    assert len(errors.strip().splitlines()) == 1, errors
    assert not Path("here").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"promt": "a cat"}, "config key 'promt' is unknown. Did you mean 'prompt'?"),
        ({"queries": 8}, "prompt is missing"),
        ({"prompt": "a cat", 3: 1}, "config key '3' is unknown."),
        ({"prompt": "a cat", "budget": {3: 1}}, "option '3' is unknown."),
        ({"prompt": "a cat", "queries": "many"}, "queries must be"),
        ({"prompt": "a cat", "policy": 3}, "policy must be a mapping of names to values; got 3."),
        ("just words", "must hold lines of `key: value`; got str."),
    ],
)
def test_a_config_file_with_a_mistake(zo, content, message):
    Path("config.yaml").write_text(yaml.safe_dump(content))
    code, _, errors = zo("run", "config.yaml", "--out", "here")
    assert code == 2
    assert message in errors
    assert len(errors.strip().splitlines()) == 1
    assert not Path("here").exists()


def test_a_config_file_that_is_not_there_or_not_yaml(zo):
    assert "could not be read" in zo("run", "nowhere.yaml")[2]
    Path("broken.yaml").write_text("a: [1")
    code, _, errors = zo("run", "broken.yaml")
    assert code == 2
    assert len(errors.strip().splitlines()) == 1


def test_a_run_in_which_nothing_was_scored_fails_and_keeps_its_folder(zo, tiny):
    code, _, errors = zo(
        "run", *tiny, "--reward", "my_rewards:broken", "--attempts", 1, "--breaker", 0, "--out", "here"
    )
    assert code == 1
    assert "None of 24 queries got a score." in errors
    assert "no route to the judge" in errors
    assert Path("here", "ledger.db").exists()
    assert Path("here", "config.yaml").exists()


def test_a_file_that_cannot_be_written_is_one_line(zo, own, monkeypatch):
    assert zo("run", *own, "--prompt", "sea", "--out", "here")[0] == 0
    Path("afile").write_text("mine")
    monkeypatch.setattr("zo_dno.run.from_config.render", lambda *_, **options: pytest.fail("it was rendered"))
    for words, expected, said in (
        (("export", "here", "afile/a.csv"), 1, "file afile/a.csv could not be written: afile is not a folder."),
        (("report", "here", "--out", "."), 2, "a file to write must have a name; got '.'."),
        (("render", "here", "--out", "afile"), 2, "out must be a folder that can be written to; afile: File exists."),
        (("render", "here", "--out", "/proc/x"), 2, "out must be a folder that can be written to; /proc/x: "),
    ):
        code, _, errors = zo(*words)
        assert (code, len(errors.strip().splitlines())) == (expected, 1), errors
        assert said in errors
    assert Path("afile").read_text() == "mine"


def test_render_of_what_is_no_run(zo):
    code, _, errors = zo("render", "nowhere")
    assert code == 2
    assert "run must be the folder of a run; nowhere has no config.yaml." in errors


@pytest.mark.parametrize(
    "words",
    [
        ("serve-reward", "brightness", "--in-flight", -1),
        ("run", "--prompts", "prompts.txt", "--at-once", -1),
        ("run", "--prompt", "sea", "--draft", 0),
    ],
)
def test_numbers_of_commands_are_at_least_1(zo, words):
    code, _, errors = zo(*words)
    assert code == 2
    assert errors == f"Error: {words[-2]} must be at least 1; got '{words[-1]}'. See zo-dno {words[0]} --help.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("watch", ".", "--port", 99999), "--port must be at most 65535; got '99999'. See zo-dno watch --help."),
        (("run", "--seed", "1e3"), "--seed must be a whole number; got '1e3'. See zo-dno run --help."),
        (
            ("resume", "a", "--queries", "many"),
            "--queries must be a whole number; got 'many'. See zo-dno resume --help.",
        ),
        (
            ("resume", "a", "--strategy", "snes"),
            "--strategy must stay as it was when a run is resumed; got another. Sta",
        ),
        (("resume", "a", "--nosuch"), "No such option: --nosuch"),
        (("run", "--prompt"), "Option '--prompt' requires an argument. See zo-dno --help."),
        (("compare",), "Missing argument 'CONFIG'. See zo-dno compare --help."),
        (("list", "rewards"), "Got unexpected extra argument(s) (rewards). See zo-dno list --help."),
        (("serch",), "No such command 'serch'. See zo-dno --help."),
        (("--nosuch",), "No such option: --nosuch. See zo-dno --help."),
    ],
)
def test_wrong_words_are_one_line(zo, words, said):
    code, output, errors = zo(*words)
    assert code == 2
    assert errors.startswith(f"Error: {said}")
    assert len(errors.splitlines()) == 1
    assert not output


def test_no_words_show_the_help(zo):
    code, output, errors = zo()
    assert code in (0, 2)
    assert "Usage: zo-dno" in output + errors
    assert "Error" not in output + errors


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ("--strategy", "snes", "--strategy-option", f"population={10**12}"),
            "memory must suffice for a population of",
        ),
        (
            ("--cache", "mine.txt"),
            "cache must be a writable file of scores; mine.txt: it is another file. Name one that",
        ),
        (("--cache", "folder"), "cache must be a writable file of scores; folder: "),
        (("--distance", 0.5), "distance must come with near, the liked noise; got 0.5 alone."),
        (
            ("--reward", "human", "--reward-option", "port=99999"),
            "host and port must be free to listen on; 127.0.0.1:99",
        ),
        (("--prompt", "x" * (2**20 + 1)), "options must be few enough for a config file that can be read again"),
    ],
)
def test_a_mistake_that_shows_late_leaves_nothing_behind(zo, own, words, said):
    Path("mine.txt").write_text("x")
    Path("folder").mkdir()
    here = sorted(Path.cwd().iterdir())
    first = own[:2] + own[4:] if "--reward" in words else own
    code, _, errors = zo("run", *first, "--prompt", "sea", *words, "--out", "new/here")
    assert code == 2
    assert said in errors
    assert len(errors.strip().splitlines()) == 1
    assert [one for one in sorted(Path.cwd().iterdir()) if one.name != "__pycache__"] == here
    assert Path("mine.txt").read_text() == "x"
    assert zo("run", *own, "--prompt", "sea", "--out", "new/here")[0] == 0


def test_a_folder_of_many_prompts_is_no_run(zo, own):
    assert zo("run", *own, "--prompts", "prompts.txt", "--out", "many")[0] == 0
    before = sorted(Path("many").rglob("*"))
    for words in (("show",), ("report",), ("export", "t.csv"), ("render",), ("ladder",)):
        code, _, errors = zo(words[0], "many", *words[1:])
        assert code == 2
        assert errors.strip() == (
            "Error: run must be one run; many holds those of many prompts. Name one: 001-sea, 002-hills."
        )
    with pytest.raises(InputError, match="run must be one run; many holds those of many prompts"):
        zo_dno.resume("many")
    assert sorted(Path("many").rglob("*")) == before
    assert zo("resume", "many", "--queries", 20)[0] == 0


def test_a_run_whose_scores_are_gone_is_not_begun_again(zo, own):
    assert zo("run", *own, "--prompt", "sea", "--out", "here")[0] == 0
    Path("here", "ledger.db").unlink()
    for words in (("resume",), ("show",), ("report",), ("export", "t.csv")):
        code, _, errors = zo(words[0], "here", *words[1:])
        assert code == 2
        assert errors.strip() == (
            "Error: run must have its scores; ledger.db is gone from here. Put it back, or start another."
        )
