"""Signs that a reward was hacked, in words: a held-out reward that fell, and noise that is no Gaussian draw."""

from collections.abc import Mapping

LOSS = 0.1  # part of the first image's held-out reward, of which the loss is worth a warning: our choice
IMPLAUSIBLE = "The winner is not plausible as a draw of a Gaussian: its reward may be bought with odd noise."


def is_loss(first: float | None, best: float | None) -> bool:
    """Whether the winner lost more than the part `LOSS` of what the first image had, in either sign of the reward."""
    return first is not None and best is not None and first - best > LOSS * abs(first)


def losses(held_out: Mapping[str, tuple[float | None, float | None]]) -> list[str]:
    """Return a sentence for each held-out reward of which the winner lost more than the part `LOSS`.

    Args:
        held_out: Scores of the first and of the best image, by the name of each held-out reward.
    """
    return [
        f"The winner lost on the held-out reward {name}: {first:.4g} to {best:.4g}, more than {LOSS:.0%} of the first "
        "image's. The search may have exploited its reward instead of finding a better image."
        for name, (first, best) in held_out.items()
        if first is not None and best is not None and is_loss(first, best)
    ]
