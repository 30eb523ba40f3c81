"""trace() leaves the model, its buffers, modes and all random states as they were."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from torch import nn

from graphscope.capture.trace import trace
from graphscope.errors import GraphscopeError, NotAModule
from tests.capture.models import Cnn


def test_buffers_modes_and_random_states_are_as_before():
    model = Cnn()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    trace(model, torch.randn(2, 1, 8, 8))
    states_after = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].copy()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert not torch.equal(states[0], states_after[0]), "the input itself was drawn outside of trace"
    assert states[1] == states_after[1]
    x = torch.randn(2, 1, 8, 8)
    state = torch.get_rng_state()
    trace(model, x)
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert not model._forward_hooks
    assert "_compiled_call_impl" not in model.__dict__


def test_a_pending_backward_still_works_after_a_trace():
    model = Cnn().eval()  # in eval mode backward needs the running statistics
    x = torch.randn(2, 1, 8, 8)
    loss = model(x).sum()
    trace(model, x)
    loss.backward()
    assert model.conv.weight.grad is not None


def test_a_forward_that_changes_its_mode_and_buffers_and_raises_is_undone():
    class Rude(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("count", torch.zeros(1))

        def forward(self, x):
            self.eval()
            self.count = self.count + 1
            random.random()
            raise ValueError("rude")

    model = Rude()
    buffer, state = model.count, random.getstate()
    with pytest.raises(ValueError, match="rude"):
        trace(model, torch.zeros(1))
    assert model.training
    assert model.count is buffer
    assert model.count.item() == 0
    assert random.getstate() == state


@pytest.mark.parametrize("thing", [3, "model", {"w": 1}, nn.Linear, None])
def test_what_is_no_module_is_refused_with_words(thing):
    with pytest.raises(NotAModule, match=r"wanted a torch\.nn\.Module"):
        trace(thing)
    assert issubclass(NotAModule, GraphscopeError)
