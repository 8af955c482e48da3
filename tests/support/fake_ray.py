"""A stand-in for Ray, whose actors are objects of this process."""

import asyncio
import inspect
import sys
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import nullcontext, suppress
from functools import partial
from types import ModuleType, SimpleNamespace

from zo_dno.distributed import cluster, generator_actors, reward_actors


class RayError(Exception):
    pass


class RayTaskError(RayError):
    def __init__(self, cause):
        super().__init__(str(cause))
        self.cause = cause


class ObjectLostError(RayError):
    pass


class RuntimeEnvSetupError(RayError):
    pass


class DeathError(BaseException):
    """The end of an actor's process."""


class Reference:
    """Where Ray keeps a value, or the error of the call that should have made it."""

    def __init__(self, value=None, error=None):
        self.value, self.error = value, error

    def __await__(self):
        yield from ()
        if self.error is not None:
            raise self.error
        return self.value


class Coming:
    """What a call that has a thread of its own will return."""

    def __init__(self, function, given):
        self._future = Future()
        threading.Thread(target=self._work, args=(function, given), daemon=True).start()

    def __await__(self):
        return asyncio.wrap_future(self._future).__await__()

    def _work(self, function, given):
        with suppress(InvalidStateError):  # nobody waits any more
            try:
                self._future.set_result(function(*given))
            except Exception as cause:
                self._future.set_exception(RayTaskError(cause))


class FakeRay:
    """The functions of Ray that pools call.

    Args:
        threads: Whether each call of a plain method has a thread of its own, and so may block.
    """

    exceptions = SimpleNamespace(
        RayError=RayError,
        RayTaskError=RayTaskError,
        ObjectLostError=ObjectLostError,
        RuntimeEnvSetupError=RuntimeEnvSetupError,
    )

    def __init__(self, *, threads=False):
        self.killed, self.fetched, self._threads = [], [], threads

    def kill(self, actor):
        self.killed.append(actor)

    def available_resources(self):
        return {"CPU": 0.0}

    def cluster_resources(self):
        return {"CPU": 2.0}

    def put(self, value):
        return Reference(value)

    def get(self, reference):
        self.fetched.append(reference)
        return reference.value

    def remote(self, **_options):
        return lambda kind: SimpleNamespace(remote=lambda *given: _Actor(kind(*_values(given)), self._threads))


class _Actor:
    def __init__(self, made, threads):
        self._made, self._threads, self._died = made, threads, False

    def __getattr__(self, name):
        return _Method(self, getattr(self._made, name))


class _Method:
    def __init__(self, actor, function, num_returns=1):
        self._actor, self._function, self._num_returns = actor, function, num_returns
        self.options = partial(_Method, actor, function)

    def remote(self, *given):
        if inspect.iscoroutinefunction(self._function):
            return self._function(*_values(given))
        if self._actor._threads:
            return Coming(self._function, _values(given))
        try:
            if self._actor._died:
                raise DeathError
            found = self._function(*_values(given))
        except DeathError:
            self._actor._died, error = True, RayError("The actor died.")
        except Exception as cause:
            error = RayTaskError(cause)
        else:
            return Reference(found) if self._num_returns == 1 else [*map(Reference, found)]
        return Reference(error=error) if self._num_returns == 1 else [Reference(error=error)] * self._num_returns


def _values(given):
    return [one.value if isinstance(one, Reference) else one for one in given]


def put_in_place(patch, *, threads=False):
    """Let pools find the stand-in, and return it."""
    fake = FakeRay(threads=threads)
    for module in (generator_actors, reward_actors):
        patch.setattr(module, "connect", lambda *_, **__: fake)
    return fake


def put_one_in_place_that_cannot_start(patch, error):
    """Let `connect` find a Ray whose start fails; returns a list that gets an entry where it is shut down."""
    ray, ended = ModuleType("ray"), []

    def init(**_options):
        raise error

    vars(ray).update(is_initialized=lambda: False, init=init, shutdown=lambda: ended.append(True))
    vars(ray)["exceptions"] = ModuleType("ray.exceptions")
    patch.setitem(sys.modules, "ray", ray)
    patch.setitem(sys.modules, "ray.exceptions", ray.exceptions)
    patch.setattr(cluster, "_keep_private", lambda: None)
    patch.setattr(cluster, "without_sigterm_handler", nullcontext)
    patch.setenv(cluster._CLUSTER_FLAG, "1")
    return ended
