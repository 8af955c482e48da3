"""The space near liked noise: mixtures stay Gaussian, at the distance that was asked for."""

import math

import pytest
import torch

import zo_dno
from tests.support.command_line import exit_code
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError
from zo_dno.noise.plausibility import PlausibilityTests
from zo_dno.noise.space import NoiseLayout
from zo_dno.rng import stream
from zo_dno.spaces.near import Near, middle, mixtures

NOISE = NoiseLayout(((4, 16, 16),))
TOY = {"queries": 24, "threads": 1, "strategy_options": {"population": 8}}


def liked(n, d=NOISE.d):
    return torch.randn(n, d, generator=stream(5, "liked"))


def gaussian(space, n=64):
    return torch.randn(n, space.k, generator=stream(6, "coordinates"))


def test_a_mixture_of_independent_noise_is_as_plausible_as_a_draw():
    """Of 600 true draws, 6 fail the test of log P and 3 that of whiteness; 25 in all are less likely than 1 in 10^6."""
    draws = torch.randn(600, 3, NOISE.d, generator=stream(0, "draws"))
    shares = torch.rand(600, 3, generator=stream(0, "shares"))
    mixed = torch.cat([mixtures(z, share[None], NOISE.sizes) for z, share in zip(draws, shares, strict=True)])
    tests = PlausibilityTests(NOISE)
    assert int((~tests(mixed).plausible).sum()) < 25
    assert not tests(draws[:100].mean(1)).plausible.any()  # plain averages


def test_equal_shares_are_equally_near_to_each():
    three = liked(3)
    cosines = torch.cosine_similarity(middle(three, NOISE)[None], three)
    assert cosines.tolist() == pytest.approx([1 / math.sqrt(3)] * 3, abs=0.1)
    two = mixtures(three, torch.tensor([[1.0, 0.0, 3.0]]), NOISE.sizes)
    cosines = torch.cosine_similarity(two, three)
    assert cosines.tolist() == pytest.approx([0.5, 0, math.sqrt(0.75)], abs=0.1)


@pytest.mark.parametrize("n", [1, 4])
@pytest.mark.parametrize("distance", [0.1, 0.6])
def test_candidates_are_at_the_distance(n, distance):
    all_liked = liked(n)
    space = Near(NOISE, middle(all_liked, NOISE), 0, liked=all_liked, distance=distance)
    z = space.to_noise(gaussian(space))
    coefficients = torch.linalg.lstsq(all_liked.T, z.T).solution  # the part of z that liked noise explains
    explained = (all_liked.T @ coefficients).norm(dim=0) / math.sqrt(NOISE.d)
    assert explained.tolist() == pytest.approx([math.sqrt(1 - distance**2)] * len(z), abs=0.05)
    assert z.norm(dim=1).tolist() == pytest.approx([math.sqrt(NOISE.d)] * len(z), rel=1e-5)


def test_mixtures_alone_have_no_fresh_noise():
    three = liked(3)
    space = Near(NOISE, middle(three, NOISE), 0, liked=three, distance=0)
    assert space.sizes == (3,)
    z = space.to_noise(gaussian(space))
    rest = z.T - three.T @ torch.linalg.lstsq(three.T, z.T).solution
    assert float(rest.abs().max()) < 1e-4


def test_the_origin_is_the_start():
    for n, distance in ((1, 0.3), (3, 0.3), (3, 0)):
        start = middle(liked(n), NOISE)
        space = Near(NOISE, start, 0, liked=liked(n), distance=distance)
        assert torch.equal(space.to_noise(space.origin[None])[0], start)


@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("strategy", ["snes", "hill_climb", "cmaes"])
def test_a_run_stays_near_and_is_resumed_without_what_it_was_given(tmp_path, strategy):
    for seed in (1, 2):
        zo_dno.optimize(ToyGenerator(), "brightness", "random_search", seed=seed, out=tmp_path / f"liked{seed}", **TOY)
    given = [tmp_path / "liked1", tmp_path / "liked2" / "best.safetensors"]
    options = {"near": given, "distance": 0.2, **TOY}
    whole = zo_dno.optimize(ToyGenerator(), "brightness", strategy, **options, out=tmp_path / "whole")
    assert whole.best.reward > whole.first.reward
    both = torch.stack([zo_dno.load(path).best.z for path in (tmp_path / "liked1", tmp_path / "liked2")])
    assert torch.equal(whole.first.z, middle(both, ToyGenerator().layout))
    assert float(torch.cosine_similarity(whole.best.z[None], both).max()) > 0.5
    part = {**options, "queries": 8, "budget": {"horizon": 24}}
    zo_dno.optimize(ToyGenerator(), "brightness", strategy, **part, out=tmp_path / "part")
    for path in (tmp_path / "liked1").iterdir():
        path.unlink() if path.is_file() else None
    resumed = zo_dno.resume(tmp_path / "part", generator=ToyGenerator(), queries=24)
    assert [row.value for row in resumed.history] == [row.value for row in whole.history]
    assert torch.equal(resumed.best.z, whole.best.z)


def test_the_best_of_a_run_are_a_folder_of_liked_noise(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = ("run", "--model", "tests.support.toys:prompted", "--prompt", "sea", "--reward", "brightness")
    words += ("--threads", 1, "--queries", 16, "--strategy-option", "population=8")
    assert exit_code((*words, "--top", 3, "--out", "first")) == 0
    assert exit_code((*words, "--near", "first/top", "--distance", 0.1, "--out", "near")) == 0, capsys.readouterr()
    assert exit_code(("resume", "near", "--queries", 24)) == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"near": torch.zeros(3)}, r"near must be noise of this generator, \d+ numbers; got 3\."),
        ({"near": "nowhere"}, "near must be a best.safetensors that a run wrote; got nowhere"),
        ({"near": [torch.zeros(3), torch.zeros(4)]}, r"near must be noise of one size; got 3 and 4 numbers\."),
        ({"near": 5}, "near must be a run's folder, a file of noise, a tensor"),
        ({"near": torch.randn(48), "distance": 0.0}, "distance must be above 0 near a single noise; got 0"),
        ({"near": torch.randn(48), "distance": 2.0}, "distance must be"),
        ({"near": torch.randn(48), "space": "low_band"}, "near must be left out with space=low_band"),
        ({"near": torch.randn(48), "init": torch.randn(48)}, "near must be left out with init"),
        ({"near": torch.randn(48), "strategy": "surrogate"}, "space must be 'all', and near left out, with"),
    ],
)
def test_mistakes_are_one_line(options, message):
    with pytest.raises(InputError, match=message) as caught:
        zo_dno.optimize(ToyGenerator(), "brightness", **options)
    assert "\n" not in str(caught.value)
