"""Mistakes in Python: each is one line that says what was expected, what was got, and what to do."""

from functools import partial

import numpy as np
import pytest
import torch

import zo_dno
from tests.support.toys import SmoothToy, ToyGenerator, prompted
from zo_dno.errors import InputError

TOY = ToyGenerator()


def bright(images):
    return [float(np.asarray(one).mean()) for one in images]


def shapeless(z):
    return ToyGenerator()(z)


class Nameless(zo_dno.Reward):
    def __call__(self, images, prompts):
        return bright(images)


class Unready(Nameless):
    name, unit = "unready", "grey levels"

    def __init__(self, attribute, value):
        setattr(self, attribute, value)


class NoStrategy:
    def __init__(self, problem):
        pass


class Breaks:
    def __init__(self, problem):
        raise KeyError("radius")


def paint(z):
    return ToyGenerator()(z)


paint.shape = 192  # type: ignore[attr-defined]


MISTAKES = [
    # the model
    ((None, bright), {}, "generator must be a zo_dno generator, a diffusers pipeline, or a function z -> images with"),
    ((3, bright), {}, "images with a shape; got 3."),
    (("scenes", bright), {}, "generator must be an object, not a name; got 'scenes'. Load it: zo_dno.DiffusersGen"),
    (
        (ToyGenerator, bright),
        {},
        "generator must be an object; got the class ToyGenerator. Make one: ToyGenerator(...)",
    ),
    ((shapeless, bright), {}, "shapeless must have a shape of noise: set shapeless.shape = (512,), or give"),
    (
        (paint, bright),
        {},
        "shape must be sizes of at least 1, such as (4, 64, 64), or several shapes; got 192. Write (192",
    ),
    ((prompted, bright), {}, "prompt is missing; prompted takes one. Give prompt=... in Python"),
    (
        (TOY, bright),
        {"prompt": "a dog"},
        "prompt must be 'a toy', which generator ToyGenerator renders: it has no with_p",
    ),
    ((TOY, bright), {"prompt": 3}, "prompt must be text; got 3."),
    (
        (TOY, bright),
        {"generators": 2},
        "generators must be left out with a generator that is made already; got 2. Pass",
    ),
    # the reward
    ((TOY, None), {}, "reward must be a function of images and prompts; got None."),
    ((TOY, "jpeg_smalle"), {}, "reward 'jpeg_smalle' is unknown. Did you mean 'jpeg_smaller'?"),
    ((TOY, bright), {"reward_options": {"a": 1}}, "reward 'bright' takes no options; got a."),
    ((TOY, bright), {"reward_options": [1]}, "reward_options must be a mapping of names to values; got [1]."),
    ((TOY, "jpeg_smaller"), {"reward_options": {"quality": 200}}, "quality must be 1 to 100; got 200."),
    ((TOY, bright), {"held_out": 3}, "held_out must be a list of rewards, such as ['brightness']; got 3."),
    ((TOY, bright), {"held_out": ["bright"]}, "reward 'bright' is unknown. Did you mean 'brightness'?"),
    ((TOY, bright), {"require": 3}, "require must be a list; got 3."),
    ((TOY, bright), {"require": "darkness > 1"}, "darkness > 1"),
    ((TOY, bright), {"policy": {"attemps": 3}}, "policy option 'attemps' is unknown. Did you mean 'attempts'?"),
    ((TOY, bright), {"budget": {"max_cost": 1}}, "max_cost must come with a price; 'bright' has none. Set price"),
    # the strategy
    ((TOY, bright, 3), {}, "strategy must be the name or the class of a strategy; got 3."),
    ((TOY, bright, None), {}, "strategy must be the name or the class of a strategy; got None."),
    ((TOY, bright, "snse"), {}, "strategy 'snse' is unknown. Did you mean 'snes'?"),
    (
        (TOY, bright, NoStrategy),
        {},
        ":NoStrategy' must have ask, tell, state_dict and load_state_dict; got NoStrategy.",
    ),
    (
        (TOY, bright, Breaks),
        {},
        "must be a class that is built with a zo_dno.Problem and options; it raised KeyError: 'r",
    ),
    ((TOY, bright, "snes"), {"strategy_options": {"population": "many"}}, "snes option 'population' does not fit"),
    ((TOY, bright, "hybrid2"), {}, "Hybrid2 takes gradients through the generator, and ToyGenerator has no render(z)"),
    # what is searched, how long, and where it is kept
    ((TOY, bright), {"queries": "many"}, "queries must be a whole number; got 'many'."),
    ((TOY, bright), {"queries": 0}, "queries must be at least 1; got 0."),
    ((TOY, bright), {"seed": "a"}, "seed must be a whole number; got 'a'."),
    ((TOY, bright), {"quries": 3}, "option 'quries' is unknown. Did you mean 'queries'?"),
    ((TOY, bright), {"budget": 3}, "budget must be a Budget or a mapping of its options; got 3."),
    ((TOY, bright), {"init": [0.0] * 48}, "init must be noise, a tensor (d,), or the path of a file; got [0.0, 0.0"),
    ((TOY, bright), {"init": torch.zeros(3)}, "init must be noise of 48 entries; got (3,). It was made for another"),
    ((TOY, bright), {"space": "low"}, "space 'low' is unknown. "),
    ((TOY, bright), {"out": 3}, "out must be the path of a new folder; got 3."),
    ((TOY, bright), {"on_step": 3}, "on_step must be a function of a zo_dno.Step; got 3."),
    ((TOY, bright), {"stop": 3}, "stop must be a zo_dno.Stop; got 3."),
    ((TOY, bright), {"pools": 3}, "pools must be actor pools of another run; got 3."),
    ((TOY, bright), {"out": "a\0b"}, "out must be the path of a new folder; got 'a\\x00b'."),
    ((TOY, bright), {"prompt": "a\ud800"}, "prompt must be text; got 'a\\ud800'."),
    (
        (TOY, bright),
        {"apart": 3, "diverse": 2},
        "apart must be the name of a distance, or a function of images; got 3.",
    ),
    ((TOY, bright), {"near": torch.zeros(0, 48)}, "near must be a run's folder, a file of noise, a tensor (d,), or a"),
    ((TOY, bright), {"distance": 0.5}, "distance must come with near, the liked noise; got 0.5 alone."),
    ((TOY, bright), {"init": np.zeros(48)}, "init must be noise, a tensor (d,), or the path of a file; got array(["),
    ((TOY, bright), {"policy": {3: 3}}, "names in policy must be text; got 3."),
    ((TOY, bright, "snes"), {"strategy_options": {3: 3}}, "names in strategy_options must be text; got 3."),
    ((TOY, bright), {"output": "x"}, "output must be an Output or a mapping of its options; got 'x'."),
    (
        (TOY, "brightness"),
        {"reward_options": {"x": 1}},
        "brightness option 'x' is unknown. There is none: leave it out.",
    ),
    (
        (TOY, Nameless()),
        {},
        "reward Nameless must have a name: give the class one, such as name = 'nameless'; got None.",
    ),
    ((TOY, bright), {"held_out": [Nameless()]}, "reward Nameless must have a name: give the class one, such as name ="),
    ((TOY, Unready("policy", 3)), {}, "policy of reward 'unready' must be a zo_dno.CallPolicy; got 3."),
    ((TOY, Unready("range", (1, 0))), {}, "range of reward 'unready' must be the lowest and the highest possible sco"),
    ((TOY, Unready("noisy", "no")), {}, "noisy of reward 'unready' must be True or False; got 'no'."),
    ((TOY, Unready("batch", 0)), {}, "batch of reward 'unready' must be the largest number of images in a call, at l"),
    ((TOY, bright), {"surrogate": 3}, "surrogate must be the path of a file, or its content; got 3."),
]


