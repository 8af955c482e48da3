import gc
import math
import pickle
import weakref

import numpy as np
import pytest
import torch

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError, RunError

FAST = {"queries": 48, "seed": 3, "min_log_prob": "1%"}


def brightness(images, prompts):
    return [float(np.asarray(image).mean()) for image in images]


def run(toy, reward=brightness, strategy="snes", **options):
    return zo_dno.optimize(toy, reward, strategy, **{**FAST, **options})


def test_finds_more_than_it_started_from(toy):
    result = run(toy)
    assert result.status == "finished"
    assert result.queries == len(result.history) == 48
    assert result.nfe == 48 * toy.nfe
    assert result.best.plausible
    assert result.best.reward > result.first.reward
    assert [query.id for query in result.history] == list(range(48))


def test_the_winner_is_the_best_feasible_candidate(toy):
    result = run(toy, strategy="random_search", queries=200)
    plausible = [query for query in result.history if query.plausible]
    assert len(plausible) < 200  # about 2 % of true draws are called implausible; at this seed some are
    assert result.best.reward == max(query.value for query in plausible)
    assert result.best.id == max(plausible, key=lambda query: query.value).id


def test_z_of_the_winner_renders_its_image(toy):
    result = run(toy)
    assert np.array_equal(toy(result.best.z[None])[0].numpy(), result.best.image)
    assert brightness([result.best_image], [""]) == [result.best.reward]


def test_every_infeasible_candidate_is_told_below_every_feasible_one(toy):
    result = run(toy, strategy="random_search", queries=304)
    seen = []
    for query in result.history:
        if query.plausible:
            assert query.told == pytest.approx(query.value)
            seen.append(query.value)
        elif seen:
            assert query.told < min(seen)


def test_without_a_constraint_anything_wins(toy):
    free = run(toy, strategy="random_search", queries=200, min_log_prob=None)
    assert free.best.reward == max(query.value for query in free.history)


def test_gamma_adds_the_regularizer(toy):
    from zo_dno.search.objective import Objective

    result = run(toy, strategy="random_search", queries=64, gamma=2.0, min_log_prob=None)
    plain = run(toy, strategy="random_search", queries=64, gamma=0.0, min_log_prob=None)
    differences = [b.told - a.told for a, b in zip(plain.history, result.history, strict=True)]
    objective = Objective(toy.layout, gamma=2.0, seed=3)
    assert differences[0] == pytest.approx(float(objective.regularizer(plain.first.z[None])), abs=1e-4)
    assert min(differences) < 0
    assert max(differences) <= 1e-5


@pytest.mark.parametrize("bad", [math.nan, "raise", "wrong count", math.inf, "no number"])
def test_a_failed_query_is_missing_and_the_run_continues(toy, bad):
    calls = []

    def sometimes(images, prompts):
        calls.append(1)
        if len(calls) % 5 == 0:
            if bad == "raise":
                raise RuntimeError("the server is asleep")
            if bad == "wrong count":
                return [1.0, 2.0]
            return [bad]
        return brightness(images, prompts)

    result = run(toy, sometimes)
    assert result.failed_queries == 48 // 5
    assert sum(result.failures.values()) == 48 // 5
    missing = [query for query in result.history if query.status == "missing"]
    assert [query.id for query in missing] == list(range(4, 48, 5))
    assert all(query.value is None and query.told is None and query.error for query in missing)
    assert result.best.reward > result.first.reward


def test_a_run_without_any_score_ends_with_an_error(toy, tmp_path):
    def never(images, prompts):
        raise KeyError("no such picture")

    with pytest.raises(RunError, match=r"None of 48 queries got a score.*no such picture"):
        run(toy, never, policy={"breaker": 0}, out=tmp_path / "run")
    assert (tmp_path / "run" / "ledger.db").exists()


def test_the_budget_cuts_the_last_population(toy):
    assert run(toy, queries=21).queries == 21


