from tests.support.oracles import queries, value
from zo_dno.oracle.function_reward import FunctionReward
from zo_dno.oracle.oracle import Oracle


def test_queries_are_reported_before_they_are_sent_and_responses_before_the_next_query():
    events = []

    def noted(images, prompts):
        events.append(("called", int(value(images, prompts)[0])))
        return value(images, prompts)

    Oracle(FunctionReward(noted)).ask(
        queries(range(3)),
        on_sent=lambda sent: events.extend(("sent", query.id) for query in sent),
        on_scored=lambda scored: events.extend(("scored", query.id) for query, _ in scored),
    )
    assert events == [(what, i) for i in range(3) for what in ("sent", "called", "scored")]
