"""Stand-ins that say what others do."""

from tests.support.kernel import Kernel


def test_a_kernel_keeps_every_output_and_updates_those_with_a_name():
    kernel = Kernel(None, None)
    for kind, name, text in (
        ("display_data", None, "first"),
        ("display_data", "named", "old"),
        ("execute_result", None, "second"),
        ("update_display_data", "named", "new"),
        ("display_data", None, "third"),
    ):
        transient = {} if name is None else {"transient": {"display_id": name}}
        kernel._take(kind, {"data": {"text/plain": text}, **transient})
    assert [data["text/plain"] for data in kernel.shown] == ["first", "new", "second", "third"]
