"""What a strategy of the caller's proposes: mistakes are one line, and what is meant is taken."""

import numpy as np
import pytest
import torch

import zo_dno
from tests.support.toys import ToyGenerator
from zo_dno.errors import InputError, RunError
from zo_dno.types import Candidates


def brightness(images):
    return [float(np.asarray(one).mean()) for one in images]


class Mine:
    """Proposes two draws at a time."""

    def __init__(self, problem):
        self.d, self.n = problem.d, 0

    def ask(self):
        self.n += 2
        return Candidates(self.propose(), tuple(range(self.n - 2, self.n)))

    def propose(self):
        return torch.randn(2, self.d, generator=torch.Generator().manual_seed(self.n))

    def tell(self, candidates, scores):
        pass

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def with_methods(**methods):
    return type("Mine", (Mine,), methods)


def fails(self, *_):
    return self.nothing


IDS = "with an id for each row of z, which count up; got"
MISTAKES = [
    ({"ask": lambda self: None}, InputError, "ask() of strategy Mine must return Candidates(z, ids); got None."),
    (
        {"propose": lambda self: np.zeros((2, self.d))},
        InputError,
        "with a tensor z; got ndarray. torch.as_tensor makes",
    ),
    ({"propose": lambda self: torch.zeros(2, self.d).double()}, InputError, "float32 on the CPU; got float64 on cpu."),
    ({"propose": lambda self: torch.zeros(self.d)}, InputError, "with z (n, d), a row for each candidate; got (48,)."),
    ({"propose": lambda self: torch.zeros(0, self.d)}, InputError, "with at least one candidate; got none."),
    ({"propose": lambda self: torch.zeros(3, self.d)}, InputError, f"{IDS} (0, 1) for 3 rows."),
    ({"ask": lambda self: Candidates(torch.zeros(2, self.d), (4, 4))}, InputError, f"{IDS} (4, 4) for 2 rows."),
    ({"ask": lambda self: Candidates(torch.zeros(2, self.d), "ab")}, InputError, f"{IDS} 'ab' for 2 rows."),  # type: ignore[arg-type]
    (
        {"ask": fails},
        RunError,
        "ask() of strategy Mine failed: AttributeError: 'Mine' object has no attribute 'nothing' ",
    ),
    (
        {"tell": fails},
        RunError,
        "tell() of strategy Mine failed: AttributeError: 'Mine' object has no attribute 'nothi",
    ),
    ({"tell": lambda self: None}, RunError, "takes 1 positional argument but 3 were given. Mend it; a run with a fol"),
    (
        {"ask": lambda self: bytearray(1 << 60)},
        InputError,
        "memory must suffice for a population of Mine; it does not.",
    ),
]


@pytest.mark.parametrize(("methods", "error", "message"), MISTAKES)
def test_a_mistake_of_a_strategy_is_one_line(methods, error, message):
    with pytest.raises(error) as raised:
        zo_dno.optimize(ToyGenerator(), brightness, with_methods(**methods), queries=8)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_ids_may_be_a_list_or_a_tensor(tmp_path):
    values = []
    for number, made in enumerate((tuple, list, torch.tensor)):

        class Own(Mine):
            def ask(self, made=made):
                mine = super().ask()
                return Candidates(mine.z, made(list(mine.ids)))

        found = zo_dno.optimize(ToyGenerator(), brightness, Own, queries=8, out=tmp_path / str(number))
        values.append([(row.id, row.value) for row in found.history])
    assert values[0] == values[1] == values[2]
    assert [id_ for id_, _ in values[0]] == list(range(8))


def test_a_run_whose_strategy_failed_is_resumed(tmp_path):
    class Breaks(Mine):
        broken = True

        def tell(self, candidates, scores):
            if self.broken and candidates.ids[0] == 4:
                raise ValueError("bug")

    with pytest.raises(
        RunError, match=r"tell\(\) of strategy Breaks failed: ValueError: bug \(test_proposals.py, line"
    ):
        zo_dno.optimize(ToyGenerator(), brightness, Breaks, queries=8, out=tmp_path / "run")
    Breaks.broken = False
    found = zo_dno.resume(tmp_path / "run", generator=ToyGenerator(), reward=brightness, strategy=Breaks)
    whole = zo_dno.optimize(ToyGenerator(), brightness, Breaks, queries=8)
    assert [row.value for row in found.history] == [row.value for row in whole.history]
