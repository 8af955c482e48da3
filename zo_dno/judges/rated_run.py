"""What the rating page knows of the run whose images it shows."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunEnd:
    """The outcome of a run, as its raters see it.

    Attributes:
        title: Heading that says how the run ended.
        first: Name of the first image in the ratings.
        best: Name of the best image in the ratings.
        first_png: PNG file of the first image.
        best_png: PNG file of the best image.
        prompt: Prompt that the images were rendered for.
        words: Sentences on what the ratings mean.
        resume: Command that resumes the run; empty if the run was not kept.
        near: Command that searches near the best image; empty if there is none.
    """

    title: str
    first: str
    best: str
    first_png: bytes
    best_png: bytes
    prompt: str = ""
    words: tuple[str, ...] = ()
    resume: str = ""
    near: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """The number of images that a run plans to show.

    Attributes:
        images: Planned number of images.
        exact: Whether raters see all of them; otherwise other rewards may hide some.
    """

    images: int
    exact: bool


class RatedRun:
    """The run whose images are rated; this one is searching, and nothing else is known of it."""

    name: str = "RUN"

    def is_searching(self) -> bool:
        """Whether the search runs and will use the ratings."""
        return True

    def plan(self) -> Plan | None:
        """Return the number of planned images; None if it is unknown."""
        return None

    def end(self) -> RunEnd | None:
        """Return the outcome of the run; None if there is none yet."""
        return None
