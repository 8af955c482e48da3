"""How often raters agree with themselves, in words that are true of random clicks as well."""

from itertools import permutations

import numpy as np
import pytest

from zo_dno.judges.rating_tasks import Rating
from zo_dno.judges.self_agreement import in_sentences, self_agreement
from zo_dno.types import Order

FOUR = ("a", "b", "c", "d")


def chose(*ranked, shown=FOUR, rater="ada"):
    return Rating(0, shown, rater, None, Order(shown, ranked))


def gave(value):
    return Rating(0, ("a",), "ada", value, None)


def said(repeats, ratings=()):
    return self_agreement(repeats, [*ratings])[0].sentence("You")


def test_choices():
    same, other = (chose("a"), chose("a")), (chose("a"), chose("b"))
    assert said([same] * 5 + [other]) == "You gave the same answer in 5 of 6 repeats; chance alone gives 1.5."
    assert said([other] * 6).endswith(
        "in 0 of 6 repeats; chance alone gives 1.5. That cannot be told from random clicks."
    )
    assert said([same]).endswith("1 of 1 repeat; chance alone gives 0.2. Even full agreement could be luck here.")
    pair = chose("a", shown=("a", "b"))
    assert "Even full agreement could be luck" in said([(pair, pair)] * 4)
    assert said([(pair, pair)] * 5) == "You gave the same answer in 5 of 5 repeats; chance alone gives 2.5."
    (found,) = self_agreement([same] * 5 + [other], [])
    assert found.luck == pytest.approx((6 * 3 + 1) / 4**6)
    assert found.all_by_luck == pytest.approx(1 / 4**6)


def test_rankings_are_compared_by_pairs():
    one = chose(*FOUR)
    assert said([(one, chose("b", "a", "c", "d"))] * 2) == (
        "You put 10 of 12 pairs of images in the same order again; chance alone gives 6."
    )
    found = [self_agreement([(one, chose(*other))], [])[0] for other in permutations(FOUR)]
    for same in range(7):  # the probabilities are those of all orders
        share = np.mean([one.same >= same for one in found])
        assert next(one for one in found if one.same == same).luck == pytest.approx(share)


def test_marks_are_compared_image_by_image():
    """By chance the same number of marks falls on any images, so that one who marks nothing is not praised."""

    def liked(*names):
        return Rating(0, FOUR, "ada", None, Order(FOUR, names, level=True))

    assert said([(liked("a", "b"), liked("a", "b"))] * 3) == (
        "You marked 12 of 12 images the same way again; chance alone gives 6."
    )
    (found,) = self_agreement([(liked("a", "b"), liked("a", "c"))], [])
    assert (found.same, found.of, found.luck) == (2, 4, pytest.approx(5 / 6))
    none = said([(liked(), liked())] * 5)
    assert none.endswith(
        "20 of 20 images the same way again; chance alone gives 20. Even full agreement could be luck here."
    )


def test_numbers_are_compared_with_what_the_rater_gives_at_random():
    ratings = [gave(value) for value in (0, 2, 4, 6, 8, 10)]
    close = [(gave(4), gave(5))] * 3
    assert said(close, ratings) == "You gave the same rating, within 1 point, in 3 of 3 repeats; chance alone gives 0."
    assert "in 0 of 1 repeat; chance alone gives 0. That cannot be told" in said([(gave(4), gave(6))], ratings)
    always = [gave(7)] * 9
    assert said([(gave(7), gave(7))] * 6, always) == (
        "You gave the same rating, within 1 point, in 6 of 6 repeats; chance alone gives 6. "
        "Even full agreement could be luck here."
    )


def test_raters_are_named_for_others_and_told_themselves_first():
    found = self_agreement([(chose("a", rater=rater),) * 2 for rater in ("ada", "bob")], [])
    names = {"ada": "Ada", "bob": "Bob"}
    assert [one.split()[0] for one in in_sentences(found, names)] == ["Ada", "Bob"]
    assert [one.split()[0] for one in in_sentences(found, names, you="bob")] == ["You", "Ada"]
    assert in_sentences(found[:1], {"ada": "Ada"})[0].startswith("The rater gave")


@pytest.mark.parametrize(("n", "share"), [(2, 1 / 2), (4, 1 / 4)])
def test_random_clicks_are_rarely_taken_for_a_preference(n, share):
    rng, wrong = np.random.default_rng(0), 0
    shown = FOUR[:n]
    for _ in range(300):
        repeats = [tuple(chose(shown[rng.integers(n)], shown=shown) for _ in range(2)) for _ in range(6)]
        (found,) = self_agreement(repeats, [])
        assert found.by_chance == pytest.approx(6 * share)
        wrong += found.luck <= 0.05
    assert wrong / 300 < 0.08
