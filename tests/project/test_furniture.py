"""The files that a project has beside its code."""

import re
from pathlib import Path

import pytest
import yaml

import zo_dno

ROOT = Path(__file__).parents[2]


def test_the_citation_is_of_this_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == zo_dno.__version__
    assert "2405.18881" in citation["references"][0]["url"]


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", ".github/pull_request_template.md"])
def test_its_targets_are_in_the_makefile(name):
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    commands = re.findall(r"(?:^|`)make ([a-z -]+?)(?:  |`|$)", (ROOT / name).read_text(), re.MULTILINE)
    assert commands
    assert set(" ".join(commands).split()) <= set(targets)


def test_workflows_call_targets_that_there_are():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    called = set()
    for file in sorted((ROOT / ".github" / "workflows").iterdir()):
        for job in yaml.safe_load(file.read_text())["jobs"].values():
            commands = "\n".join(step.get("run", "") for step in job["steps"])
            for name, values in job["strategy"]["matrix"].items():
                commands = commands.replace(f"make ${{{{ matrix.{name} }}}}", f"make {' '.join(values)}")
            found = re.findall(r"^make (.+)$", commands, re.MULTILINE)
            assert len(found) == commands.count("make"), commands
            called |= set(" ".join(found).split())
    assert called == {"lint", "test", "test-slow", "test-notebooks", "examples"}
    assert called <= set(targets)


@pytest.mark.parametrize("form", ["bug", "wish"])
def test_a_form_asks_only_for_what_a_form_can_ask(form):
    body = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / f"{form}.yml").read_text())["body"]
    assert body
    for part in body:
        assert part["type"] in ("input", "textarea")
        assert part["attributes"]["label"]
    assert len({part["id"] for part in body}) == len(body)


def test_the_image_installs_the_pinned_packages_and_runs_without_rights():
    lines = (ROOT / "Dockerfile").read_text()
    assert lines.count("-c constraints.txt") == 2
    assert re.search(r"^USER [1-9]", lines, re.MULTILINE)
    assert 'ENTRYPOINT ["zo-dno"]' in lines
