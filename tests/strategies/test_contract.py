"""The laws that every entry of the table keeps, whatever it does inside."""

import hashlib
import os
import subprocess
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.play import BRIEF_OPTIONS, NAMES, WHITE_BOX, fit_briefly, load, make, play
from zo_dno.errors import AskTellError, InputError
from zo_dno.rng import stream
from zo_dno.strategy import Problem, Strategy
from zo_dno.testing import STRATEGY_LAWS
from zo_dno.testing import strategy_laws as laws
from zo_dno.testing.search import holes, with_model
from zo_dno.testing.strategy_laws import MakeStrategy
from zo_dno.types import Candidates

few = settings(max_examples=3, deadline=None, derandomize=True)
every = pytest.mark.parametrize("name", NAMES)
AROUND_THE_START = {"zo_sgd", "openai_es", "pgpe"}  # their first candidates depend on each other
ON_THE_SHELL = {
    "auto",
    "normal_es",
    "snes",
    "cmaes",
    "nevergrad",
    "cross_entropy",
    "pgpe",
}  # the others keep the prior's spread of norms

MANY = {"turbo": 1000}  # what some take for many dimensions
WITH_CASES = {"asks_for_noise", "replays", "survives_missing_scores", "resumes", "keeps_norms"}  # tested case by case

PROCESS = """
import sys, torch
from tests.support.play import BRIEF_FIT, NAMES, load
from tests.strategies.test_contract import digest
torch.set_num_threads(1)
classes = [load(name) for name in NAMES]
assert not {"cma", "nevergrad", "ray", "diffusers"} & set(sys.modules), "importing strategies must be light"
vars(sys.modules["zo_dno.strategies.turbo"]).update(BRIEF_FIT)
for name in sys.argv[1:]:
    print(name, digest(name))
"""


@pytest.fixture(autouse=True)
def brief_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    fit_briefly(monkeypatch)


def digest(name: str) -> str:
    """Fingerprint what a strategy asks for."""
    asked = torch.cat(play(make(name, seed=3, **BRIEF_OPTIONS.get(name, {})), holes, 4))
    return hashlib.sha256(asked.numpy().tobytes()).hexdigest()


def made(name: str, population: int = 6) -> MakeStrategy:
    """Build a table entry for any problem."""
    options = BRIEF_OPTIONS.get(name, {})
    return lambda problem: with_model(load(name)(problem, population=population, **options))


@every
@few
@given(d=st.integers(4, 40), n=st.integers(5, 9), seed=st.integers(0, 2**40))
@pytest.mark.fast_cases(12)
def test_asks_for_noise(name: str, d: int, n: int, seed: int) -> None:
    assert isinstance(made(name, n)(Problem(d, 64, seed)), Strategy)
    laws.asks_for_noise(made(name, n), d, seed)


@every
@few
@given(d=st.integers(4, 40), n=st.integers(5, 9), seed=st.integers(0, 2**40))
@pytest.mark.fast_cases(12)
def test_replays_bit_for_bit(name: str, d: int, n: int, seed: int) -> None:
    laws.replays(made(name, n), d, seed)


@pytest.mark.slow
@pytest.mark.parametrize("names", [("snes", "genetic"), tuple(NAMES)])
def test_another_process_asks_the_same(names: tuple[str, ...]) -> None:
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    run = subprocess.run([sys.executable, "-c", PROCESS, *names], capture_output=True, text=True, env=environment)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == [word for name in names for word in (name, digest(name))]


@every
@pytest.mark.parametrize("value", [torch.nan, 0.0, -7.5])
@pytest.mark.fast_cases(22)
def test_survives_scores_that_say_nothing(name: str, value: float) -> None:
    laws.survives(made(name), value)


@every
def test_survives_a_single_score(name: str) -> None:
    laws.survives_a_single_score(made(name))


@pytest.mark.parametrize("law", [law for law in STRATEGY_LAWS if law not in WITH_CASES])
@every
def test_keeps_the_law(name: str, law: str) -> None:
    STRATEGY_LAWS[law](made(name))


