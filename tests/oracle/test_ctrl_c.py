"""Signals that end a process count as Ctrl-C: put off while answers are written, raised at once the second time."""

import contextlib
import os
import signal

import pytest

from tests.support.command_line import handlers_kept
from zo_dno.oracle import ctrl_c

every = pytest.mark.parametrize("number", ctrl_c.SIGNALS, ids=lambda number: number.name)


@pytest.fixture(autouse=True)
def handlers():
    """Put the handlers back, and take the signals as the command line does."""
    with handlers_kept():
        for number in ctrl_c.SIGNALS:
            signal.signal(number, signal.SIG_DFL)  # `nohup` has SIGHUP ignored
        ctrl_c.take_as_ctrl_c()
        yield


def send(number):
    os.kill(os.getpid(), number)


@every
def test_a_signal_raises_keyboard_interrupt(number):
    with pytest.raises(KeyboardInterrupt):
        send(number)


@every
def test_the_first_is_put_off_and_the_second_is_not(number):
    presses = []
    with ctrl_c.deferred(lambda: presses.append(1)) as pressed:
        assert not pressed()
        send(number)
        assert pressed()
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGTERM)
    assert presses == [1]
    with pytest.raises(KeyboardInterrupt):
        send(number)


def test_as_many_are_put_off_as_asked_for():
    presses = []
    with ctrl_c.deferred(lambda: presses.append(1), times=2):
        send(signal.SIGINT)
        send(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert presses == [1, 1]


@every
def test_an_ignored_signal_stays_ignored(number):
    signal.signal(number, signal.SIG_IGN)
    ctrl_c.take_as_ctrl_c()
    with ctrl_c.deferred(lambda: None) as pressed:
        send(number)
        assert not pressed()


def swallows(number):
    with contextlib.suppress(KeyboardInterrupt):
        send(number)


def swallows_and_fails(number):
    swallows(number)
    raise RuntimeError("half started")


@every
@pytest.mark.parametrize("code", [swallows, swallows_and_fails, send])
def test_a_signal_that_code_of_others_swallows_is_raised_at_the_end(number, code):
    with pytest.raises(KeyboardInterrupt), ctrl_c.insisting():
        code(number)
    assert all(signal.getsignal(one) is signal.default_int_handler for one in ctrl_c.SIGNALS)


def test_without_a_signal_nothing_is_raised():
    with ctrl_c.insisting():
        assert all(signal.getsignal(one) is not signal.default_int_handler for one in ctrl_c.SIGNALS)
    assert all(signal.getsignal(one) is signal.default_int_handler for one in ctrl_c.SIGNALS)
    with pytest.raises(RuntimeError), ctrl_c.insisting():
        raise RuntimeError("cannot start")