@pytest.mark.parametrize(("given", "options", "message"), MISTAKES)
def test_a_mistake_in_python_is_one_line(given, options, message, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as raised:
        zo_dno.optimize(*given, **options)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
    assert not list(tmp_path.iterdir())


def test_mistakes_of_resume_are_one_line(tmp_path):
    zo_dno.optimize(TOY, bright, queries=16, out=tmp_path / "run")
    for run, options, message in (
        (3, {}, "run must be the folder of a run; got 3."),
        (tmp_path / "nowhere", {}, "run must be the folder of a run"),
        (tmp_path / "run", {}, "generator must be given: the run's model was a Python object"),
        (tmp_path / "run", {"generator": TOY, "seed": 3}, "seed must stay as it was when a run is resumed; got 3."),
        (tmp_path / "run", {"generator": TOY, "quries": 3}, "option 'quries' is unknown. Did you mean 'queries'?"),
        (tmp_path / "run", {"generator": 3}, "generator must be a zo_dno generator"),
        (tmp_path / "run", {"reward_options": "x"}, "reward_options must be a mapping of names to values; got 'x'."),
        (tmp_path / "run", {"generator": TOY, "on_step": 3}, "on_step must be a function of a zo_dno.Step; got 3."),
    ):
        with pytest.raises(InputError) as raised:
            zo_dno.resume(run, **options)
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)