@every
def test_refusals_say_what_does_not_fit(name: str) -> None:
    strategy = make(name)
    with pytest.raises(AskTellError, match="rows of one ask that waits for scores"):
        strategy.tell(Candidates(torch.zeros(1, 12), (0,)), torch.zeros(1))
    candidates = strategy.ask()
    n = len(candidates)
    with pytest.raises(AskTellError, match=rf"scores must be \({n},\), one a candidate; got \({n + 1},\)"):
        strategy.tell(candidates, torch.zeros(n + 1))
    with pytest.raises(AskTellError, match=rf"scores must be \({n},\), one a candidate; got \({n}, 1\)"):
        strategy.tell(candidates, torch.zeros(n, 1))
    with pytest.raises(AskTellError, match="scores must be finite or NaN"):
        strategy.tell(candidates, torch.full((n,), torch.inf))
    with pytest.raises(AskTellError, match="each once"):
        strategy.tell(Candidates(candidates.z[:2], (0, 0)), torch.zeros(2))
    strategy.tell(candidates[:2], torch.zeros(2))
    with pytest.raises(AskTellError, match="told once"):
        strategy.tell(candidates[1:], torch.zeros(n - 1))
    with pytest.raises(AskTellError, match=f"ask must wait until the last population is told; {n - 2} of {n}"):
        strategy.ask()
    strategy.tell(candidates[2:], torch.zeros(n - 2))
    strategy.ask()
    with pytest.raises(AskTellError, match="rows of one ask that waits for scores"):
        strategy.tell(candidates, torch.zeros(n))


@every
def test_refuses_a_space_that_does_not_fit(name: str) -> None:
    with pytest.raises(InputError, match="d must be at least 1; got 0"):
        make(name, d=0)
    with pytest.raises(InputError, match="population must be at least"):
        make(name, population=-1 if name == "auto" else 0)  # of which 0 means that it may choose
    with pytest.raises(InputError, match=r"init must be noise of 12 entries; got \(11,\)"):
        make(name, init=torch.zeros(11))
    with pytest.raises(InputError, match="init must be finite"):
        make(name, init=torch.full((12,), torch.nan))
    with pytest.raises(InputError, match=r"sizes must sum to d = 12; got \(5, 6\)"):
        make(name, sizes=(5, 6))


@every
@pytest.mark.parametrize("told", [0, 1, None])
@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.fast_cases(44)
def test_resumes_bit_for_bit(name: str, before: int, told: int | None) -> None:
    laws.resumes_from(made(name), before, told)


@every
def test_resumes_before_the_first_ask(name: str) -> None:
    laws.resumes_before_the_first_ask(made(name))


@every
@pytest.mark.fast_cases(12)
def test_keeps_norms(name: str) -> None:
    laws.keeps_norms(made(name, population=16), tolerance=1e-5 if name in ON_THE_SHELL else None)


@every
def test_starts_from_init(name: str) -> None:
    init = torch.randn(400, generator=stream(0, "test"))
    strategy = make(name, d=400, init=init.double().requires_grad_())
    candidates = strategy.ask()
    assert torch.equal(candidates.z[0], init)
    init.zero_()
    assert bool(strategy.start.any())
    if name != "random_search":
        near = torch.nn.functional.cosine_similarity(candidates.z[1:], candidates.z[:1])
        assert float(near.min()) > 0.6


@every
def test_first_candidates_are_prior_draws(name: str) -> None:
    """Means and squares of 16 x 2,000 entries within 5 standard errors; a false alarm is below 1e-6."""
    z = make(name, d=MANY.get(name, 2000), population=16).ask().z
    around_the_start = name in AROUND_THE_START | (WHITE_BOX - {"fast_direct", "surrogate"})
    n = z.shape[1] if around_the_start else z.numel()
    assert abs(float(z.mean())) < 5 / n**0.5
    assert abs(float(z.square().mean()) - 1) < 5 * (2 / n) ** 0.5
    if not around_the_start:
        pairs = (z @ z.T)[*torch.triu_indices(len(z), len(z), 1)] / z.shape[1]
        assert float(pairs.abs().max()) < 6 / z.shape[1] ** 0.5


def test_table_holds_classes() -> None:
    assert all(load(name).__doc__ for name in NAMES)
