"""A stand-in for Ray Tune, which makes its trials one after the other in this process."""

import signal
import sys
from functools import partial
from types import ModuleType, SimpleNamespace

from tests.support.fake_ray import DeathError


class ActorDiedError(Exception):
    """Named as Ray's."""


class FakeTune(ModuleType):
    """The functions of Ray Tune that comparisons call; every trial reuses the first one's actor, if it may.

    Attributes:
        settings: Settings of the last tuner; None before it.
    """

    Trainable = Callback = object

    def __init__(self):
        super().__init__("ray.tune")
        self.schedulers = SimpleNamespace(AsyncHyperBandScheduler=SimpleNamespace, FIFOScheduler=SimpleNamespace)
        self.RunConfig = self.TuneConfig = SimpleNamespace
        self.grid_search = self.choice = list
        self.uniform = self.loguniform = lambda low, high: [low, high]
        self.settings = None

    def with_parameters(self, trainable, **parameters):
        return partial(_made, trainable, parameters)

    def with_resources(self, trainable, _resources):
        return trainable

    def Tuner(self, trainable, *, param_space, tune_config, run_config):  # noqa: N802
        self.settings = tune_config
        fit = _fit_classes if hasattr(tune_config, "reuse_actors") else _fit_function
        return SimpleNamespace(fit=partial(fit, trainable, param_space, tune_config, run_config))


def _made(trainable, parameters, config):
    actor = trainable()
    actor.setup(config, **parameters)
    return actor


def _fit_classes(make, space, tuning, running):
    """Make a trial of each value on the grid."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ray Tune has a handler of its own
    ((name, values),) = space.items()
    actor, ended = None, []
    for value in values:
        config = {name: value}
        if actor is None:
            actor = make(config)
        else:
            assert actor.reset_config(config)
        error = None
        try:
            while not actor.step()["done"]:
                pass
        except DeathError:
            actor, error = None, ActorDiedError("The actor died unexpectedly.")
        trial = SimpleNamespace(config=config)
        for callback in running.callbacks:
            callback.on_trial_complete(0, [], trial) if error is None else callback.on_trial_error(0, [], trial)
        ended.append(SimpleNamespace(path=tuning.trial_dirname_creator(trial), error=error))
    if actor is not None:
        actor.cleanup()
    return ended


def _fit_function(tried, space, tuning, _running):
    """Try the first values of all ranges, then the second ones, and so on."""
    found = []
    for number in range(tuning.num_samples):
        config = {name: values[number % len(values)] for name, values in space.items()}
        found.append(SimpleNamespace(metrics=tried(config), config=config, error=None))
    return found


def put_in_place(patch):
    """Let comparisons find a stand-in for Ray Tune, and return it."""
    tune = FakeTune()
    ray = ModuleType("ray")
    vars(ray).update(tune=tune, cluster_resources=dict)
    for name, module in {"ray": ray, "ray.tune": tune, "ray.tune.schedulers": tune.schedulers}.items():
        patch.setitem(sys.modules, name, module)
    patch.setattr("zo_dno.distributed.cluster.connect", lambda *_, **__: ray)
    patch.setattr("zo_dno.comparison.tuning._searcher", lambda *_: None)
    return tune
