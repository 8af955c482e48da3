"""Blocks of images: nothing is rendered in vain, and every session cuts populations in the same way."""

from collections import Counter

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import zo_dno
from zo_dno.noise.space import NoiseLayout
from zo_dno.search.blocks import Blocks
from zo_dno.storage.ledger import PopulationRow
from zo_dno.types import balanced_slices


@given(st.integers(0, 200), st.integers(1, 40))
def test_balanced_slices_are_few_and_nearly_equal(total, most):
    made = balanced_slices(total, most)
    assert [row for rows in made for row in range(total)[rows]] == list(range(total))
    sizes = [rows.stop - rows.start for rows in made]
    assert len(sizes) == -(-total // most)
    assert max(sizes, default=0) - min(sizes, default=0) <= 1


@given(st.integers(1, 60), st.integers(0, 100), st.integers(1, 20), st.sets(st.integers(0, 160)), st.booleans())
def test_blocks_hold_every_candidate_once(n, first, most, ends, padded):
    blocks = Blocks(most, tuple(ends), padded=padded)
    made = blocks.of(n, first)
    assert [row for rows in made for row in range(n)[rows]] == list(range(n))
    z = torch.randn(n, 3)
    for rows in made:
        filled = blocks.filled(z[rows])
        assert len(filled) == most if padded else len(filled) <= most
        assert torch.equal(filled[: rows.stop - rows.start], z[rows])
    if not padded:
        stops = {first + rows.stop for rows in made}
        assert {end for end in ends if first < end < first + n} <= stops


@pytest.mark.parametrize(("padded", "sizes"), [(False, [6, 6, 6, 8]), (True, [8, 8, 8, 8])])
def test_an_image_is_rendered_with_those_of_its_block(padded, sizes):
    population, blocks = PopulationRow("search", 25, 500, 20, ""), Blocks(8, (512,), padded=padded)
    assert [blocks.rendered_with(population, id_) for id_ in (500, 505, 511, 512)] == sizes


class Counting:
    """A generator of grey images that counts the rows it renders, and depends on how many there are."""

    probed = True  # so that a run does not try it first

    def __init__(self, batch_size):
        self.layout, self.nfe = NoiseLayout(((4, 4),)), 1
        self.batch_size, self.rendered, self.calls = batch_size, 0, Counter()

    def __call__(self, z):
        assert len(z) <= (self.batch_size or len(z))
        self.rendered += len(z)
        self.calls[len(z)] += 1
        grey = (128 + 20 * z.mean(1) + len(z)).clamp(0, 255)
        return grey.to(torch.uint8)[:, None, None, None].expand(-1, 8, 8, 3).contiguous()


def optimized(generator, **options):
    return zo_dno.optimize(generator, "brightness", **{"seed": 3, "threads": 1, "min_log_prob": None, **options})


@pytest.mark.parametrize("population", [1, 3, 8, 20])
@pytest.mark.parametrize("batch_size", [None, 1, 4, 8, 16, 32])
@pytest.mark.fast_cases(5)
def test_no_image_is_rendered_in_vain(batch_size, population):
    generator = Counting(batch_size)
    result = optimized(generator, strategy="random_search", strategy_options={"population": population}, queries=50)
    assert generator.rendered == result.images == 50
    assert result.unused_images == 0
    assert result.to_dict()["unused_share"] == 0


@pytest.mark.parametrize("batch_size", [4, 16])
def test_the_baseline_and_the_re_evaluation_render_nothing_in_vain(batch_size):
    generator = Counting(batch_size)
    options = {"strategy": "snes", "strategy_options": {"population": 7}, "baseline": 10, "repeats": 16}
    result = optimized(generator, queries=60, **options)
    assert result.queries == 60
    assert generator.rendered == result.images + 10
    assert result.unused_images == 0


def test_a_budget_that_ends_elsewhere_than_planned_is_counted(tmp_path):
    generator = Counting(None)
    options = {"strategy": "random_search", "strategy_options": {"population": 20}}
    result = optimized(generator, queries=50, horizon=100, **options)
    assert generator.rendered == 60
    assert (result.unused_images, result.to_dict()["unused_share"]) == (10, 0.1667)


@pytest.mark.parametrize("queries", [20, 23, 40])
def test_a_larger_budget_cuts_blocks_as_if_it_had_been_there_before(tmp_path, queries):
    options = {"strategy": "snes", "strategy_options": {"population": 20}, "horizon": 57}
    whole = optimized(Counting(8), queries=70, **options)
    optimized(Counting(8), queries=queries, out=tmp_path / "run", **options)
    resumed = zo_dno.resume(tmp_path / "run", queries=70, generator=Counting(8))
    assert [row.value for row in resumed.history] == [row.value for row in whole.history]


def test_a_run_of_before_is_resumed_with_padded_blocks(tmp_path, monkeypatch):
    """Such a run has no word on its blocks in the ledger."""
    from zo_dno.run.manifest import Manifest
    from zo_dno.storage.ledger import Ledger

    options = {"strategy": "snes", "strategy_options": {"population": 6}}
    made = Manifest.__init__

    def padded(self, ledger, *arguments, **named):
        made(self, ledger, *arguments, **named)
        self.padded = True
        ledger.set({"padded": True})

    with monkeypatch.context() as before:
        before.setattr(Manifest, "__init__", padded)
        whole = optimized(Counting(8), queries=24, **options)
        optimized(Counting(8), queries=12, horizon=24, out=tmp_path / "run", **options)
    ledger = Ledger(tmp_path / "run" / "ledger.db")
    ledger.set({"padded": None, "ends": None})
    ledger.close()
    generator = Counting(8)
    resumed = zo_dno.resume(tmp_path / "run", queries=24, generator=generator)
    assert [row.value for row in resumed.history] == [row.value for row in whole.history]
    assert set(generator.calls) == {8}
    assert resumed.unused_images == 4 * 2
