"""Search spaces: what they map to what, and every strategy in every one of them."""

from functools import partial

import pytest
import torch

import zo_dno
from tests.support.play import NAMES, WHITE_BOX, fit_briefly, load, play, same_candidates
from tests.support.toys import ToyGenerator
from zo_dno.errors import AskTellError, InputError
from zo_dno.noise.space import NoiseLayout
from zo_dno.rng import stream
from zo_dno.run.make_strategy import find_space
from zo_dno.search.objective import Objective
from zo_dno.spaces import SPACES
from zo_dno.spaces.in_space import InSpace, in_space
from zo_dno.spaces.low_band import LowBand
from zo_dno.spaces.space import LinearSpace
from zo_dno.strategy import Problem, UsesRegularizer
from zo_dno.testing.strategy_laws import STRATEGY_LAWS
from zo_dno.types import Candidates

NOISE = NoiseLayout(((4, 8, 8), (4, 8, 8)))
OPTIONS = {
    "all": {},
    "low_band": {"dims": 64},
    "subspace": {"dims": 32},
    "elites": {"dims": 6, "draws": 20},
    "channels": {},
    "draws": {"only": [1]},
}
LINEAR = [("low_band", {"dims": 64}), ("low_band", {"dims": 32, "transform": "haar"}), ("subspace", {"dims": 32})]
every = pytest.mark.parametrize("name", sorted(SPACES))
linear = pytest.mark.parametrize(("name", "options"), LINEAR)


def start(seed=0):
    return torch.randn(NOISE.d, generator=stream(seed, "start"))


def make(name, options=None, seed=0):
    space = find_space(name, OPTIONS[name] if options is None else options)(NOISE, start(seed), seed)
    if space.warm_up:
        z = torch.randn(space.warm_up, NOISE.d, generator=stream(seed, "warm"))
        space.settle(z, z[:, 0])
    return space


def strategy_in(name, strategy="snes", seed=0, horizon=200, **options):
    build = partial(load(strategy), population=6, **options)
    return in_space(Problem(NOISE.d, horizon, seed, NOISE.sizes), NOISE, find_space(name, OPTIONS[name]), build)


def first_half(z):
    """A reward that every space can change."""
    return z[:, :64].sum(1) - z[:, 256:300].sum(1)


@every
def test_gaussian_coordinates_give_plausible_noise(name):
    """Of 40 at a level of 1 % at most 4 are not; more would happen by chance in 0.1 % of all cases."""
    space = make(name, seed=3)
    z = space.to_noise(torch.randn(40, space.k, generator=stream(1, "coordinates")))
    assert z.shape == (40, NOISE.d)
    assert int(Objective(NOISE).plausibility(z).plausible.sum()) >= 36


@every
def test_every_coordinate_has_an_effect(name):
    space = make(name)
    y = torch.randn(1, space.k, generator=stream(2, "coordinates"))
    moved = y + torch.eye(space.k)
    apart = (space.to_noise(moved) - space.to_noise(y)).norm(dim=1)
    assert float(apart.min()) > 1e-4


@pytest.mark.parametrize("name", sorted(set(SPACES) - {"elites"}))
def test_the_origin_is_the_start(name):
    space = make(name, seed=4)
    assert torch.equal(space.to_noise(space.origin[None])[0], start(4))


@linear
def test_a_basis_is_orthonormal_and_leaves_the_rest_alone(name, options):
    space = make(name, options)
    assert isinstance(space, LinearSpace)
    y = torch.randn(5, space.k, generator=stream(3, "coordinates"))
    z = space.to_noise(y)
    assert torch.allclose(space.coordinates(z), y, atol=1e-4)
    assert torch.allclose(space.coordinates(space.spread(torch.eye(space.k))), torch.eye(space.k), atol=1e-5)
    outside = z - space.spread(space.coordinates(z))
    assert torch.allclose(outside, (start() - space.spread(space.origin[None])[0]).expand_as(z), atol=1e-4)


def test_the_lowest_modes_are_smooth():
    """A low band of noise correlates neighbours; all of the noise does not."""
    space = make("low_band", {"dims": 32})
    z = NOISE.split(space.spread(torch.randn(200, space.k, generator=stream(5, "modes"))))[0]
    products = (z[..., 1:] * z[..., :-1]).mean() / z.square().mean()
    assert float(products) > 0.7


def test_haar_takes_means_of_blocks():
    space = make("low_band", {"dims": 32, "transform": "haar"})
    z = NOISE.split(space.spread(torch.eye(space.k)[:1]))[0][0, 0]
    assert torch.allclose(z[:4, :4], torch.full((4, 4), 0.25))
    assert not bool(z[4:].any())


def test_dims_are_shared_out_equally():
    assert make("low_band", {"dims": 100}).k == 96  # 12 for each of 8 channels
    assert make("low_band", {"dims": NOISE.d}).k == NOISE.d


def test_draws_that_are_not_chosen_stay():
    z = make("draws").to_noise(torch.randn(3, 256, generator=stream(6, "one")))
    assert torch.equal(z[:, :256], start()[:256].expand(3, -1))


