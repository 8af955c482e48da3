"""Text of others in figures, such as prompts, units and names, shown as it is: matplotlib reads `$` as mathematics."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PLAIN: dict[str, Any] = {"parse_math": False}
"""Argument of titles, labels and ticks that hold text of others."""


def plain_legend(owner: "Axes | Figure", shown: Iterable["Artist"], **style: Any) -> None:
    """Add a legend with a line for each label; matplotlib by itself leaves out labels that begin with `_`.

    Args:
        owner: Axes or figure of the legend.
        shown: Artists with labels; the first of each label is shown.
        **style: Further arguments of matplotlib's `legend`.
    """
    first: dict[str, Artist] = {}
    for artist in shown:
        first.setdefault(str(artist.get_label()), artist)
    for text in owner.legend(list(first.values()), list(first), **style).get_texts():
        text.set_parse_math(False)