def test_other_mistakes_in_python_are_one_line():
    builtin = zo_dno.DiffusersGenerator.builtin
    for call, message in (
        (
            lambda: zo_dno.make_reward("brightness", "x"),
            "options of a reward must be a mapping of names to values; got",
        ),
        (lambda: zo_dno.OnnxGenerator(3), "model must be an onnxruntime session or the path of an ONNX file; got 3."),
        (lambda: zo_dno.DiffusersGenerator(None, "sea"), "pipeline must be a loaded pipeline of diffusers, or its fol"),
        (lambda: zo_dno.DiffusersGenerator("scenes", "sea"), "Load it by DiffusersGenerator.builtin(prompt, model='sc"),
        (lambda: builtin(3), "prompt must be text; got 3."),
        (lambda: TOY.layout.check(np.zeros((1, 48))), "z must be a tensor (n, 48); got array([[0., 0."),
        (lambda: zo_dno.compare(3, ["snes"], ["sea at night"]), "out must be the path of a new folder; got 3."),
        (lambda: zo_dno.tune("nowhere", "snes", {}, ["sea at night"]), "ranges must be a mapping of options to their"),
    ):
        with pytest.raises(InputError) as raised:
            call()
        assert message in str(raised.value)
        assert "\n" not in str(raised.value)


def test_what_a_caller_means_is_taken():
    for options in ({"queries": "16"}, {"held_out": "brightness"}, {"held_out": bright}, {"reward_options": {}}):
        assert zo_dno.optimize(TOY, bright, **{"queries": 16, **options}).queries == 16
    assert zo_dno.optimize(SmoothToy(), bright, queries=np.int64(16)).queries == 16


def test_a_function_is_a_model_and_a_model_is_resumed(tmp_path):
    first = zo_dno.optimize(prompted, bright, prompt="a cat", queries=16, out=tmp_path / "run")
    assert first.prompt == "a cat"
    more = zo_dno.resume(tmp_path / "run", generator=prompted, reward=bright, queries=32)
    assert more.drift is None
    assert zo_dno.resume(tmp_path / "run", queries=48).queries == 48