def test_seconds_end_a_run(toy):
    result = run(toy, queries=10**6, seconds=0.2, strategy="random_search")
    assert 0 < result.queries < 10**6


def test_a_target_ends_a_run(toy):
    goal = run(toy).improvements[1].reward
    result = run(toy, target=goal)
    assert result.status == "target"
    assert result.best.reward >= goal
    assert result.queries < 48


def test_ctrl_c_keeps_what_was_found(toy, tmp_path):
    calls = []

    def interrupted(images, prompts):
        calls.append(1)
        if len(calls) == 40:
            raise KeyboardInterrupt
        return brightness(images, prompts)

    result = run(toy, interrupted, out=tmp_path / "run")
    assert result.status == "interrupted"
    assert result.queries == 39  # those of the unfinished population are kept too
    assert (tmp_path / "run" / "result.json").exists()
    assert (tmp_path / "run" / "best.png").exists()


def test_starts_from_a_given_noise(toy, tmp_path):
    before = run(toy, out=tmp_path / "run")
    after = run(toy, init=tmp_path / "run", queries=16)
    assert after.first.reward == before.best.reward
    with pytest.raises(InputError, match=r"init must be noise of 24 entries; got \(48,\)"):
        run(ToyGenerator(24), init=before.best.z)


def test_top_keeps_the_best_that_differ(toy, tmp_path):
    result = run(toy, strategy="random_search", queries=200, top=5, out=tmp_path / "run")
    rewards = [found.reward for found in result.top]
    assert len(rewards) == 5
    assert rewards == sorted(rewards, reverse=True)
    assert result.top[0].id == result.best.id
    assert len(list((tmp_path / "run" / "top").glob("*.png"))) == 5
    for i, one in enumerate(result.top):
        for other in result.top[:i]:
            assert np.abs(one.image.astype(float) - other.image).mean() / 255 >= 0.02


def test_held_out_rewards_see_first_and_best_alone(toy):
    seen = []

    def dark(images, prompts):
        seen.append(len(images))
        return [-value for value in brightness(images, prompts)]

    result = run(toy, held_out=[dark])
    assert seen == [1, 1]
    assert result.held_out == {"dark": (-result.first.reward, -result.best.reward)}


def test_a_measured_baseline_is_best_of_n(toy):
    result = run(toy, baseline="equal")
    assert result.baseline.measured
    assert result.baseline.queries == 48
    assert list(result.baseline.curve[1:]) == sorted(result.baseline.curve[1:])


def test_an_estimated_baseline_agrees_with_the_measured_one(toy):
    """One-sided at 4 standard deviations of a single draw: an estimate from 16 draws is rough."""
    result = run(toy, baseline=0)
    real = run(toy, strategy="random_search", queries=480)
    spread = np.std([query.value for query in real.history])
    assert not result.baseline.measured
    assert abs(result.baseline.curve[-1] - real.best.reward) < 4 * spread


def test_the_same_seed_gives_the_same_result_and_another_one_does_not(toy):
    def plain(result):
        return {key: value for key, value in result.to_dict().items() if key != "seconds"}

    assert plain(run(toy)) == plain(run(toy))
    assert plain(run(toy)) != plain(run(toy, seed=4))


