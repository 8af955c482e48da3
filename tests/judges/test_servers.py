"""Presets of servers: what they send, what they refuse at once, and their table in docs/judges.md."""

import pytest

from tests.support.answering import answering
from tests.support.docs_tables import check_table
from tests.support.judging import ask, bodies, judgement
from zo_dno.errors import InputError
from zo_dno.judges.servers import SERVERS
from zo_dno.rewards.vlm import VLM
from zo_dno.run.make_reward import make_reward

HEAD = ("server", "url", "key", "limit", "seed", "schema", "probabilities", "source")


def test_the_table_in_the_docs():
    rows = []
    for name, one in SERVERS.items():
        gives = str(one.likeliest) if one.likeliest else "mode `decision`" if one.decisions else "no"
        key, seed = (f"`{text}`" if text else "" for text in (one.key_env, one.seed))
        fields = (f"`{one.most_tokens}`", seed, "yes" if one.structured else "no", gives)
        rows.append((f"`{name}`", one.url, key, *fields, f"[documentation]({one.source})"))
    check_table("judges.md", "presets", HEAD, rows)


@pytest.mark.parametrize("name", SERVERS)
def test_a_preset_makes_a_reward(name, monkeypatch):
    if SERVERS[name].key_env:
        monkeypatch.setenv(SERVERS[name].key_env, "sk-test")
    reward = make_reward("vlm", {"server": name, "model": "judge"})
    assert reward.settings["url"] == SERVERS[name].url
    assert make_reward("vlm", reward.settings).identity == reward.identity
    assert reward.identity == VLM(SERVERS[name].url, "judge").identity


def test_its_fields_are_sent_and_its_key_stays_at_home(monkeypatch):
    monkeypatch.setenv("MISTRAL_API_KEY", "sk-home")
    with answering(lambda _: judgement(7)) as (url, asked):
        ask(VLM(f"{url}/v1", "judge", server="mistral", seed=3))
        ask(VLM(f"{url}/v1", "judge", server="anthropic", seed=3))
        ask(VLM(f"{url}/v1", "judge", server="openai"))
    first, second, third = bodies(asked)
    assert ("random_seed" in first, "seed" in first) == (True, False)
    assert not {"seed", "random_seed", "response_format"} & second.keys()
    assert ("max_completion_tokens" in third, "max_tokens" in third) == (True, False)
    assert all("authorization" not in one.headers for one in asked)  # another address gets no key


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"server": "olama"}, "server 'olama' is unknown. Did you mean 'ollama'?"),
        ({}, "vlm needs the option 'url', or 'server' with one of openai, anthropic"),
        ({"server": "lmstudio", "mode": "expected"}, "mode must be rubric with server lmstudio, which gives no prob"),
        ({"server": "transformers", "mode": "yes"}, "mode must be decision with server transformers"),
        ({"server": "vllm", "mode": "decision"}, "mode must not be decision with server vllm"),
        ({"server": "vllm", "pattern": "8"}, "pattern must have one group"),
        ({"server": "vllm", "pattern": "(8"}, "pattern must be a regular expression"),
        ({"server": "vllm", "pattern": "(8)", "mode": "yes"}, "pattern must come with mode rubric"),
        ({"server": "vllm", "smallest_side": 0}, "smallest_side must be at least 1; got 0"),
    ],
)
def test_options_that_do_not_fit(options, message):
    with pytest.raises(InputError) as caught:
        make_reward("vlm", {"model": "m", **options})
    assert message in str(caught.value)
