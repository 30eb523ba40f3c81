"""Rules about a training that goes on: real tiny trainings with one thing wrong each (the right ones stand beside)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphscope.run import Run
from graphscope.schema import Finding
from tests.rules.trainings import classes, cnn, images, mlp, train


def sgd(model: nn.Module, rate: float = 0.1) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), rate)


def only(run: Run, rule: str) -> Finding:
    """The one finding of that rule."""
    (finding,) = [finding for finding in run.findings if finding.rule == rule]
    return finding


def rules_of(run: Run) -> set[str]:
    return {finding.rule for finding in run.findings}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


# dead-relu


def test_a_relu_that_a_bias_closed(tmp_path: Path) -> None:
    model = mlp(20, 32, 32, 10)
    nn.init.constant_(model[2].bias, -30.0)
    run = train(tmp_path, model, sgd(model), *classes(), steps=30)
    finding = only(run, "dead-relu")
    share = run.series("3", "zero_share")[1]
    assert (share == 1).all(), "the material"
    # A finding that is seen at every step is told again when it was seen a tenth more often.
    assert (finding.fqn, finding.severity, finding.step) == ("3", "warning", 0) and finding.last_step in range(27, 30)
    assert (finding.value, finding.limit) == (1.0, 0.99) and finding.count == finding.last_step - 18
    assert "100.0% of the outputs of 3 (relu)" in finding.message and "limit 99%" in finding.message


class FunctionalRelu(nn.Module):
    """A block whose ReLU is a function and, with p, reads a Dropout."""

    def __init__(self, shift: float, p: float = 0.0) -> None:
        super().__init__()
        self.fc, self.shift, self.p = nn.Linear(20, 40), shift, p

    def forward(self, x: Tensor) -> Tensor:
        h = self.fc(x) + self.shift
        return F.relu(F.dropout(h, self.p) if self.p else h)


@pytest.mark.parametrize(("block", "fires"), [((-30.0,), True), ((0.0,), False), ((5.0, 0.995), False)])
def test_functional_relus_count_and_those_behind_a_dropout_do_not(
    block: tuple[float, ...], fires: bool, tmp_path: Path
) -> None:
    model = nn.Sequential(FunctionalRelu(*block), nn.Linear(40, 10))
    run = train(tmp_path, model, sgd(model), *classes(), steps=25)
    assert ("dead-relu" in rules_of(run)) is fires
    assert fires or block[0] == 0 or run.series("0", "zero_share")[1].min() > 0.97, "the material"


def test_too_few_steps_say_nothing(tmp_path: Path) -> None:
    model = mlp(20, 32, 10)
    nn.init.constant_(model[0].bias, -30.0)
    run = train(tmp_path, model, sgd(model), *classes(), steps=19)
    assert "dead-relu" not in rules_of(run)


# parameter-without-gradient


class Cut(nn.Module):
    """An encoder and a head with ``between`` between them."""

    def __init__(self, between: Any) -> None:
        super().__init__()
        self.encoder, self.head, self.spare, self.between = nn.Linear(20, 16), nn.Linear(16, 10), None, between

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.between(self.encoder(x)))


def test_an_encoder_behind_a_detach(tmp_path: Path) -> None:
    model = Cut(lambda h: h.relu().detach())
    run = train(tmp_path, model, sgd(model), *classes(), steps=8)
    finding = only(run, "parameter-without-gradient")
    assert (finding.severity, finding.fqn, finding.limit) == ("warning", "encoder", 5.0)
    assert "encoder.weight, encoder.bias" in finding.message and "ends at detach" in finding.message
    assert finding.line is not None and run.graph is not None
    assert finding.node == next(node.id for node in run.graph.nodes if node.op == "detach")
    assert model.encoder.weight.grad is None and model.head.weight.grad is not None, "the material"


def test_no_grad_in_the_forward(tmp_path: Path) -> None:
    class Frozen(Cut):
        def forward(self, x: Tensor) -> Tensor:
            with torch.no_grad():
                h = self.encoder(x)
            return self.head(h)

    model = Frozen(None)
    finding = only(train(tmp_path, model, sgd(model), *classes(), steps=8), "parameter-without-gradient")
    assert finding.title == "Cut off from the loss" and "ends at encoder (linear)" in finding.message


def test_a_layer_that_the_forward_never_reads_is_a_hint(tmp_path: Path) -> None:
    model = Cut(torch.relu)
    model.spare = nn.Linear(3, 3)
    finding = only(train(tmp_path, model, sgd(model), *classes(), steps=8), "parameter-without-gradient")
    assert (finding.severity, finding.fqn, finding.node) == ("info", "spare", None)
    assert "not read by any op" in finding.message


def test_frozen_layers_and_parts_used_now_and_then_are_meant(tmp_path: Path) -> None:
    model = Cut(torch.relu)
    model.encoder.requires_grad_(False)
    assert run_is_silent(train(tmp_path / "frozen", model, sgd(model), *classes(), steps=10))

    class Experts(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.experts, self.turn = nn.ModuleList([nn.Linear(20, 10), nn.Linear(20, 10)]), 0

        def forward(self, x: Tensor) -> Tensor:
            self.turn += 1
            return self.experts[self.turn % 2](x)

    experts = Experts()
    assert run_is_silent(train(tmp_path / "experts", experts, sgd(experts), *classes(), steps=20))


def run_is_silent(run: Run) -> bool:
    assert run.findings == []
    return True


# weights-barely-change


def test_a_learning_rate_of_zero(tmp_path: Path) -> None:
    model = mlp(20, 32, 10)
    finding = only(train(tmp_path, model, sgd(model, 0.0), *classes(), steps=15), "weights-barely-change")
    assert (finding.step, finding.value) == (0, 0.0) and "rate is 0" in finding.message


def test_updates_that_bfloat16_rounds_away(tmp_path: Path) -> None:
    model = mlp(20, 32, 10).to(torch.bfloat16)
    for parameter in model.parameters():
        nn.init.constant_(parameter, 1.0)
    x, y = classes()
    run = train(tmp_path, model, torch.optim.SGD(model.parameters(), 1e-6), x.bfloat16(), y, steps=15)
    finding = only(run, "weights-barely-change")
    assert "gradients are there" in finding.message and "bfloat16" in finding.advice


def test_gradients_that_are_all_zero(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(20, 1), nn.Softmax(1))
    x = torch.randn(64, 20)
    run = train(tmp_path, model, sgd(model), x, torch.rand(64, 1), loss=F.mse_loss, steps=15)
    assert "all gradients are 0" in only(run, "weights-barely-change").message


def test_a_warm_up_from_nothing_is_meant(tmp_path: Path) -> None:
    model = mlp(20, 32, 10)
    optimizer = sgd(model, 1.0)
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1e-12 * step)
    run = train(tmp_path, model, optimizer, *classes(), steps=20, after=lambda _: warm_up.step())
    assert run.series("0.weight", "l2", "update")[1].max() < 1e-8, "the material"
    assert run_is_silent(run)


@pytest.mark.parametrize("rate", [1e-6, 1e-5])
def test_a_small_rate_with_adam_still_changes_weights(rate: float, tmp_path: Path) -> None:
    model = mlp(20, 32, 10)
    assert run_is_silent(train(tmp_path, model, torch.optim.Adam(model.parameters(), rate), *classes(), steps=20))


# vanishing-gradient


def by_depth(run: Run, layers: int) -> np.ndarray:
    """[layers, steps] root mean square of each Linear's weight gradient."""
    return np.stack([run.series(f"{2 * i}.weight", "l2", "parameter_gradient")[1] for i in range(layers)])


