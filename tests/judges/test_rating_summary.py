"""Ratings in words, and how many clicks are left."""

import pytest

from zo_dno.judges.rated_run import Plan
from zo_dno.judges.rating_summary import RatingRound, against, in_words, preferred, sentences, work_of
from zo_dno.judges.rating_tasks import Progress, Rating
from zo_dno.types import Order


def chose(best, *others):
    return Rating(0, (best, *others), "ada", None, Order((best, *others), (best,)))


def gave(image, value):
    return Rating(0, (image,), "ada", value, None)


FOUR = tuple("abcd")


@pytest.mark.parametrize(
    ("rounds", "given", "plan", "words"),
    [
        ([], 0, Plan(16, True), "0 clicks left in this round"),
        ([RatingRound(FOUR, 3, 2)], 2, None, "1 click left in this round"),
        # as human plans them: one task of the first four images, then two of four with the best so far
        ([RatingRound(FOUR, 1, 4)], 0, Plan(16, True), "about 7 clicks left"),
        ([RatingRound(FOUR, 1, 4), RatingRound(FOUR, 2, 4)], 1, Plan(16, True), "about 5 clicks left"),
        ([RatingRound(FOUR, 1, 4), RatingRound(FOUR, 2, 4)], 1, Plan(16, False), "at most about 5 clicks left"),
        ([RatingRound(FOUR, 4, 2)], 4, Plan(8, True), "about 6 clicks left"),  # four images and two earlier ones
        ([RatingRound(FOUR, 4, 1)], 1, Plan(8, True), "about 7 clicks left"),
        ([RatingRound(FOUR, 1, 4), RatingRound(FOUR, 2, 4)], 1, Plan(8, True), "1 click left"),
        ([RatingRound(FOUR, 2, 4)], 2, Plan(3, True), "0 clicks left"),
    ],
)
def test_the_clicks_that_are_left(rounds, given, plan, words):
    work = work_of(rounds, Progress(len(rounds) - 1, given, rounds[-1].needed if rounds else 0, given, 1), plan)
    assert str(work) == words
    assert work.given == sum(one.needed for one in rounds[:-1]) + given


def test_the_clicks_that_are_left_include_repeats():
    progress = Progress(0, 0, 1, 0, 2)
    assert str(work_of([RatingRound(FOUR, 1, 4)], progress, Plan(40, True), repeats=0.1)) == (
        "about 21 clicks left, for all raters together"
    )


def test_choices_in_words():
    skipped = Rating(0, ("a", "b"), "ada", None, None)
    ranked = Rating(0, ("a", "b", "c"), "ada", None, Order(("a", "b", "c"), ("b", "c", "a")))
    ratings = [chose("b", "a"), chose("c", "b", "a", "d"), chose("a", "b"), ranked, skipped]
    assert preferred(ratings, "b") == (2, 4)
    assert against(ratings, "b", "a") == (2, 3)  # the choice of c says nothing of the two
    assert in_words(ratings, "b") == "chosen in 2 of 4"
    assert in_words(ratings, "e") == ""
    assert sentences(ratings, "a", "b") == [
        "The best image was preferred in 2 of 4 choices that showed it.",
        "Beside the first image it was preferred in 2 of 3.",
    ]
    assert sentences(ratings, "a", "d") == ["The best image was preferred in 0 of 1 choice that showed it."]
    assert sentences(ratings, "a", "a") == ["No image was liked more than the first one."]


def test_likes_in_words():
    def liked(*names):
        return Rating(0, FOUR, "ada", None, Order(FOUR, names, level=True))

    ratings = [liked("b", "c"), liked("b", "a"), liked(), liked("a"), liked("b")]
    assert preferred(ratings, "b") == (3, 5)
    assert against(ratings, "b", "a") == (2, 3)  # both or none say nothing of the two
    assert in_words(ratings, "b") == "liked in 3 of 5"
    assert sentences(ratings, "a", "b") == [
        "The best image was liked in 3 of 5 tasks that showed it.",
        "Beside the first image it was preferred in 2 of 3.",
    ]


def test_numbers_in_words():
    ratings = [gave("a", 4.0), gave("b", 9.0)]
    assert in_words(ratings, "b") == "9.0 of 10"
    (said,) = sentences(ratings, "a", "b")
    assert said.startswith("The best image got 9.0 of 10, the first one 4.0. One rating each leaves room for luck")
    (said,) = sentences([*ratings, gave("b", 8.0)], "a", "b")
    assert said == "The best image got 8.5 of 10 in the mean of 2 ratings, the first one 4.0."
