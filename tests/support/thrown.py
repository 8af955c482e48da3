"""Anything that others may write, thrown at a check by Hypothesis: little in the fast set, much in the slow one."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

TEXTS = st.text(st.characters(codec="utf-8"), max_size=200) | st.sampled_from(
    [
        "[/b] [red]x[/red] :smile:",
        "\x1b]52;c;c2VjcmV0\x07\x1b[2J",
        "</script><script>alert(1)</script>",
        "\"'><img src=x onerror=alert(1)>",
        "{{ 7 * 7 }} {% for x in y %}",
        "\u202egnp.exe\u2066",
        "=HYPERLINK(1)",
        "a\r\nb\x00c\x85d\u2028e",
    ]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)


def sizes(few, many):
    """Parametrise a test by its number of examples: few in the fast set, many in the slow one."""
    both = [pytest.param(few, id="few"), pytest.param(many, id="many", marks=pytest.mark.slow)]
    return pytest.mark.parametrize("examples", both)


def throw(examples, things, check):
    """Call a check with so many things."""
    quiet = settings(max_examples=examples, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    quiet(given(things)(check))()
