from tests.support.oracles import Flaky, ask, queries, value
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.oracle.oracle import Oracle


def test_equal_queries_are_sent_once():
    seen = []

    def counted(images, prompts):
        seen.extend(value(images, prompts))
        return value(images, prompts)

    responses = ask(counted, [1, 2, 1, 1, 2])
    assert seen == [1, 2]
    assert [response.score.value for response in responses] == [1, 2, 1, 1, 2]
    assert [response.cached for response in responses] == [False, False, True, True, True]
    assert [response.attempts for response in responses] == [1, 1, 0, 0, 0]


def test_equal_queries_share_a_failure():
    responses = ask(Flaky({1: 9}, ValueError("no")), [1, 2, 1])
    assert [response.score.missing for response in responses] == [True, False, True]


def test_repeats_and_other_raters_are_different_queries():
    seen = []
    oracle = Oracle(FunctionReward(lambda images: [float(seen.append(1) or len(seen))]))
    first, again = oracle.ask(queries([5])), oracle.ask(queries([5]))
    assert (first[0].score.value, again[0].score.value, again[0].cached) == (1, 1, True)
    assert oracle.ask(queries([5], repeat=1))[0].score.value == 2
    assert oracle.ask(queries([5], rater="bo"))[0].score.value == 3
