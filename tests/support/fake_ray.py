"""A stand-in for Ray, whose actors are objects of this process."""

import asyncio
import inspect
import queue
import sys
import threading
from concurrent.futures import Future
from contextlib import nullcontext
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


class PendingReference(Reference):
    """The value that a call in a thread will have."""

    def __init__(self):
        self.future = Future()
        self.future.set_running_or_notify_cancel()  # giving up waiting for it does not end the call

    def __await__(self):
        return asyncio.wrap_future(self.future).__await__()

    @property
    def value(self):
        return self.future.result()


class FakeRay:
    """The functions of Ray that pools call.

    Args:
        in_threads: Whether each actor works in a thread of its own, so that its calls may take time and be given up;
            by default a call is over when it begins.
    """

    exceptions = SimpleNamespace(
        RayError=RayError,
        RayTaskError=RayTaskError,
        ObjectLostError=ObjectLostError,
        RuntimeEnvSetupError=RuntimeEnvSetupError,
    )

    def __init__(self, *, in_threads=False):
        self.killed, self.fetched, self._in_threads = [], [], in_threads

    def kill(self, actor):
        self.killed.append(actor)
        if isinstance(actor, _ThreadActor):
            actor.die()

    def exit_actor(self):
        """End the actor whose call runs in this thread, as the end of its process would."""
        _ThreadActor.here.actor.die()
        raise DeathError

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
        actor = _ThreadActor if self._in_threads else _Actor
        return lambda kind: SimpleNamespace(remote=lambda *given: actor(kind(*_values(given))))


class _Actor:
    def __init__(self, made):
        self._made, self._died = made, False

    def __getattr__(self, name):
        return _Method(self, getattr(self._made, name))


class _Method:
    def __init__(self, actor, function, num_returns=1):
        self._actor, self._function, self._num_returns = actor, function, num_returns
        self.options = partial(_Method, actor, function)

    def remote(self, *given):
        if inspect.iscoroutinefunction(self._function):
            return self._function(*_values(given))
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


class _ThreadActor:
    """Makes its calls one after the other in a thread, which is left alone when the actor dies in a call that hangs."""

    here = threading.local()

    def __init__(self, made):
        self._made, self._calls, self._lock, self._open = made, queue.SimpleQueue(), threading.Lock(), set()
        self._died = False
        threading.Thread(target=self._work, name="fake actor", daemon=True).start()

    def __getattr__(self, name):
        function = getattr(self._made, name)
        if inspect.iscoroutinefunction(function):
            return SimpleNamespace(remote=lambda *given: function(*_values(given)))
        return SimpleNamespace(remote=lambda *given: self._begin(function, given))

    def die(self):
        """Fail all calls that are not over."""
        with self._lock:
            self._died, calls = True, [*self._open]
            self._open.clear()
        self._calls.put(None)
        for call in calls:
            call.future.set_exception(RayError("The actor died."))

    def _begin(self, function, given):
        call = PendingReference()
        with self._lock:
            if not self._died:
                self._open.add(call)
                self._calls.put((call, function, given))
                return call
        call.future.set_exception(RayError("The actor died."))
        return call

    def _work(self):
        self.here.actor = self
        while (one := self._calls.get()) is not None and not self._died:
            call, function, given = one
            try:
                self._end(call, function(*_values(given)), None)
            except DeathError:
                self.die()
            except Exception as cause:
                self._end(call, None, RayTaskError(cause))

    def _end(self, call, value, error):
        with self._lock:
            if call not in self._open:
                return  # the actor died
            self._open.remove(call)
        call.future.set_exception(error) if error is not None else call.future.set_result(value)


def _values(given):
    return [one.value if isinstance(one, Reference) else one for one in given]


def put_in_place(patch, *, in_threads=False):
    """Let pools find the stand-in, and return it."""
    fake = FakeRay(in_threads=in_threads)
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
