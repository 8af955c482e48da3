"""The site builds without a complaint, every page is in it, and nothing in it points to nowhere."""

import ast
import inspect
import itertools
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

import zo_dno
from zo_dno.run.config import RunConfig
from zo_dno.scenes import grammar
from zo_dno.ui.cli import main as cli

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
README = ROOT / "README.md"
EXAMPLES = sorted((ROOT / "examples").glob("**/*.md"))


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
    reference = "".join(page.read_text() for page in site.glob("api*.html"))
    for name in zo_dno.__all__:
        assert f'id="zo_dno.{name}"' in reference, name


@pytest.mark.parametrize("page", [*PAGES, *EXAMPLES, README, ROOT / "CHANGELOG.md"], ids=lambda page: page.name)
def test_files_that_are_linked_are_there(page):
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text()):
        assert (page.parent / target).exists(), target


def _code(page, language=r"\w*"):
    """Return a page's blocks of code, with continued lines as one."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text().replace("\\\n", " "), re.M | re.S)


def _commands(texts):
    """Yield the words of every zo-dno command, without those that leave something out."""
    for text in texts:
        for begin in re.finditer(r"(?:^|&& |-- |then |else )(?=zo-dno )", text, re.M):
            line = shlex.shlex(text[begin.end() :].split("\n")[0], posix=True, punctuation_chars=";&>")
            line.whitespace_split = True
            words = list(itertools.takewhile(lambda word: not set(word) <= set(";&>"), line))
            if not any(word.endswith("...") for word in words):
                yield words


def _runs(page):
    """Return the words of every `zo-dno run` in a page's blocks of code."""
    return [words[2:] for words in _commands(_code(page)) if words[1] == "run"]


def test_commands_have_options_that_there_are():
    """Those of the blocks of code, and those within a sentence that are more than the name of a command."""
    group, read = get_command(cli.app), 0
    for page in (README, *PAGES, *EXAMPLES):
        sentences = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
        inline = [text.replace("\n", " ") for text in re.findall(r"(?<!`)`(zo-dno [^`]+)`(?!`)", sentences)]
        named = [words for words in _commands(inline) if len(words) > 2]
        for words in [*_commands(_code(page)), *named]:
            if not words[1].startswith("-"):
                with group.commands[words[1]].make_context(words[1], list(words[2:])):
                    read += 1
    assert read > 90, read


def _called(name):
    """Return what a dotted name of zo_dno is, or None for a name that is not zo_dno's."""
    found = zo_dno if name and name[0] == "zo_dno" else None
    for part in name[1:]:
        found = getattr(found, part) if found is not None else None  # whose error names what is missing
    return found


def _dotted(node):
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return inner and [*inner, node.attr]
    return [node.id] if isinstance(node, ast.Name) else None


def _names_of(function):
    """Return the arguments that a function has by name; None where any other is passed on to a model."""
    parameters = inspect.signature(function).parameters
    passed_on = any(one.kind is one.VAR_KEYWORD for one in parameters.values())
    if passed_on and function.__qualname__.startswith("DiffusersGenerator"):
        return None
    return {*parameters, *([*RunConfig.model_fields, "out"] if passed_on else ())}


def test_python_is_python_with_names_and_arguments_that_there_are():
    checked = 0
    for page in (README, *PAGES, *EXAMPLES):
        for block in _code(page, "python"):
            for node in ast.walk(ast.parse(block)):
                function = _called(_dotted(node.func) or []) if isinstance(node, ast.Call) else None
                known = _names_of(function) if callable(function) else None
                if known is not None:
                    given = {keyword.arg for keyword in node.keywords} - {None}
                    assert given <= known, (page.name, ast.unparse(node))
                    checked += 1
    assert checked > 15, checked


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
