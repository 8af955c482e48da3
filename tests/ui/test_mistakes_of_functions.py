"""Mistakes in models and rewards of one's own, on the command line: one line and an exit code, and no traceback."""

import sys
from pathlib import Path

import pytest

MINE = """
import random

import numpy as np
import torch

from tests.support.toys import ToyGenerator
from zo_dno import FunctionGenerator


def paint(z):
    return ToyGenerator()(z)


paint.shape = (3, 4, 4)


def shapeless(z):
    return ToyGenerator()(z)


def flat(z):
    return ToyGenerator()(z)


flat.shape = 192


def words(z, prompt):
    return ToyGenerator()(z)


def pairs(z, other, third):
    return ToyGenerator()(z)


def nothing(z):
    ToyGenerator()(z)


def doubles(z):
    return ToyGenerator()(z).double()


def last(z):
    return ToyGenerator()(z) / 255


def signed(z):
    return ToyGenerator()(z).permute(0, 3, 1, 2) / 128 - 1


def shuffled(z):
    return torch.randint(0, 255, (len(z), 8, 8, 3), dtype=torch.uint8)


def broken(z):
    return ToyGenerator()(z[:, :3])


def one(z):
    return ToyGenerator()(z[:1])


for function in (words, pairs, nothing, doubles, last, signed, shuffled, broken, one):
    function.shape = (48,)


class Painter(FunctionGenerator):
    def __init__(self, level: int, **options):
        super().__init__(paint, (48,), **options)


class Empty:
    pass


number = 3


def bright(images):
    return [float(np.asarray(image).mean()) for image in images]


def gives_number(images):
    return 0.5


def gives_nothing(images):
    [0.5 for image in images]


def gives_text(images):
    return "85"


def gives_texts(images):
    return ["85" for image in images]


def gives_dict(images):
    return {place: 0.5 for place, _ in enumerate(images)}


def gives_set(images):
    return {0.5}


def gives_generator(images):
    return (0.5 for image in images)


def gives_column(images):
    return np.ones((len(images), 1))


def gives_pair(images):
    return [0.5] * len(images), {"seed": 3}


def three(images, prompts, metadata):
    return [0.5] * len(images)


def misspelt(images):
    return [imege for image in images]


def bounded(images):
    return [0.5] * len(images)


bounded.range = (1, 0)


def batched(images):
    return [0.5] * len(images)


batched.batch = "8"


class Judge:
    def __init__(self, path: str):
        self.file = open(path)

    def __call__(self, images, prompts):
        return [0.5] * len(images)
"""
FILES = {"mine.py": MINE, "syntax.py": "def bright(images)\n    return 1\n", "needy.py": "import nosuchpackage\n"}


@pytest.fixture
def mine(zo, monkeypatch):
    """Write the files; returns a function that runs the command line with a model and a reward of them."""
    for name, text in FILES.items():
        Path(name).write_text(text)
        monkeypatch.delitem(sys.modules, name.removesuffix(".py"), raising=False)

    def run(*words):
        given = {"--model": "mine:paint", "--reward": "mine:bright", "--queries": 16, "--threads": 1, "--out": "here"}
        given |= dict(zip(words[::2], words[1::2], strict=True))
        return zo("run", *(word for pair in given.items() for word in pair))

    return run