def test_elites_are_the_best_of_the_warm_up_and_one_alone_is_itself():
    space = make("elites")
    z = torch.randn(20, NOISE.d, generator=stream(0, "warm"))
    best = z[z[:, 0].argsort(descending=True)[:6]]
    for row in range(6):
        found = space.to_noise(torch.eye(6)[row : row + 1] * 6**0.5)[0]
        assert float(torch.cosine_similarity(found, best[row], dim=0)) > 0.998  # its draws are put on the shell


PAIRS = [
    pytest.param(space, strategy, marks=() if strategy == "snes" or space == "low_band" else pytest.mark.slow)
    for space in sorted(SPACES)
    for strategy in NAMES
    if strategy not in WHITE_BOX
]


@pytest.mark.parametrize(("space", "strategy"), PAIRS)
@pytest.mark.fast_cases(10)
def test_every_strategy_searches_every_space(space, strategy, monkeypatch):
    """The same twice, with missing scores and ties, from the same first noise; and as before after a snapshot."""
    fit_briefly(monkeypatch)

    def holes(z):
        scores = first_half(z).mul(0.5).round()
        scores[1::3] = torch.nan
        return scores

    first, second, third = (strategy_in(space, strategy, seed=7) for _ in range(3))
    asked, again = (play(made, holes, 9) for made in (first, second))
    assert same_candidates(asked, again)
    assert torch.equal(asked[0][0], start(7))
    third.load_state_dict(first.state_dict())
    assert same_candidates(play(first, holes, 3), play(third, holes, 3))


@every
def test_ids_count_up(name):
    made, ids = strategy_in(name), []
    for _ in range(8):
        candidates = made.ask()
        ids += candidates.ids
        made.tell(candidates, first_half(candidates.z))
    assert ids == list(range(len(ids)))


@every
@pytest.mark.fast_cases(3)
def test_a_search_gets_better_than_its_start(name):
    """A mean gain over 8 seeds of more than 3 standard errors; first_half has a standard deviation of 10."""
    gains = []
    for seed in range(8):
        best = max(float(first_half(z).max()) for z in play(strategy_in(name, seed=seed), first_half, 25))
        gains.append(best - float(first_half(start(seed)[None])))
    gains = torch.tensor(gains)
    assert float(gains.mean()) > 3 * float(gains.std()) / 8**0.5


def test_a_population_told_in_parts_is_told_whole():
    whole, parts = strategy_in("elites"), strategy_in("elites")
    for _ in range(6):
        candidates, same = whole.ask(), parts.ask()
        assert torch.equal(candidates.z, same.z)
        whole.tell(candidates, first_half(candidates.z))
        for rows in (slice(2, None), slice(0, 2)):
            parts.tell(same[rows], first_half(same.z[rows]))


def test_the_regularizer_is_one_of_noise():
    made = strategy_in("low_band", "zo_sgd")
    assert isinstance(made, UsesRegularizer)
    made.use_regularizer(lambda z: -z.square().sum(1))
    for _ in range(3):
        candidates = made.ask()
        made.tell(candidates, first_half(candidates.z))
    assert not isinstance(strategy_in("low_band", "snes"), UsesRegularizer)
    assert isinstance(made, InSpace)


def test_a_run_in_a_space_is_gone_on_with_to_the_same_end(tmp_path):
    settings = {"strategy_options": {"population": 8}, "seed": 2, "space": "elites", "space_options": {"dims": 4}}
    whole = zo_dno.optimize(ToyGenerator(), "brightness", "snes", queries=60, **settings)
    zo_dno.optimize(ToyGenerator(), "brightness", "snes", queries=26, horizon=60, out=tmp_path / "run", **settings)
    rest = zo_dno.resume(tmp_path / "run", queries=60, generator=ToyGenerator())
    assert [query.value for query in rest.history] == [query.value for query in whole.history]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("low_bands", {}, "space 'low_bands' is unknown. Did you mean 'low_band'"),
        ("low_band", {"dims": 7}, "dims must be between 8, one for each channel, and d = 512; got 7"),
        ("low_band", {"transform": "fft"}, "low_band option 'transform' does not fit"),
        ("subspace", {"dims": 513}, "dims must be between 1 and d = 512; got 513"),
        ("subspace", {"dims": 10**7}, "dims must be at most .*whose basis takes 20 GB. space=low_band needs none"),
        ("elites", {"dims": 1}, "dims must be between 2 and d = 512; got 1"),
        ("elites", {"dims": 8, "draws": 4}, "draws must be at least dims = 8; got 4"),
        ("draws", {"only": [2]}, "only must be numbers of the 2 draws"),
        ("draws", {"only": []}, "only must be numbers of the 2 draws"),
        ("subspace", {"seed": 3}, "subspace option 'seed' is unknown"),
    ],
)
def test_a_space_that_does_not_fit_is_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        find_space(name, options)(NOISE, start(), 0)


@pytest.mark.parametrize(
    ("name", "shapes"), [("low_band", ((48,),)), ("channels", ((48,),)), ("channels", ((4, 8), (3, 8)))]
)
def test_noise_without_the_axes_that_a_space_needs_is_refused(name, shapes):
    noise = NoiseLayout(shapes)
    with pytest.raises(InputError, match=f"space {name} must have draws"):
        find_space(name, {})(noise, torch.zeros(noise.d), 0)


