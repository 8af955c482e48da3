"""Choices among images: of the best one, of an order, or of all that are liked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Order:
    """A choice among images, a ranking of them, or the set of those that are liked.

    Attributes:
        shown: Names of the images that were shown together.
        ranked: Names of the ranked images, the best first; the others come after them, in no order.
        level: Whether the ranked images are level: all come before the others, in no order among themselves.
    """

    shown: tuple[str, ...]
    ranked: tuple[str, ...]
    level: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """An order of numbered images by preference, the best first. Those in `rest` rank below all ordered ones.

    Attributes:
        ordered: Numbers of the images that were put in order, such as ids of candidates or rows of a table.
        rest: Numbers of the other images that were shown.
        level: Whether the images of `ordered` are level, so that nothing is known of their order.
    """

    ordered: tuple[int, ...]
    rest: tuple[int, ...] = ()
    level: bool = False

    @property
    def stages(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """What was chosen, and what it was chosen from, for every step of the order (Plackett 1975, Luce 1959).

        Level images are chosen in one step; if all of them are level, or none was chosen, nothing is known.
        """
        every = (*self.ordered, *self.rest)
        if self.level:
            return [(self.ordered, every)] if self.ordered and self.rest else []
        count = len(self.ordered) - (not self.rest)
        return [((self.ordered[place],), every[place:]) for place in range(count)]

    @property
    def lists(self) -> list[list[int]]:
        """The choice as lists of numbers: the ordered ones, the others and, if they are level, the chosen ones."""
        return [[], [*self.rest], [*self.ordered]] if self.level else [[*self.ordered], [*self.rest]]

    @classmethod
    def of_lists(cls, lists: Sequence[Sequence[int]]) -> "Choice":
        """Read a choice back from its lists.

        Raises:
            TypeError: The lists are none.
            ValueError: There are too many of them, or too few.
        """
        ordered, rest, *level = (tuple(one) for one in lists)
        if not level:
            return cls(ordered, rest)
        (together,) = level
        if ordered:
            raise ValueError("images are in order or level, not both")
        return cls(together, rest, level=True)

    @classmethod
    def of(cls, order: Order, numbers: Mapping[str, int]) -> "Choice":
        """Number the images of an order; those without a number are left out."""
        ordered = tuple(numbers[name] for name in order.ranked if name in numbers)
        shown = dict.fromkeys(numbers[name] for name in order.shown if name in numbers)
        return cls(ordered, tuple(number for number in shown if number not in ordered), order.level)

    def renumbered(self, numbers: Mapping[int, int]) -> "Choice":
        """Return the choice among the images that have a new number, by these numbers."""
        ordered, rest = (tuple(numbers[one] for one in part if one in numbers) for part in (self.ordered, self.rest))
        return Choice(ordered, rest, self.level)