REFUSED = [
    (("--model", "mine"), "model must be package.module:name; got 'mine'. Name what it holds: mine:name."),
    (
        ("--model", "mine.py:paint"),
        "could not be imported: No module named 'mine.py'; 'mine' is not a package. Leave out the ending: mine:paint.",
    ),
    (
        ("--model", "mine:pant"),
        "model 'mine:pant' could not be imported: module 'mine' has no attribute 'pant'. Did you",
    ),
    (("--model", "minne:paint"), "could not be imported: No module named 'minne'. Expected package.module:name, in"),
    (
        ("--model", "syntax:paint"),
        "model 'syntax:paint' could not be imported: SyntaxError: expected ':' (syntax.py, l",
    ),
    (("--model", "needy:paint"), "No module named 'nosuchpackage' (needy.py, line 1). Install nosuchpackage, which it"),
    (
        ("--model", "mine:shapeless"),
        "shapeless must have a shape of noise: set shapeless.shape = (512,), or give --gen",
    ),
    (
        ("--model", "mine:flat"),
        "shape must be sizes of at least 1, such as (4, 64, 64), or several shapes; got 192. Writ",
    ),
    (("--model", "mine:words"), "prompt is missing; words takes one. Give prompt=... in Python, --prompt, or write it"),
    (("--model", "mine:pairs", "--prompt", "a"), "pairs must take (z) or (z, prompt), and options; got no value for"),
    (
        ("--model", "mine:nothing"),
        "nothing must give images as (n, H, W, 3) of uint8, or as (n, 3, H, W) of floats in ",
    ),
    (("--model", "mine:doubles"), "got (1, 8, 8, 3) of torch.float64. Put the colours first, as by .permute(0, 3, 1, "),
    (("--model", "mine:last"), "got (1, 8, 8, 3) of torch.float32. Put the colours first, as by .permute(0, 3, 1, 2)."),
    (("--model", "mine:signed"), "signed must give floats in [0, 1]; got -0."),
    (("--model", "mine:shuffled"), "shuffled must render the same image from the same noise; candidate 0, rendered tw"),
    (("--model", "mine:broken"), "broken could not render 1 rows of z of shape (1, 48): "),
    (("--model", "mine:one"), "one must give an image for each of 2 rows; got (1, 8, 8, 3)."),
    (("--model", "mine:Painter"), "mine:Painter needs the option 'level'; got none."),
    (("--model", "mine:Painter", "--generator-option", "level=high"), "mine:Painter option 'level' does not fit: "),
    (
        ("--model", "mine:Empty"),
        "model 'mine:Empty' must be a function z -> images, or have layout, nfe and a call z ->",
    ),
    (
        ("--model", "mine:number"),
        "model 'mine:number' must be a function z -> images, or have layout, nfe and a call z ",
    ),
    (
        ("--model", "mine:paint", "--generator-option", "size=3"),
        "generator option 'size' is unknown. Known: nfe, shape.",
    ),
    (
        ("--model", "mine:paint", "--steps", "3"),
        "steps is for diffusers pipelines; mine:paint decides it itself. Leave it",
    ),
    (("--model", "nowhere.onnx"), "model must be an ONNX file; nowhere.onnx does not exist. Check the path."),
    (("--model", "scenes"), "prompt is missing; give --prompt or write it into the config file."),
    (("--reward", "mine"), "reward must be package.module:name; got 'mine'. Name what it holds: mine:name."),
    (
        ("--reward", "mine.py:bright"),
        "could not be imported: No module named 'mine.py'; 'mine' is not a package. Leave out the ending: mine:bright.",
    ),
    (("--reward", "mine:brigt"), "module 'mine' has no attribute 'brigt'. Did you mean mine:bright?"),
    (
        ("--reward", "syntax:bright"),
        "reward 'syntax:bright' could not be imported: SyntaxError: expected ':' (syntax.py",
    ),
    (
        ("--reward", "needy:bright"),
        "No module named 'nosuchpackage' (needy.py, line 1). Install nosuchpackage, which it",
    ),
    (
        ("--reward", "mine:three"),
        "reward 'three' must take (images) or (images, prompts), and options; got no value for ",
    ),
    (("--reward", "mine:number"), "reward must be a function of images and prompts; got 3."),
    (
        ("--reward", "mine:bounded"),
        "range of reward 'bounded' must be the lowest and the highest possible score, such as",
    ),
    (
        ("--reward", "mine:batched"),
        "batch of reward 'batched' must be the largest number of images in a call, at least 1",
    ),
    (("--reward", "mine:Judge"), "mine:Judge needs the option 'path'; got none."),
    (
        ("--reward", "mine:Judge", "--reward-option", "path=nowhere"),
        "could not be made: FileNotFoundError: [Errno 2] No",
    ),
    (("--reward", "mine:bright", "--reward-option", "level=3"), "reward 'bright' takes no options; got level."),
]


@pytest.mark.parametrize(("words", "message"), REFUSED)
def test_a_model_or_reward_that_cannot_be_used_is_one_line(mine, words, message):
    code, output, errors = mine(*words)
    assert code == 2, output + errors
    assert message in errors
    assert len(errors.strip().splitlines()) == 1, errors
    assert not Path("here").exists()


PAUSED = {
    "gives_number": "got a float, 0.5. Return a list, also for one image.",
    "gives_nothing": "got None. Is a return statement missing?",
    "gives_text": "got a str, '85'. Return a list, also for one image.",
    "gives_texts": "got a str, '85' for image 0. Return numbers: float(text).",
    "gives_dict": "got a dict, {0: 0.5}. Return its values, in the order of the images.",
    "gives_set": "got a set, {0.5}. A set has no order: return a list.",
    "gives_generator": "got a generator. Return list(...) of it.",
    "gives_column": "got a ndarray of shape (1, 1). Return it flat, as by .flatten().",
    "gives_pair": "got 2 scores for 1 images. Return the scores alone.",
    "misspelt": "NameError: name 'imege' is not defined",
}


@pytest.mark.parametrize("name", PAUSED)
@pytest.mark.fast_cases(4)
def test_a_reward_that_returns_no_scores_pauses_after_one_query_and_is_mended(mine, zo, name):
    code, output, errors = mine("--reward", f"mine:{name}", "--price", 1, "--max-cost", 100)
    assert code == 1, output + errors
    assert PAUSED[name].removesuffix(".") in errors
    assert "Fix it, then: zo-dno resume here" in errors
    assert len(errors.strip().splitlines()) == 1, errors
    assert zo("export", "here", "queries.csv")[0] == 0
    assert len(Path("queries.csv").read_text().splitlines()) == 2
    mended = MINE.split(f"def {name}(images):")[0] + f"def {name}(images):\n    return bright(images)\n"
    Path("mine.py").write_text(mended + "\n")
    sys.modules.pop("mine", None)
    code, output, errors = zo("resume", "here")
    assert code == 0, output + errors
    assert "finished" in output
