"""The grammar: captions and back, and what is said about a caption that is not of it."""

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from zo_dno.errors import InputError, PromptError
from zo_dno.rng import numpy_stream
from zo_dno.scenes.grammar import WORDS, Scene, every_scene, parse, sample

scenes = st.builds(Scene, *(st.sampled_from(words) for words in WORDS.values()))


@given(scenes, st.sampled_from([str, str.upper, str.title]), st.text(" \t\n", max_size=3))
def test_caption_reads_back_whatever_its_case_and_white_space(scene, change, space):
    assert parse(space + change(scene.caption).replace(" ", "  ") + space) == scene


def test_captions_read_as_documented():
    assert Scene("sea", "dusk").caption == "sea at dusk"
    assert Scene("sea", "dusk", object="house").caption == "sea at dusk, with a house"
    assert Scene("city", "night", "snowy", "tent").caption == "city at night, snowy, with a tent"


def test_what_is_not_said_is_clear_and_none():
    assert parse("hills at dawn") == Scene("hills", "dawn", "clear", "none")
    assert parse("hills at dawn, clear") == Scene("hills", "dawn")


@pytest.mark.parametrize(
    ("caption", "part"),
    [
        ("", "''"),
        ("a cat", "'a cat'"),
        ("moon at night", "'moon' is not understood: it is no place"),
        ("sea at noon", "'noon' is not understood: it is no time"),
        ("sea at night, foggy", "'foggy' is not understood: it is no weather"),
        ("sea at night, with a whale", "'whale' is not understood: it is no object"),
        ("sea at night, with a none", "'none' is not understood: it is no object"),
        ("sea at night, cloudy, snowy", "'snowy' is not understood: one weather"),
        ("sea at night, with a tent, cloudy", "'cloudy' is not understood: one weather"),
        ("sea at night,", "'' is not understood: it is no weather"),
    ],
)
def test_error_names_the_part_and_the_whole_grammar_in_one_line(caption, part):
    with pytest.raises(PromptError, match="prompt must follow the scene grammar") as caught:
        parse(caption)
    message = str(caught.value)
    assert repr(caption) in message
    assert part in message
    assert "\n" not in message
    assert all(word in message for words in WORDS.values() for word in words if word != "none")


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(PromptError):
        assert parse(text) in every_scene()


def test_scene_refuses_unknown_words():
    with pytest.raises(InputError, match="time 'nigth' is unknown. Did you mean 'night'"):
        Scene("sea", "nigth")


def test_every_scene_is_listed_once():
    assert len(set(every_scene())) == len(every_scene()) == 6 * 4 * 3 * 5


def test_sample_draws_every_word_evenly():
    """Each word's count is within 5 standard errors of even: false alarm below 1e-4 over the 18 words."""
    generator = numpy_stream(0, "test")
    drawn = [sample(generator) for _ in range(3000)]
    for name, words in WORDS.items():
        counts = np.array([sum(getattr(scene, name) == word for scene in drawn) for word in words])
        share = 1 / len(words)
        assert np.all(np.abs(counts / 3000 - share) < 5 * np.sqrt(share * (1 - share) / 3000))
