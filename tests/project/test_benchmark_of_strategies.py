"""The benchmark of strategies: its rewards, its scale, its tables at equal queries and at equal seconds, its claims."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from benchmarks import strategies, strategy_rewards, strategy_tables
from benchmarks.strategy_rewards import FREE, OTHERS, PHOTO_PROMPT, WORDS, asked_for
from zo_dno.registry import load
from zo_dno.rewards import REWARDS

CELL = {"reward": "jpeg_smaller", "prompt": "p", "seed": 0, "constrained": True, "noise": "initial", "hardware": "cpu"}
FACTS = {"log_prob": -1.0, "feasible": True, "prompt_match": 0.9, "strategy_seconds": 0.1, "peak_mb": 1.0}


def line(entry, best, elapsed=None, **changes):
    """Make a line of the benchmark's file from its rewards by budget, in a run planned for the largest."""
    whole = {"entry": entry, **CELL, **FACTS, "queries": max(best), "seconds": 1.0, **changes}
    whole["best"] = {str(budget): reward for budget, reward in best.items()}
    return whole if elapsed is None else whole | {"elapsed": {str(budget): taken for budget, taken in elapsed.items()}}


def found(frame, *columns):
    return [tuple(row) for row in frame[list(columns)].itertuples(index=False)]


@pytest.fixture
def command(monkeypatch, tmp_path, capsys):
    """Run the command line over given lines, without any process that could make a run."""
    monkeypatch.setattr(strategies.multiprocessing, "get_context", lambda method: pytest.fail("a run was begun"))
    monkeypatch.setenv("COLUMNS", "200")
    out = tmp_path / "lines.jsonl"

    def run(lines, *words):
        out.write_text("".join(json.dumps(one) + "\n" for one in lines))
        monkeypatch.setattr("sys.argv", ["strategies.py", "--out", str(out), "--prompts", "p", *words])
        strategies.main()
        return capsys.readouterr().out

    return run


def test_six_words_are_among_the_other_rewards_and_no_prompt_is_run_for_its_own():
    assert set(WORDS) < set(OTHERS)
    assert len(set(WORDS)) == 6
    for prompt in (*strategies.TUNED, *strategies.HELD_BACK):
        words = prompt.replace(",", "").split()
        assert [word for word in WORDS if asked_for(word, prompt)] == [
            word for word in WORDS if word.partition("=")[2] in words
        ]


def test_every_reward_has_a_name_and_a_unit():
    for name in {*strategy_rewards.REWARDS, *OTHERS, *FREE} - {"noisy_judge"}:
        reward = strategy_rewards.reward_named(name)
        reward = load("reward", REWARDS, reward)() if isinstance(reward, str) else reward
        assert reward.name
        assert reward.unit in {"kB", "log-odds", "of symmetric", "M3", "SSIM"}


def test_the_photo_is_most_like_itself():
    reward = strategy_rewards.photo()
    (same,) = reward([Image.fromarray(strategy_rewards.picture())], [""])
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    assert same == pytest.approx(1.0)
    assert reward([noise], [""])[0] < 0.2
    assert reward is strategy_rewards.photo()
    assert PHOTO_PROMPT not in (*strategies.TUNED, *strategies.HELD_BACK)


@pytest.mark.parametrize("reward", ["noisy_judge", "photo", "time=night"])
def test_a_run_of_a_reward_is_a_line(reward, monkeypatch):
    monkeypatch.setattr("torch.set_num_threads", lambda threads: None)
    monkeypatch.setattr(strategies, "_usual", lambda *settings: (0.1, 0.05))  # which takes 64 images to measure
    job = strategies.Job("random_search", reward, strategies.TUNED[1], 0, 16)
    made = strategies.one_run(job)
    assert made["best"].keys() == made["elapsed"].keys() == {"16"}
    assert math.isfinite(made["best"]["16"])
    assert made["elapsed"]["16"] <= made["seconds"]


