"""Generators of arrays: rewards that ask for arrays get them, people and other rewards get images."""

import numpy as np
import pytest
import torch

import zo_dno
from tests.support import fake_ray

SHAPE = (16,)
SEEN: list[np.ndarray] = []


def heights(z):
    """Return terrain of 4 x 4 heights in metres, as NumPy arrays."""
    return z.numpy().reshape(-1, 4, 4) * 1000


def shaded(terrain):
    """Show heights: two terrains that differ by less than a metre look the same."""
    grey = (terrain[:, None] / 4000 + 0.5).clamp(0, 1)
    return grey.expand(-1, 3, -1, -1)


heights.shape, heights.to_image = SHAPE, shaded  # type: ignore[attr-defined]


def peak(arrays):
    SEEN.extend(arrays)
    return [float(one.max()) for one in arrays]


def bright(images):
    return [float(np.asarray(one).mean()) for one in images]


@pytest.fixture(autouse=True)
def nothing_seen():
    SEEN.clear()


def terrain():
    return zo_dno.FunctionGenerator(heights, SHAPE, to_image=shaded, batch_size=8)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_reward_gets_what_it_asks_for(workers, monkeypatch, tmp_path):
    if workers:
        fake_ray.put_in_place(monkeypatch)
    result = zo_dno.optimize(heights, peak, queries=48, workers=workers, held_out=[bright], out=tmp_path / "run")
    assert result.best.reward > 1000
    assert result.best.image.shape == (4, 4, 3)
    assert result.held_out["bright"][1] == pytest.approx(result.best.image.mean())
    terrain = heights(result.best.z[None])[0]
    assert result.best.reward == pytest.approx(float(terrain.max()))
    if not workers:
        assert {(one.shape, one.dtype.name) for one in SEEN} == {((4, 4), "float32")}


def test_images_are_arrays_where_a_generator_gives_nothing_else():
    from tests.support.toys import ToyGenerator

    zo_dno.optimize(ToyGenerator(), peak, queries=16)
    assert {(one.shape, one.dtype.name) for one in SEEN} == {((8, 8, 3), "uint8")}


def test_actors_render_arrays_and_score_them(monkeypatch, tmp_path):
    fake_ray.put_in_place(monkeypatch)
    alone = zo_dno.optimize(terrain(), peak, queries=32)
    pool = zo_dno.GeneratorPool(terrain, 2)
    try:
        z = torch.randn(3, 16)
        assert torch.equal(pool.render_arrays(z)[1], torch.from_numpy(heights(z)))
        for workers in (0, 1):
            found = zo_dno.optimize(pool, peak, queries=32, workers=workers)
            assert [row.value for row in found.history] == [row.value for row in alone.history]
    finally:
        pool.close()


def test_arrays_that_look_the_same_are_different_queries():
    def flat(z):
        return torch.full((len(z), 2, 2), 0.2) + z[:, :1, None] * 1e-4

    generator = zo_dno.FunctionGenerator(flat, (4,), to_image=shaded)
    result = zo_dno.optimize(generator, peak, "random_search", queries=16)
    assert len({row.image for row in result.history}) == 1
    assert len({row.value for row in result.history}) == 16
    assert result.cached_queries == 0
    assert zo_dno.optimize(generator, bright, "random_search", queries=16).cached_queries == 15


def noisy(arrays):
    assert all(one.shape == (4, 4) for one in arrays)
    return [float(one.max()) + 1e-3 * len(SEEN) for one in arrays if SEEN.append(one) is None]


noisy.noisy, noisy.version = True, "1"  # type: ignore[attr-defined]


def test_the_best_arrays_are_scored_again_also_after_a_resume(tmp_path):
    stop = zo_dno.Stop()
    first = zo_dno.optimize(
        *(terrain(), noisy, "random_search"),
        queries=40,
        out=tmp_path / "run",
        stop=stop,
        on_step=lambda step: stop() if step.queries >= 16 else None,
        strategy_options={"population": 16},
    )
    assert first.status == "interrupted"
    result = zo_dno.resume(tmp_path / "run", generator=terrain(), reward=noisy)
    assert result.repeats
    assert result.drift is None


def test_candidates_without_an_array_or_a_picture_are_missing():
    def some(z):
        if bool((z[:, 0] > 0).any()):
            raise zo_dno.NoImageError(dict.fromkeys((z[:, 0] > 0).nonzero().flatten().tolist(), "no land"), z)
        return z

    generator = zo_dno.FunctionGenerator(some, (16,), to_image=lambda z: shaded(z.reshape(-1, 4, 4)))
    result = zo_dno.optimize(generator, peak, "random_search", queries=16)
    assert {row.error for row in result.history if row.value is None} == {"no land"}
    assert result.best.z[0] <= 0


def test_a_to_image_that_returns_no_images_is_named():
    generator = zo_dno.FunctionGenerator(heights, SHAPE, to_image=lambda terrain: terrain)
    with pytest.raises(zo_dno.InputError, match=r"to_image of heights must give images as .*; got \(1, 4, 4\)"):
        zo_dno.optimize(generator, peak)