def test_global_random_generators_are_left_alone(toy, tmp_path):
    torch.manual_seed(1)
    np.random.seed(1)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    run(toy, out=tmp_path / "run", baseline=16)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.random.get_state()[1].tolist() == before[1]


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (lambda z: [None] * len(z), r"must give images as \(n, H, W, 3\) of uint8.*got list"),
        (lambda z: torch.zeros(len(z), 8, 8, 3), r"uint8, or .* floats.*got \(1, 8, 8, 3\) of torch.float32"),
        (lambda z: torch.zeros(len(z), 3, 8, 8) - 1, r"floats in \[0, 1\]; got -1 to -1.*x / 2 \+ 0.5"),
        (lambda z: torch.zeros(len(z), 8, 8, 3, dtype=torch.int32), r"uint8, .*; got \(1, 8, 8, 3\) of torch.int32"),
        (lambda z: torch.zeros(len(z), 3, 8, 8, dtype=torch.uint8), r"got \(1, 3, 8, 8\).*colours last"),
        (lambda z: torch.zeros(1, 8, 8, 3, dtype=torch.uint8), r"each of 2 rows; got \(1, 8, 8, 3\)"),
    ],
)
def test_images_of_the_wrong_type_are_named(images, message):
    generator = zo_dno.FunctionGenerator(images, (3, 4, 4))
    with pytest.raises(InputError, match=message):
        run(generator)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": 0}, "queries must be at least 1; got 0"),
        ({"seconds": 0}, "seconds must be above 0; got 0"),
        ({"gamma": -1}, "gamma must be at least 0 or .auto.; got -1"),
        ({"min_log_prob": 1.0}, "min_log_prob must be .*got 1.0"),
        ({"min_log_prob": "3.3%"}, "3.3%"),
        ({"strategy": "snez"}, "strategy 'snez' is unknown. Did you mean 'snes'"),
        ({"reward": "jpeg_smallest"}, "reward 'jpeg_smallest' is unknown. Did you mean 'jpeg_smaller'"),
        ({"strategy_options": {"populaton": 3}}, "snes option 'populaton' is unknown.*'population'"),
        ({"strategy_options": {"population": "many"}}, "snes option 'population' does not fit"),
        (
            {"reward": "jpeg_smaller", "reward_options": {"quality": "high"}},
            "jpeg_smaller option 'quality' does not fit",
        ),
        ({"reward_options": {"quality": 3}}, "brightness' takes no options; got quality"),
        ({"reward": "no.such.module:f"}, "could not be imported"),
        ({"top": 0}, "top must be at least 1"),
        ({"workers": -1}, "workers must be at least 0"),
        ({"baseline": -1}, "baseline must be at least 0"),
        ({"held_out": ["nothing"]}, "reward 'nothing' is unknown"),
    ],
)
def test_mistakes_are_named_before_anything_is_written(toy, tmp_path, options, message):
    with pytest.raises(InputError, match=message):
        run(toy, out=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_folders_that_cannot_be_used(toy, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="out must be a new folder; .*full exists"):
        run(toy, out=tmp_path / "full")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="out must be a"):
        run(toy, out=tmp_path / "file" / "run")
    with pytest.raises(InputError, match="out must be a folder that can be written to"):
        run(toy, out="/proc/zo-dno-run")


def test_the_config_of_a_run_from_python_runs_at_the_command_line(stable_diffusion_folder, tmp_path):
    """The second run has the same result."""
    from zo_dno.run.config import validated
    from zo_dno.run.from_config import run as run_config
    from zo_dno.storage.atomic import read_yaml

    options = {"steps": 2, "guidance_scale": 1.0, "batch_size": 8, "eta": 1.0, "search": "all", "seed": 5}
    generator = zo_dno.DiffusersGenerator(stable_diffusion_folder, "a cat", **options)
    first = zo_dno.optimize(
        generator,
        "jpeg_larger",
        "hill_climb",
        queries=20,
        seed=2,
        strategy_options={"fresh": 0.2},
        out=tmp_path / "one",
    )
    again = run_config(validated(read_yaml(tmp_path / "one" / "config.yaml")), tmp_path / "two")
    assert again.to_dict() | {"seconds": 0} == first.to_dict() | {"seconds": 0}


def test_a_result_holds_its_own_images_and_no_block_of_them():
    blocks = []

    class Watched(ToyGenerator):
        def __call__(self, z):
            images = super().__call__(z)
            blocks.append(weakref.ref(images))
            return images

    result = zo_dno.optimize(Watched(), "brightness", "snes", queries=48, threads=1)
    gc.collect()
    assert len(result.improvements) > 3
    assert not [block for block in blocks if block() is not None]
    assert all(found.image.base is None for found in result.improvements)
    assert np.array_equal(pickle.loads(pickle.dumps(result)).best.image, result.best.image)