def test_gradients_are_for_all_of_the_noise():
    with pytest.raises(InputError, match="space must be 'all', and near left out, with Hybrid2"):
        strategy_in("low_band", "hybrid2")


def test_a_basis_is_the_first_modes_of_a_cosine_transform():
    from scipy.fft import dctn

    space = LowBand(NoiseLayout(((1, 8, 8),)), torch.zeros(64), 0, dims=64)
    image = torch.randn(1, 64, generator=stream(9, "image"))
    wanted = dctn(image.reshape(8, 8).double().numpy(), norm="ortho").flatten()
    assert sorted(space.coordinates(image)[0].tolist()) == pytest.approx(sorted(wanted), abs=1e-5)


class Noting:
    """Passes everything on to a strategy, and notes what it is told."""

    def __init__(self, problem):
        self.inner = load("normal_es")(problem, population=4)
        self.asked, self.told = {}, {}

    def ask(self):
        candidates = self.inner.ask()
        self.asked |= dict(zip(candidates.ids, candidates.z.clone(), strict=True))
        return candidates

    def tell(self, candidates, scores):
        self.told |= dict(zip(candidates.ids, candidates.z, strict=True))
        self.inner.tell(candidates, scores)

    def state_dict(self):
        return self.inner.state_dict()

    def load_state_dict(self, state):
        self.inner.load_state_dict(state)


def with_lag(lag=2):
    return InSpace(Problem(NOISE.d, 200, 1, NOISE.sizes, lag=lag), NOISE, find_space("low_band", {"dims": 64}), Noting)


def test_with_a_lag_the_strategy_is_told_the_coordinates_of_every_population():
    made = with_lag()
    asked = [made.ask() for _ in range(3)]
    for candidates in (asked[1], asked[0], asked[2]):
        for rows in (slice(2, None), slice(0, 2)):
            made.tell(candidates[rows], first_half(candidates.z[rows]))
    assert sorted(made.inner.told) == list(range(12))
    assert all(torch.equal(z, made.inner.asked[id_]) for id_, z in made.inner.told.items())


def test_pending_coordinates_are_kept_in_the_state():
    made, again = with_lag(), with_lag()
    asked = [made.ask() for _ in range(3)]
    made.tell(asked[0][:1], torch.zeros(1))
    again.load_state_dict(made.state_dict())
    for candidates in (asked[0][1:], asked[1], asked[2]):
        again.tell(candidates, first_half(candidates.z))
    assert all(torch.equal(z, made.inner.asked[id_]) for id_, z in again.inner.told.items())
    assert len(again.inner.told) == 11
    with pytest.raises(AskTellError, match="candidates must be rows of one ask that wait for scores, each once"):
        again.tell(asked[0][:1], torch.zeros(1))


def test_a_state_of_an_earlier_version_is_continued():
    """It has the coordinates of the last population alone."""
    made, again = with_lag(), with_lag()
    asked = [made.ask() for _ in range(3)]
    state = made.state_dict()
    last = asked[-1].ids
    kept = state.pop("pending"), state.pop("pending_ids"), state.pop("lost")
    again.load_state_dict(state | {"asked": kept[0][-len(last) :], "asked_ids": list(last)})
    for candidates in asked:
        again.tell(candidates, first_half(candidates.z))
        made.tell(candidates, first_half(candidates.z))
    assert all(torch.equal(again.inner.told[id_], made.inner.asked[id_]) for id_ in last)
    assert torch.equal(made.ask().z, again.ask().z)


def small_space(name, options, strategy="normal_es"):
    """Return what makes a strategy in a space of small noise, as the laws of strategies call it."""

    def make(problem):
        build = partial(load(strategy), population=4)
        return in_space(problem, NoiseLayout(((1, 1, problem.d),)), find_space(name, options), build)

    return make


@pytest.mark.parametrize("law", ["refuses_what_it_did_not_ask", "takes_parts_in_any_order", "resumes"])
@pytest.mark.parametrize(
    ("name", "options"), [("all", {}), ("subspace", {"dims": 6}), ("elites", {"dims": 4, "draws": 20})]
)
def test_laws_of_strategies_hold_in_a_space(name, options, law):
    STRATEGY_LAWS[law](small_space(name, options))


@pytest.mark.parametrize("ids", [(16,), (-1,), (0, 0)])
def test_a_warm_up_takes_only_what_it_asked(ids):
    made = strategy_in("elites")
    made.ask()
    with pytest.raises(AskTellError, match=r"candidates must be rows of one ask .*got ids"):
        made.tell(Candidates(torch.zeros(len(ids), NOISE.d), ids), torch.zeros(len(ids)))


def test_a_warm_up_is_told_finite_scores():
    made = strategy_in("elites")
    candidates = made.ask()
    with pytest.raises(AskTellError, match="scores must be finite or NaN"):
        made.tell(candidates, torch.full((len(candidates),), torch.inf))