def test_eight_sigmoid_layers(tmp_path: Path) -> None:
    model = mlp(20, *[32] * 8, 10, act=nn.Sigmoid)
    run = train(tmp_path, model, sgd(model), *classes(), steps=25)
    finding = only(run, "vanishing-gradient")
    gradients = by_depth(run, 9)
    assert (gradients[0] < 1e-3 * gradients[-1]).all(), "the material"
    assert (finding.severity, finding.fqn, finding.limit, finding.step) == ("warning", "0", 1e-3, 19)
    assert finding.value is not None and finding.value < 1e-3 and "sigmoid" in finding.advice


def test_one_layer_with_small_gradients_is_no_fall_with_depth(tmp_path: Path) -> None:
    model = mlp(20, *[32] * 6, 10)
    nn.init.zeros_(model[-1].weight)  # nothing but the head has a gradient at first
    run = train(tmp_path, model, sgd(model, 1e-6), *classes(), steps=25)
    gradients = by_depth(run, 7)
    assert (gradients[:3].mean(0) < 1e-3 * gradients[-1]).all(), "the material"
    assert "vanishing-gradient" not in rules_of(run)


@pytest.mark.parametrize("act", [nn.ReLU, nn.Tanh, nn.GELU])
def test_eight_layers_that_train(act: type[nn.Module], tmp_path: Path) -> None:
    layers: list[nn.Module] = [nn.Linear(20, 32), act()]
    for _ in range(7):
        layers += [nn.Linear(32, 32), nn.LayerNorm(32), act()]
    model = nn.Sequential(*layers, nn.Linear(32, 10))
    assert run_is_silent(train(tmp_path, model, sgd(model, 0.05), *classes(), steps=25))


# batchnorm-of-few-values


@pytest.mark.parametrize(("batch", "says"), [(2, "every output is +1 or -1"), (4, "off by 0.50 standard deviations")])
def test_batchnorm_of_a_few_samples(batch: int, says: str, tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(20, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))
    finding = only(train(tmp_path, model, sgd(model), *classes(), batch=batch, steps=6), "batchnorm-of-few-values")
    assert (finding.fqn, finding.value, finding.limit, finding.step) == ("1", float(batch), 8.0, 2)
    assert says in finding.message and f"{batch} values a channel" in finding.message


def test_images_in_a_batch_of_one_have_many_values(tmp_path: Path) -> None:
    model = cnn()
    assert "batchnorm-of-few-values" not in rules_of(
        train(tmp_path, model, sgd(model, 0.01), *images(), batch=1, steps=6)
    )


def test_a_short_last_batch_and_fixed_averages_are_fine(tmp_path: Path) -> None:
    def net() -> nn.Sequential:
        return nn.Sequential(nn.Linear(20, 16, bias=False), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 10))

    x, y = classes(rows=66)
    model = net()
    parts = [(x[i : i + 32], y[i : i + 32]) for i in (0, 32, 64)] * 5
    import graphscope

    optimizer = sgd(model)
    with graphscope.watch(model, optimizer, every=1, run_dir=tmp_path / "short") as session:
        for a, b in parts:
            optimizer.zero_grad()
            F.cross_entropy(model(a), b).backward()
            optimizer.step()
        assert "batchnorm-of-few-values" not in rules_of(session.run)
    frozen = net().eval()
    assert "batchnorm-of-few-values" not in rules_of(
        train(tmp_path / "eval", frozen, sgd(frozen), x, y, batch=2, steps=6)
    )
