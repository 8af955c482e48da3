"""A stand-in for Ray, whose actors are objects of this process."""

import inspect
from functools import partial
from types import SimpleNamespace

from zo_dno.distributed import generator_actors, reward_actors


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


class FakeRay:
    """The functions of Ray that pools call."""

    exceptions = SimpleNamespace(
        RayError=RayError,
        RayTaskError=RayTaskError,
        ObjectLostError=ObjectLostError,
        RuntimeEnvSetupError=RuntimeEnvSetupError,
    )

    def __init__(self):
        self.killed, self.fetched = [], []

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
        return lambda kind: SimpleNamespace(remote=lambda *given: _Actor(kind(*_values(given))))


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


def _values(given):
    return [one.value if isinstance(one, Reference) else one for one in given]


def put_in_place(patch):
    """Let pools find the stand-in, and return it."""
    fake = FakeRay()
    for module in (generator_actors, reward_actors):
        patch.setattr(module, "connect", lambda *_, **__: fake)
    return fake
