"""The ladder of distances, on the command line."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.toys import ToyGenerator
from zo_dno.noise.plausibility import PlausibilityTests
from zo_dno.run.ladder import ladder
from zo_dno.storage.noise_files import load_noise


def test_rows_go_from_small_variations_to_fresh_images_and_every_mixture_is_plausible(zo, toy_words):
    assert zo("run", *toy_words, "--reward", "brightness", "--queries", 8, "--top", 2, "--out", "here")[0] == 0
    code, output, _ = zo("ladder", "here", "--distances", "0,0.1,0.5,1", "--each", 4)
    assert code == 0, output
    assert "--near here --distance 0.5" in output
    best = np.asarray(Image.open("here/best.png")).astype(float)
    apart = []
    for distance in ("0", "0.1", "0.5", "1"):
        folder = Path("here/ladder", distance)
        images = [np.asarray(Image.open(folder / f"{place}.png")).astype(float) for place in range(1, 5)]
        apart.append(np.mean([np.abs(image - best).mean() for image in images]))
        z = torch.stack([load_noise(folder / f"{place}.safetensors") for place in range(1, 5)])
        assert bool(PlausibilityTests(ToyGenerator().layout)(z).plausible.all())
    assert apart[0] < 2  # the noise of the winner, put on the shell
    assert apart == sorted(apart)
    assert Image.open("here/ladder/ladder.png").width > 4 * 192
    words = ("ladder", "here", "here/top", "here/ladder/0.1/2.safetensors", "--out", "again", "--each", 2)
    assert zo(*words)[0] == 0
    assert len(list(Path("again").glob("*/*.safetensors"))) == 10
    assert (
        zo("run", *toy_words, "--reward", "brightness", "--queries", 8, "--near", "again/0.1", "--out", "more")[0] == 0
    )


def test_places_of_a_row_change_with_the_seed_and_not_with_the_other_distances():
    liked = torch.randn(2, 48)
    one, other = ladder(ToyGenerator(), liked, distances=(0.2,)), ladder(ToyGenerator(), liked, distances=(0.2, 0.3))
    assert torch.equal(one[0].z, other[0].z)
    assert not torch.equal(one[0].z, ladder(ToyGenerator(), liked, distances=(0.2,), seed=1)[0].z)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--distances", "0.1,2"), "distances must be from 0 to 1, one at least; got 0.1, 2"),
        (("--distances", "near"), "distances must be numbers with commas between; got 'near'"),
        (("nowhere",), "near must be a best.safetensors that a run wrote; got nowhere"),
    ],
)
def test_what_a_ladder_cannot_be_is_one_line(zo, toy_words, words, message):
    assert zo("run", *toy_words, "--reward", "brightness", "--queries", 4, "--out", "here")[0] == 0
    code, _, errors = zo("ladder", "here", *words)
    assert code == 2
    assert message in " ".join(errors.split())
