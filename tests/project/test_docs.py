"""The site builds without a complaint, every page is in it, and nothing in it points to nowhere."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from zo_dno.scenes import grammar

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
README = ROOT / "README.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-b", "html", str(ROOT / "docs"), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    return out


def test_every_page_is_in_the_contents():
    contents = re.findall(r"^(?:.* <)?([\w-]+)>?$", "\n".join(_blocks("toctree", "index.md")), re.M)
    assert sorted(["index", *contents]) == sorted(page.stem for page in PAGES)


def test_what_is_public_has_a_directive():
    import zo_dno

    directives = "\n".join(_blocks("eval-rst", "api*.md"))
    named = set(re.findall(r"^\.\. auto\w+:: zo_dno\.(\w+)$", directives, re.M))
    assert named >= set(zo_dno.__all__)


def _blocks(kind, pages):
    for page in ROOT.glob(f"docs/{pages}"):
        yield from re.findall(rf"^```{{{kind}}}\n(.*?)^```$", page.read_text(), re.M | re.S)


@pytest.mark.slow
def test_every_page_is_in_the_site(site):
    index = (site / "index.html").read_text()
    for page in PAGES:
        assert (site / f"{page.stem}.html").exists()
        assert page.stem == "index" or f'href="{page.stem}.html"' in index


@pytest.mark.slow
def test_what_is_public_is_in_the_reference(site):
    import zo_dno

    reference = "".join(page.read_text() for page in site.glob("api*.html"))
    for name in zo_dno.__all__:
        assert f'id="zo_dno.{name}"' in reference, name


@pytest.mark.parametrize("page", [*PAGES, README, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_files_that_are_linked_are_there(page):
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def _runs(page):
    """Return the words of every `zo-dno run` in a page's blocks of code, without those that leave options out."""
    for block in re.findall(r"^```\w*\n(.*?)^```$", page.read_text().replace("\\\n", " "), re.M | re.S):
        for command in re.findall(r"\bzo-dno run .*", block):
            words = shlex.split(command, comments=True)
            if words[2] != "...":
                yield words[2:]


def test_prompts_of_commands_without_a_model_follow_the_grammar_of_the_built_in_one():
    runs = [words for page in (README, *PAGES) for words in _runs(page) if "--model" not in words]
    prompts = [words[words.index("--prompt") + 1] for words in runs if "--prompt" in words]
    assert len(prompts) > 20
    for prompt in prompts:
        grammar.parse(prompt)


def test_commands_say_what_the_image_shows():
    for page in (README, *PAGES):
        for words in _runs(page):
            config = not words[0].startswith("-")
            own = "--model" in words and words[words.index("--model") + 1].endswith((":blobs", ".onnx"))
            assert config or own or {"--prompt", "--prompts"} & set(words), (page.name, words)