def test_a_pipeline_is_a_model(stable_diffusion, tmp_path, monkeypatch):
    few_steps = partial(zo_dno.DiffusersGenerator, steps=1, guidance_scale=1, batch_size=2)
    monkeypatch.setattr("zo_dno.generators.diffusers_generator.DiffusersGenerator", few_steps)
    with pytest.raises(InputError) as raised:
        zo_dno.optimize(stable_diffusion, bright)
    assert str(raised.value).startswith("prompt must be given with a StableDiffusionPipeline: optimize(pipeline, rew")
    found = zo_dno.optimize(stable_diffusion, bright, prompt="a cat", queries=4, out=tmp_path / "run")
    same = zo_dno.optimize(few_steps(stable_diffusion, "a cat"), bright, queries=4)
    assert [row.value for row in found.history] == [row.value for row in same.history]
    assert zo_dno.resume(tmp_path / "run", generator=stable_diffusion, reward=bright, queries=6).drift is None


def test_a_changed_reward_is_accepted_while_nothing_has_a_score(tmp_path, caplog):
    def asks_all_again(broken):
        folder = tmp_path / broken.__name__
        with pytest.raises(zo_dno.RunError) as raised:
            zo_dno.optimize(TOY, broken, queries=24, out=folder, policy={"price": 0.5})
        found = zo_dno.resume(folder, generator=TOY, reward=bright)
        assert [row.value for row in found.history] == [row.value for row in expected.history]
        assert (found.failed_queries, found.drift) == (0, None)
        with pytest.raises(InputError, match=r"cannot be resumed as it began: reward code: .*, now "):
            zo_dno.resume(folder, generator=TOY, reward=broken, queries=30)
        return str(raised.value), found.cost

    def returns_a_number(images):
        return 0.5

    def returns_nan(images):
        return [float("nan")] * len(images)

    def misspells(images):
        return [np.asaray(one).mean() for one in images] + undefined  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    misspells.version = "1"
    expected = zo_dno.optimize(TOY, bright, queries=24)
    said, cost = asks_all_again(returns_a_number)
    assert said.startswith("Paused after 0 completed queries: the first query failed with: reward 'returns_a_number' ")
    assert said.endswith(f"Fix it, then: zo-dno resume {tmp_path / 'returns_a_number'}")
    assert cost == 0.5 * 25
    assert asks_all_again(returns_nan)[1] == 0.5 * 48
    assert "no query had a score, and all are sent again" in caplog.text


def test_a_reward_that_cannot_work_pauses_at_its_first_query(tmp_path):
    calls = []

    def unfinished(images):
        calls.append(len(images))
        return undefined  # noqa: F821  # pyright: ignore[reportUndefinedVariable]

    with pytest.raises(
        zo_dno.RunError, match="the first query failed with: NameError: name 'undefined' is not defined"
    ):
        zo_dno.optimize(TOY, unfinished, queries=24)
    assert calls == [1]


def test_equal_scores_are_said_and_an_estimate_stays_in_range(tmp_path):
    found = zo_dno.optimize(TOY, lambda images: [0.0] * len(images), queries=24, out=tmp_path / "run")
    assert found.hint.startswith("All 24 scores are 0, so that no image was better than another.")
    assert zo_dno.load(tmp_path / "run").hint == found.hint

    def confidence(images):
        return [float(np.asarray(one).mean() > 128) for one in images]

    confidence.range = (0, 1)
    found = zo_dno.optimize(TOY, confidence, queries=64, out=tmp_path / "bounded")
    assert found.hint is None
    assert found.baseline.reward == max(found.baseline.curve) == 1.0
    assert zo_dno.load(tmp_path / "bounded").baseline.curve == found.baseline.curve
    del confidence.range
    assert zo_dno.optimize(TOY, confidence, queries=64).baseline.reward > 1.0


def test_a_result_is_shown_in_one_short_line(tmp_path):
    found = zo_dno.optimize(TOY, bright, queries=24, out=tmp_path / "run")
    scores = f"{found.first.reward:.4g} -> {found.best.reward:.4g}"
    assert repr(found) == f"Result(finished: bright {scores} score in 24 queries, folder='{tmp_path / 'run'}')"
    for part in (found.best, found.baseline):
        assert len(repr(part)) < 120
