"""Every oddity of a judge's server is read right or missing with its reason; docs/judges.md has the table."""

import json
from collections import Counter

import pytest

from tests.support.answering import answering
from tests.support.docs_tables import check_table
from tests.support.judging import ask
from tests.support.odd_judges import DRAFT, ODDITIES
from zo_dno.rewards.vlm import VLM


@pytest.fixture(autouse=True, scope="module")
def no_proxy():
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(scope="module")
def server():
    """One server with all oddities, each below a path of its own."""
    sent = Counter()

    def answer(asked):
        number = int(asked.path.split("/")[1])
        sent[number] += 1
        return ODDITIES[number].answer(json.loads(asked.body), sent[number] - 1)

    with answering(answer) as (url, _):
        yield url, sent


@pytest.fixture(scope="module")
def outcomes(server):
    """What became of each oddity, asked once."""
    url, sent = server
    found = {}

    def outcome(number):
        if number not in found:
            reward = VLM(f"{url}/{number}/v1", "judge", **ODDITIES[number].options)
            response = ask(reward, attempts=5, first_wait=0.001)
            found[number] = response, [one.change for one in reward.adaptations], sent[number]
        return found[number]

    return outcome


def became(response):
    score = response.score
    return f"missing: {score.kind}" if score.missing else f"{score.value:g}"


@pytest.mark.parametrize("number", range(len(ODDITIES)), ids=[f"{one.server}: {one.does}" for one in ODDITIES])
def test_an_oddity_is_read_right_or_missing_with_its_reason(outcomes, number):
    expected = ODDITIES[number]
    response, learnt, sent = outcomes(number)
    assert became(response) == expected.becomes
    assert tuple(learnt) == expected.learns
    assert sent <= expected.sent
    assert response.score.value != DRAFT
    assert expected.tokens in (None, response.score.tokens)
    if response.score.missing:
        assert 10 < len(response.score.error) < 400
        assert "\n" not in response.score.error


def test_the_table_in_the_docs_is_what_became_of_each(outcomes):
    rows = []
    for number, one in enumerate(ODDITIES):
        response, learnt, sent = outcomes(number)
        rows.append((one.server, one.does, became(response), str(sent), "; ".join(learnt)))
    check_table("judges.md", "oddities", ("server", "what it does", "the score", "requests", "from then on"), rows)


def test_the_oddities_differ():
    named = [(one.server, one.does) for one in ODDITIES]
    assert len(set(named)) == len(named) >= 30
    assert all(one.becomes != str(DRAFT) for one in ODDITIES)
