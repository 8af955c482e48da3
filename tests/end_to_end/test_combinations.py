"""Combinations on the command line."""

import json
import sys
from pathlib import Path

import pytest
import yaml

from zo_dno.ui.cli import main as cli


@pytest.fixture
def zo(monkeypatch, capsys, tmp_path):
    """Run the command line in this process, in an empty folder; returns exit code, output and errors."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["zo-dno", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as end:
            code = int(end.code or 0)
        return code, *capsys.readouterr()

    return call


class TestCommandLine:
    FAST = ("--prompt", "mountains at day", "--steps", 1, "--queries", 8, "--threads", 1, "--seed", 1)

    def test_parts_as_json_and_thresholds(self, zo):
        parts = {"jpeg_smaller": 1, "brightness": -0.5}
        options = ("--reward", "weighted_sum", "--reward-option", f"parts={json.dumps(parts)}")
        required = ("--require", "prompt_match >= 0.05", "--require", "brightness <= 0.9")
        code, output, errors = zo(
            "run", *self.FAST, *options, "--reward-option", "warm_up=4", *required, "--out", "here"
        )
        assert code == 0, errors
        result = json.loads(Path("here/result.json").read_text())
        assert result["best"]["parts"].keys() == {"jpeg_smaller", "brightness", "prompt_match"}
        assert result["best"]["parts"]["prompt_match"] >= 0.05
        assert "prompt_match >= 0.05: not met by" in output
        assert "warm_up: prompt_match" in zo("show", "here")[1]
        config = yaml.safe_load(Path("here/config.yaml").read_text())
        assert (config["reward_options"]["parts"], config["require"]) == (parts, [required[1], required[3]])

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (
                ("--require", "prompt_match > 0.9"),
                "require must be NAME >= NUMBER or NAME <= NUMBER; got 'prompt_match",
            ),
            (("--require", "prompt >= 0.9"), "reward 'prompt' is unknown. Did you mean 'prompt_match'?"),
            (("--reward", "weighted_sum"), "parts"),
            (("--reward", "constrained"), "reward"),
            (("--reward", "min", "--reward-option", "parts=[darkness]"), "parts must be JSON; got '[darkness]'"),
        ],
    )
    def test_a_mistake_is_one_line(self, zo, arguments, message):
        code, _, errors = zo("run", *self.FAST, *arguments, "--out", "here")
        assert code == 2, errors
        assert message in errors
        assert len(errors.strip().splitlines()) == 1, errors
        assert not Path("here").exists()
