"""What every search of several answers keeps: money, missing scores, and resuming."""

import math
from importlib.util import find_spec

import numpy as np
import pytest

import zo_dno
from tests.support.combinations import bright, priced, rough
from tests.support.resuming import content
from tests.support.toys import SmoothToy, ToyGenerator
from zo_dno.types import Score

BRIEF = {"population": 4, "first": 4, "renders": 2}
SET, FRONT = {"diverse": 3, "min_distance": 0.1}, {"reward_options": {"warm_up": 8}}
SEARCHES = {
    "robot": (SET, BRIEF),
    "niching": (SET, {"population": 4}),
    "cma_me": ({"measures": ["brightness", "contrast"]}, {"population": 4}),
    "parego": (FRONT, BRIEF),
    "nsga2": (FRONT, {"population": 4}),
}


def holes(images, prompts):
    """Lack a score for a third of the images, by their pixels."""
    value = rough(images, prompts)[0]
    return [Score(math.nan, "no idea") if np.asarray(images[0]).sum() % 3 == 0 else value]


def paid_run(name, folder, resumed=None, **options):
    """Run a search whose reward has a price, and return its result and the images that were paid for."""
    paid = priced(holes, 0.01)
    given, own = SEARCHES[name]
    rewards = [paid, bright] if given is FRONT else paid
    toy = SmoothToy() if name in ("robot", "parego") else ToyGenerator()
    if resumed:
        return zo_dno.resume(folder, generator=toy, reward=rewards, **options), paid.log
    made = {"queries": 16, "seed": 3, "strategy_options": own, **given, **options}
    return zo_dno.optimize(toy, rewards, name, out=folder, **made), paid.log


@pytest.mark.parametrize(
    "name",
    [
        "niching",
        pytest.param("robot", marks=pytest.mark.slow),
        pytest.param("parego", marks=pytest.mark.slow),
        pytest.param("nsga2", marks=pytest.mark.skipif(not find_spec("pymoo"), reason="needs pymoo")),
        pytest.param(
            "cma_me", marks=[pytest.mark.slow, pytest.mark.skipif(not find_spec("ribs"), reason="needs pyribs")]
        ),
    ],
)
def test_money_ends_a_search_and_more_of_it_resumes_it_to_the_same_end(tmp_path, name):
    whole, every = paid_run(name, tmp_path / "whole")
    assert 0 < whole.failed_queries < 16
    answers = whole.front or whole.diverse or whole.elites
    missing = {row.id for row in whole.history if row.value is None}
    assert len(answers) > 0
    assert missing.isdisjoint(row.id for row in answers)
    limit = 0.01 * (len(every) - 5) + 0.005
    stopped, paid = paid_run(name, tmp_path / "parts", max_cost=limit)
    assert (stopped.stopped_by, len(paid)) == ("cost", len(every) - 5)
    assert stopped.cost <= limit
    ended, more = paid_run(name, tmp_path / "parts", resumed=True, max_cost=9.0)
    assert paid + more == every  # in the same order, and none twice
    assert ended.cost == pytest.approx(whole.cost)
    one, other = (content(tmp_path / folder) for folder in ("whole", "parts"))
    assert one[:3] == other[:3]
    assert one[4] == other[4]