def test_scores_are_on_the_scale_of_another_table():
    """Best-of-16 is worse than best-of-64, which stays the 0 of the scale."""
    lines = [line("random_search", {16: 1.0, 64: 2.0}), line("auto", {64: 4.0}), line("snes", {16: 3.0, 128: 6.0})]
    frame = strategy_tables.scores(lines, [64])
    assert found(frame, "entry", "score") == [("random_search", 0.0), ("auto", 1.0)]
    others = strategy_tables.scores(lines, [16, 128], scale=frame)
    assert sorted(found(others, "entry", "budget", "score")) == [
        ("random_search", 16, -0.5),
        ("snes", 16, 0.5),
        ("snes", 128, 2.0),
    ]


def test_the_run_that_was_planned_for_a_budget_is_kept():
    planned, longer = line("auto", {64: 2.0}), line("auto", {64: 1.0, 256: 5.0})
    for lines in ([planned, longer], [longer, planned]):
        assert found(strategy_tables.scores(lines, [64]), "budget", "best") == [(64, 2.0)]


def test_a_file_without_lines_has_tables_without_rows():
    frame = strategy_tables.scores([])
    assert strategy_tables.table(frame, "jpeg_smaller", 64) == []
    assert strategy_tables.claims(frame) == []
    assert strategy_tables.by_seconds(strategy_tables.reached([])) == []


def test_the_largest_budget_within_the_seconds_is_taken_and_nothing_interpolated():
    lines = [line("auto", {16: 1.0, 32: 2.0, 64: 3.0}, {16: 5.0, 32: 10.0, 64: 30.0})]
    reached = strategy_tables.reached(lines, (4, 9, 10, 29, 40))
    assert sorted(found(reached, "seconds", "budget", "best", "ended")) == [
        (9, 16, 1.0, False),
        (10, 32, 2.0, False),
        (29, 32, 2.0, False),
        (40, 64, 3.0, True),
    ]


def test_a_line_without_seconds_at_its_budgets_has_those_of_the_whole_run():
    reached = strategy_tables.reached([line("auto", {64: 1.0, 256: 2.0}, seconds=12.0)], (10, 20))
    assert found(reached, "seconds", "budget", "best") == [(20, 256, 2.0)]


def test_a_budget_without_a_reward_is_not_reached():
    assert strategy_tables.reached([line("auto", {16: 1.0}, queries=24)]).empty


def test_runs_of_a_seed_that_were_planned_for_different_budgets_count_as_one():
    short = line("auto", {16: 1.0, 32: 2.5}, {16: 5.0, 32: 9.0})
    long = line("auto", {16: 1.0, 32: 2.0, 64: 3.0}, {16: 5.0, 32: 9.0, 64: 30.0})
    for lines in ([short, long], [long, short]):
        reached = strategy_tables.reached(lines, (10, 40))
        assert sorted(found(reached, "seconds", "budget", "best", "ended")) == [
            (10, 32, 2.5, True),
            (40, 64, 3.0, True),
        ]
    other = {"seed": 1}, {"hardware": "a GPU"}
    assert all(len(strategy_tables.reached([short, long | change], (40,))) == 2 for change in other)


def test_the_table_at_equal_seconds_has_a_mean_and_its_runs():
    lines = [line("random_search", {64: 0.0}, {64: 1.0}, seed=seed) for seed in (0, 1)]
    lines += [line("auto", {64: 2.0, 128: 4.0}, {64: 15.0, 128: 50.0 + 300 * seed}, seed=seed) for seed in (0, 1)]
    rows = strategy_tables.by_seconds(strategy_tables.reached(lines, scale=strategy_tables.scores(lines, [64, 128])))
    assert rows == [
        ["auto", "", "0.500 (0/2)", "0.500 (0/2)", "0.750 (1/2)", "0.750 (1/2)", "0.750 (1/2)"],
        ["random_search", *["0.000 (2/2)"] * 6],
    ]


def test_seconds_are_compared_for_rewards_that_cost_nothing(command):
    lines = [
        line(entry, {64: 1.0 + seed}, {64: 15.0}, reward=reward, seed=seed)
        for entry in ("random_search", "auto")
        for reward in ("jpeg_smaller", "noisy_judge")
        for seed in range(3)
    ]
    said = command(lines, "--tables")
    assert "jpeg_smaller, 1 prompts, cpu: best by so many seconds" in said
    assert "noisy_judge, 64 queries" in said
    assert "noisy_judge, 1 prompts, cpu" not in said


