"""The batch size that "auto" finds, on a fake clock."""

import torch

from zo_dno.generators.batch_size import best_batch_size


def test_a_batch_that_does_not_fit_ends_the_search_for_one():
    asked, clock = [], iter(range(100))

    def render(n):
        asked.append(n)
        if n > 4:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return torch.zeros(n)

    assert best_batch_size(render, lambda: float(next(clock))) == 4
    assert asked == [1, 1, 1, 2, 2, 4, 4, 8]


def test_the_first_call_at_a_size_does_not_count():
    seen, now = set(), 0.0

    def render(n):
        nonlocal now
        now += 1.0 if n in seen else 100.0 * n
        seen.add(n)
        return torch.zeros(n)

    assert best_batch_size(render, lambda: now) == 16  # the most that is tried on a CPU
