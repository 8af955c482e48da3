"""Slots, and the reasons that end a call."""

import asyncio

import pytest

from zo_dno.distributed.slots import ActorCall, Slot, reason_of


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "ValueError: ValueError"),
        ("gone", "ValueError: gone"),
        ("The actor died.\n\n\tclass_name: Actor\n\tpid: 1", "ValueError: The actor died. class_name: Actor"),
        ("Traceback (most recent call last):\n  x\nKeyError: 'no'", "ValueError: KeyError: 'no'"),
        ("The creation task failed.\nsome frames\nImportError: no torch", "ValueError: ImportError: no torch"),
    ],
)
def test_a_reason_is_one_line(text, reason):
    assert reason_of(ValueError(text)) == reason


def test_the_timeout_of_a_call_begins_with_its_turn():
    async def waited():
        call = ActorCall(Slot(), 1, None, timeout=0.01, started=False)
        async with asyncio.timeout(None) as call.clock:
            assert call.clock.when() is None
            call.start()
            await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        asyncio.run(waited())