def paired_lines(prompts=("p", "q"), lead=1.0, seeds=4):
    """Make runs of which snes with 32 queries is ahead of auto with 512 by a lead, and by half of it in the second."""
    for place, prompt in enumerate(prompts):
        for seed in range(seeds):
            cell = {"prompt": prompt, "seed": seed}
            yield line("random_search", {64: 0.0, 256: 0.0}, **cell)
            yield line("auto", {512: 5.0 + seed}, **cell)
            yield line("snes", {32: 5.0 + seed + lead / (1 + place)}, **cell)
            yield line("cmaes", {256: 10.0}, **cell)


def compared(lines, one=("snes", 32), other=("auto", 512)):
    lines = list(lines)
    return strategy_tables.compared(
        strategy_tables.scores(lines, (one[1], other[1]), scale=strategy_tables.scores(lines)), one, other
    )


def test_two_entries_are_compared_at_budgets_of_their_own():
    """Seeds differ more than the entries do; paired, the difference is the same in all of them."""
    alone, second, together = compared(paired_lines())
    assert alone == ["jpeg_smaller", "p", "0.100 [0.100, 0.100]", "100%", 4]
    assert second == ["jpeg_smaller", "q", "0.050 [0.050, 0.050]", "100%", 4]
    assert together == ["jpeg_smaller", "all", "0.075 [0.050, 0.100]", "100%", 8]
    assert compared(paired_lines()) == [alone, second, together]


def test_a_comparison_the_other_way_round_has_the_other_sign():
    (row,) = compared(paired_lines(["p"]), ("auto", 512), ("snes", 32))
    assert row == ["jpeg_smaller", "p", "-0.100 [-0.100, -0.100]", "0%", 4]


def test_an_entry_is_compared_with_itself_at_another_budget():
    (row,) = compared(paired_lines(["p"]), ("random_search", 256), ("random_search", 64))
    assert row == ["jpeg_smaller", "p", "0.000 [0.000, 0.000]", "50%", 4]


def test_two_entries_without_a_common_seed_are_not_compared():
    ones = [one for one in paired_lines() if (one["entry"] == "auto") == (one["seed"] < 2)]
    assert compared(ones) == []


def test_a_claim_is_printed_and_nothing_run(command):
    said = command(paired_lines(), "--claim", "snes@32", "auto@512")
    assert "snes at 32 queries minus auto at 512" in said
    assert '"rows": [["jpeg_smaller", "p", "0.100 [0.100, 0.100]", "100%", 4]]' in said
    assert "best-of-N" not in said


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["snes", "auto@512"], "must be ENTRY@QUERIES, such as surrogate@128; got 'snes'"),
        (["sness@32", "auto@512"], "got 'sness@32'. Entries are auto; "),
        (["snes@33", "auto@512"], "Queries are 16, 32, "),
        (["pgpe@32", "auto@512"], "must name two entries that ran with the same reward, prompt and seed; got none in "),
    ],
)
def test_a_claim_that_cannot_be_made_is_refused_in_one_line(command, capsys, words, complaint):
    with pytest.raises(SystemExit):
        command(paired_lines(), "--claim", *words)
    *_, last = capsys.readouterr().err.splitlines()
    assert last.startswith("strategies.py: error: argument --claim: ")
    assert complaint in last


def test_lists_of_rewards_stand_for_their_names():
    read = strategies._parser().parse_args
    assert read([]).rewards == list(strategy_rewards.REWARDS)
    assert read(["--words"]).rewards == list(WORDS)
    assert read(["--others"]).rewards == list(OTHERS)
    assert read(["--rewards", "photo", "symmetry"]).rewards == ["photo", "symmetry"]


def test_the_interval_of_a_difference_is_that_of_its_seeds():
    lines = [line("random_search", {16: 0.0, 64: 1.0 + seed % 3}, seed=seed) for seed in range(8)]
    lines += [line("auto", {64: 4.0 + 2 * (seed % 2)}, seed=seed) for seed in range(8)]
    low, high = (
        strategy_tables._difference(strategy_tables.scores(lines, [64]), "auto", "random_search", 64)[:-1]
        .split("[")[1]
        .split(", ")
    )
    assert float(low) < float(high)
