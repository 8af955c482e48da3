"""The private attributes of torch that the tape relies on: a new version that takes one away is named here."""

import torch

from zo_dno.generators.torch_private import INNER_CALL, inner_call


def test_modules_have_a_call_inside_of_their_hooks():
    network = torch.nn.Linear(2, 2)
    for name in (INNER_CALL, "_call_impl"):
        assert hasattr(network, name), f"torch {torch.__version__} has no Module.{name}"
    assert vars(torch.nn.Module).get(INNER_CALL, "missing") is None
    assert inner_call(network) == network._call_impl


def test_a_module_calls_what_stands_in_for_its_inner_call():
    network = torch.nn.Linear(2, 2)
    vars(network)[INNER_CALL] = lambda *_: "replaced"
    assert network(torch.zeros(1, 2)) == "replaced", f"torch {torch.__version__} calls something else"
