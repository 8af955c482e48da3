"""`python -m zo_dno.rewards.check`, with tiny random networks in place of the published ones."""

import shutil
from dataclasses import replace

import pytest

from tests.support.learning import made, pictures
from zo_dno.rewards import check as module
from zo_dno.rewards.check import learned, main
from zo_dno.rewards.published import PUBLISHED, Published

NAME = "image_reward"


@pytest.fixture(autouse=True)
def empty_cache(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def given(models, tmp_path) -> list[str]:
    """Return the arguments that name local weights and a folder of pictures."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number, picture in enumerate(pictures(4), 1):
        picture.save(folder / f"{number}.webp", lossless=True)
    paths = {"model": models / "image_reward.pt", "tokenizer": models / "bert"}
    return ["--images", str(folder), *(f"--option={NAME}.{key}={path}" for key, path in paths.items())]


@pytest.fixture
def values(models, monkeypatch) -> list[float]:
    """Publish what the tiny network gives."""
    prompt = PUBLISHED[NAME].prompts[0]
    values = made(NAME, models)(pictures(4), [prompt] * 4)
    monkeypatch.setitem(PUBLISHED, NAME, replace(PUBLISHED[NAME], values=values))
    return values


def said(capsys) -> dict[str, str]:
    lines = capsys.readouterr().out.splitlines()
    return {line.split()[0]: line for line in lines}


def test_equal_values_agree(given, values, capsys):
    assert main([NAME, *given]) == 0
    line = said(capsys)[NAME]
    assert " agrees " in line
    assert f"published {values[0]:.4f}, " in line
    assert "github.com/zai-org/ImageReward" in line


@pytest.mark.parametrize("off", [0.02, float("nan")])
def test_a_value_beyond_the_tolerance_fails(off, given, values, monkeypatch, capsys):
    monkeypatch.setitem(PUBLISHED, NAME, replace(PUBLISHED[NAME], values=[*values[:3], values[3] + off]))
    assert main([NAME, *given]) == 1
    assert " DIFFERS " in said(capsys)[NAME]


def test_within_the_tolerance_it_agrees(given, values, monkeypatch):
    monkeypatch.setitem(PUBLISHED, NAME, replace(PUBLISHED[NAME], values=[values[0] + 0.005, *values[1:]]))
    assert main([NAME, *given]) == 0


def test_weights_that_are_not_here_are_named_and_no_failure(capsys):
    assert main([]) == 0
    lines = said(capsys)
    assert lines.keys() == set(learned())
    assert len(lines) == 10
    assert all(" not here " in line and "Get it: " in line for line in lines.values())


def test_pictures_that_are_not_here_are_named(given, values, capsys):
    assert main([NAME, *given[2:]]) == 0
    line = said(capsys)[NAME]
    assert " works " in line
    assert "A grey square has " in line
    assert "a batch changes scores by up to " in line
    assert "To compare: 1.webp, 2.webp, 3.webp, 4.webp of https://" in line


def test_without_published_values_it_says_so(models, capsys):
    assert main(["pick_score", f"--option=pick_score.model={models / 'clip'}"]) == 0
    assert "No values are published." in said(capsys)["pick_score"]


def test_values_of_other_weights_are_not_compared(models, monkeypatch, tmp_path, capsys):
    """Of CLIP, those of ViT-B/32 are published; here there is another."""
    cached = tmp_path / "cache" / "models--openai--clip-vit-large-patch14"
    (cached / "refs").mkdir(parents=True)
    (cached / "refs" / "main").write_text("c0ffee")
    shutil.copytree(models / "clip", cached / "snapshots" / "c0ffee")
    assert main(["clip_score"]) == 0
    line = said(capsys)["clip_score"]
    assert " works " in line
    assert "Values are published of others. " in line
    assert "hf download openai/clip-vit-base-patch32" in line


def test_weights_that_cannot_be_read_fail(given, values, models, tmp_path, capsys):
    (tmp_path / "broken.pt").write_bytes(b"no weights")
    assert main([NAME, *given, f"--option={NAME}.model={tmp_path / 'broken.pt'}"]) == 1
    assert " BROKEN " in said(capsys)[NAME]


def test_an_error_of_a_library_is_one_line(given, values, monkeypatch, capsys):
    def fail(*_):
        raise RuntimeError("out of memory\nand more")

    monkeypatch.setattr(module, "_compared", fail)
    assert main([NAME, *given]) == 1
    assert "RuntimeError: out of memory (weights: " in said(capsys)[NAME]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["hsp"], "learned reward 'hsp' is unknown. Did you mean 'hps'?"),
        (["jpeg_smaller"], "learned reward 'jpeg_smaller' is unknown."),
        (["--option", "hps"], "option must be NAME.OPTION=VALUE, such as hps.model=/weights/hps.pt; got 'hps'."),
        (["--option", "hps.modle=x"], "hps option 'modle' is unknown. Did you mean 'model'?"),
        (["--images", "nowhere"], "images must be a folder; got 'nowhere', which is not here."),
    ],
)
def test_a_mistake_is_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(message)


def test_probabilities_of_captions_are_the_softmax_of_their_scores():
    published = Published("", ("a",) * 3, ("x",) * 3, (0.9, 0.05, 0.05), 0.01, softmax=True)
    assert published.compared([25.5625, 20.0938, 19.75]) == pytest.approx([0.9927937, 0.0041867, 0.0029688], abs=1e-4)
    assert replace(published, softmax=False).compared([1.0, 2.0]) == [1.0, 2.0]
    assert sum(PUBLISHED["clip_score"].values) == pytest.approx(1, abs=1e-6)
