"""What predictions turned out to be worth."""

import pytest
import torch
from scipy.stats import spearmanr

from zo_dno.rng import stream
from zo_dno.surrogate.trust import rank_correlation


def test_it_is_spearmans_with_ties_as_well():
    one, other = torch.randn(2, 30, generator=stream(0, "numbers")).round(decimals=0)
    assert rank_correlation(one, other) == pytest.approx(spearmanr(one, other).statistic)


@pytest.mark.parametrize("flat", [0, 1])
def test_what_does_not_vary_has_none(flat):
    pair = [torch.arange(5.0), torch.arange(5.0)]
    pair[flat] = torch.ones(5)
    assert rank_correlation(*pair) == 0
