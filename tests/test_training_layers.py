"""Stops inside a training step: at which layer, with what in hand, and without a trace of them afterwards."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

import graphscope
from graphscope.errors import CommandRefused
from graphscope.jupyter.link import HANDLERS
from graphscope.messages import TrainerLayer
from graphscope.trainer.loop import Trainer
from graphscope.trainer.settings import TrainerSettings
from graphscope.training_layers import Arrival, in_words, told_by_layers


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def waits(training, *at):
    until(
        lambda: training.state == "paused" and (training.at_layer, training.at_direction, training.trainer.step) == at
    )
    return training.status()


@pytest.fixture
def training(tmp_path):
    made = graphscope.train(
        "digits", "mlp", epochs=50, batch_size=128, run_dir=tmp_path / "run", start=False, every=1000
    )
    yield made
    made.stop()
    made.wait(30)


def test_from_layer_to_layer_through_forward_and_backward_and_into_the_next_step(training):
    training.step()
    waits(training, "", "", 1)
    model = training.trainer.model
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for fqn in ("flatten", "fc1", "relu", "fc2"):
        training.step_to()
        status = waits(training, fqn, "forward", 1)
        assert status.message.startswith(f"Paused in step 1, after {fqn}'s forward: 128 × ")
        assert (status.at_layer, status.at_direction) == (fqn, "forward")
        assert training.session.status().state == "paused"
    for fqn in ("fc2", "relu", "fc1"):  # the images need no gradient, so neither has flatten one
        training.step_to()
        waits(training, fqn, "backward", 1)
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items()), "no step was taken yet"
    training.step_to()
    waits(training, "flatten", "forward", 2)
    assert any(not torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    assert {0, 1} <= set(training.session.run.captured_steps)


def test_what_is_told_at_a_layer_is_what_is_recorded_of_it(training):
    training.step_to("fc1", "forward")
    forward = waits(training, "fc1", "forward", 0).message
    training.step_to("fc1", "backward")
    backward = waits(training, "fc1", "backward", 0).message
    training.step()
    waits(training, "", "", 1)
    run = training.session.run
    for message, role in ((forward, "activation"), (backward, "gradient")):
        seen = run.summary("fc1", role, 0)
        assert message.endswith(
            f"128 × 128, mean {seen.mean:.3g}, std {seen.std:.3g}, {100 * seen.zero_share:.0f} % zeros"
        )


def test_stopping_inside_steps_changes_no_weight_and_no_graph_and_leaves_no_hook(training):
    plain = Trainer(TrainerSettings(model="mlp", batch_size=128, epochs=50))
    batches = plain.batches()
    for _ in range(3):
        next(batches)
    training.step()
    waits(training, "", "", 1)
    training.step_to("fc2", "forward")
    waits(training, "fc2", "forward", 1)
    torch.rand(3)  # whatever draws numbers meanwhile
    training.step_to("relu")
    waits(training, "relu", "backward", 1)
    training.step()
    waits(training, "", "", 2)
    training.step()
    waits(training, "", "", 3)
    model = training.trainer.model
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in plain.model.state_dict().items())
    assert not any(module._forward_hooks for module in model.modules())
    assert len(training.session.run.graphs) == 1, "a step with stops has the same graph as one without"


def test_commands_are_taken_while_it_waits_inside_a_step(training):
    training.step_to("fc1")
    waits(training, "fc1", "forward", 0)
    training.set_lr(0.125)
    training.set_break("step >= 2")
    assert training.status().settings["lr"] == 0.125
    training.resume()
    status = waits(training, "", "", 3)
    assert "step = 2" in status.message
    assert training.trainer.learning_rate.base == [0.125]
    training.step_to("fc2", "backward")
    waits(training, "fc2", "backward", 3)
    training.stop()
    assert training.wait(30).state == "stopped"
    assert training.trainer.step == 4, "the batch under way is ended"


def test_a_step_that_does_not_reach_the_layer_says_so(training):
    training.step_to("flatten", "backward")
    assert waits(training, "", "", 1).message == "Step 0 did not reach flatten's backward."
    training.step()
    assert waits(training, "", "", 2).message == ""


def test_what_is_not_there_is_refused(training, tmp_path):
    with pytest.raises(CommandRefused, match="forward, backward"):
        training.step_to("fc1", "sideways")
    training.step()
    waits(training, "", "", 1)
    with pytest.raises(CommandRefused, match='Did you mean "fc1"'):
        training.step_to("fc11")
    compiled = graphscope.train("digits", "mlp", compile=True, start=False, run_dir=tmp_path / "other")
    with pytest.raises(CommandRefused, match="compile=False"):
        compiled.step_to()
    unknown = graphscope.train("digits", "mlp", start=False, run_dir=tmp_path / "third")
    unknown.step_to("conv9")
    with pytest.raises(CommandRefused, match="fc1"):
        unknown.wait(60)


def test_a_page_may_ask_for_it(training):
    assert TrainerLayer in HANDLERS

    class Link:
        def _training_for(self, _):
            return training

    HANDLERS[TrainerLayer](Link(), TrainerLayer(fqn="fc1", direction="backward"))
    waits(training, "fc1", "backward", 0)


def test_layers_tell_of_training_alone_also_where_modules_lie_in_modules_or_run_twice():
    inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU(inplace=True))
    model = nn.Sequential(inner, inner, nn.Linear(4, 1))
    told: list[tuple[str, str, bool]] = []
    gradients: dict[str, torch.Tensor] = {}

    def arrive(arrival: Arrival) -> None:
        told.append(arrival[:3])
        if arrival.direction == "backward":
            gradients.setdefault(arrival.fqn, arrival.tensor.clone())

    x = torch.randn(8, 4)
    with told_by_layers(model, arrive):
        with torch.no_grad():
            model(x)
        assert told == []
        model(x).sum().backward()
    forward = [("0.0", True), ("0.1", True), ("0", False)]
    assert [(f, leaf) for f, d, leaf in told if d == "forward"] == [*forward, *forward, ("2", True), ("", False)]
    assert [f for f, d, _ in told if d == "backward"].count("0.0") == 2
    torch.testing.assert_close(gradients["2"], torch.ones(8, 1))
    torch.testing.assert_close(gradients["0"], model[2].weight.expand(8, 4))
    told.clear()
    model(x).sum().backward()
    assert told == [] and not any(module._forward_hooks for module in model.modules())


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (torch.tensor([[0.0, 2.0], [0.0, 2.0]]), "2 × 2, mean 1, std 1, 50 % zeros"),
        (torch.tensor([1.0, float("nan"), float("inf")]), "3, 2 of 3 values NaN or infinite"),
        (torch.zeros(0, 3), "0 × 3, empty"),
        (torch.tensor(0.5), "one number, mean 0.5, std 0, 0 % zeros"),
    ],
)
def test_a_tensor_in_words(tensor, words):
    assert in_words(Arrival("fc", "forward", True, tensor)) == words
