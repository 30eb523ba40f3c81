"""Training loops of other shapes: GANs, several optimizers, mixed precision, no forward at all, errors."""

from __future__ import annotations

import contextlib

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from graphscope.session import watch
from tests.capture.zoo.drawing import held


def bits(model: nn.Module) -> list[Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def equal(one: list[Tensor], other: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


class Generator(nn.Module):
    """
    z -> a:linear -> relu! -> b:linear -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(3, 8), nn.Linear(8, 4)

    def forward(self, z: Tensor) -> Tensor:
        return self.b(F.relu(self.a(z), inplace=True))


class Discriminator(nn.Module):
    """
    x -> a:linear -> leaky_relu -> drop:dropout -> b:linear -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.drop = nn.Linear(4, 8), nn.Linear(8, 1), nn.Dropout(0.2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.drop(F.leaky_relu(self.a(x), 0.2)))


def gan(run_dir=None):
    torch.manual_seed(0)
    g, d = Generator(), Discriminator()
    og, od = torch.optim.Adam(g.parameters(), 1e-2), torch.optim.Adam(d.parameters(), 1e-2)
    sessions = (
        [watch(m, o, every=1, run_dir=run_dir / n) for m, o, n in ((g, og, "g"), (d, od, "d"))] if run_dir else []
    )
    for _ in range(4):
        real, z = torch.randn(5, 4), torch.randn(5, 3)
        od.zero_grad()
        loss = F.softplus(-d(real)).mean() + F.softplus(d(g(z).detach())).mean()
        loss.backward()
        od.step()
        og.zero_grad()
        F.softplus(-d(g(z))).mean().backward()
        og.step()
    for session in sessions:
        session.close()
    return bits(g) + bits(d), sessions


def test_a_gan_has_two_sessions_each_with_its_own_steps(tmp_path):
    plain, _ = gan()
    watched, (g, d) = gan(tmp_path)
    assert equal(plain, watched)
    held(g.graph, Generator.__doc__, with_loss=True)
    held(d.graph, Discriminator.__doc__, with_loss=True)
    # The discriminator also runs once for the generator's step: those calls belong to its own next step.
    assert [record.passes for record in d.run.step_records] == [2, 3, 3, 3]
    assert [record.passes for record in g.run.step_records] == [2, 2, 2, 2]


def test_one_root_with_two_optimizers_counts_the_first_and_sees_both(tmp_path):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(4, 3), nn.Linear(3, 2)

        def forward(self, x):
            return self.right(self.left(x))

    model = Both()
    one, two = torch.optim.SGD(model.left.parameters(), 0.1), torch.optim.SGD(model.right.parameters(), 0.2)
    with watch(model, one, every=1, run_dir=tmp_path / "run") as session:
        for _ in range(3):
            one.zero_grad()
            two.zero_grad()
            model(torch.ones(2, 4)).sum().backward()
            two.step()
            one.step()
    assert session.run.steps == [0, 1, 2]
    for name in ("left.weight", "right.weight"):
        for role in ("parameter_gradient", "update"):
            assert session.run.series(name, "l2", role=role)[1].size == 3, (name, role)


class Mixed(nn.Module):
    """
    h = x -> conv:conv2d -> bn:batch_norm -> relu:relu! -> flatten
    h -> fc:linear -> log_softmax -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn, self.relu, self.fc = nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(True), nn.Linear(48, 3)

    def forward(self, x: Tensor) -> Tensor:
        return F.log_softmax(self.fc(torch.flatten(self.relu(self.bn(self.conv(x))), 1)), dim=1)


def train_mixed(run_dir=None):
    torch.manual_seed(0)
    model = Mixed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**10)
    session = watch(model, optimizer, every=1, run_dir=run_dir) if run_dir else None
    losses = []
    for step in range(4):
        optimizer.zero_grad()
        for _ in range(2):
            x = torch.randn(4, 1, 6, 6) * (1e30 if step == 1 else 1)  # overflows: the scaler skips this step
            with torch.autocast("cpu", dtype=torch.bfloat16):
                loss = F.nll_loss(model(x), torch.tensor([0, 1, 2, 0])) / 2
            scaler.scale(loss).backward()
            losses.append(loss.item())
        scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        scaler.step(optimizer)
        scaler.update()
    if session:
        session.close()
    return losses, [*bits(model), torch.tensor(scaler.get_scale())], session


def test_autocast_scaling_clipping_and_accumulation_change_no_bit_and_casts_are_visible(tmp_path):
    losses, plain, _ = train_mixed()
    watched_losses, watched, session = train_mixed(tmp_path / "run")
    assert repr(losses) == repr(watched_losses)
    assert equal(plain, watched)
    held(session.graph, Mixed.__doc__, with_loss=True)
    by_op = {node.op: node for node in session.graph.nodes}
    conv = by_op["conv2d"]
    assert {value.dtype for value in conv.inputs} == {"float32"}
    assert conv.outputs[0].dtype == "bfloat16"
    assert by_op["batch_norm"].outputs[0].dtype == "bfloat16"
    # What the optimizer sees: unscaled and clipped to a norm of one.
    norms = session.run.scalars("grad_norm")[1]
    assert all(norm <= 1.0 + 1e-5 for norm in norms)


def test_steps_without_any_forward_of_the_root_are_told(tmp_path):
    class Flow(nn.Module):
        def __init__(self):
            super().__init__()
            self.lin = nn.Linear(3, 3)

        def log_prob(self, x):
            return -self.lin(x).pow(2).sum()

    model = Flow()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        for _ in range(4):
            optimizer.zero_grad()
            (-model.log_prob(torch.randn(2, 3))).backward()
            optimizer.step()
    assert session.run.steps == [0, 1, 2, 3]
    told = [note for note in session.run.notes if "forward" in note.text]
    assert len(told) == 1
    assert "Flow" in told[0].text
    assert session.run.series("lin.weight", "l2", role="parameter_gradient")[1].size == 4


class Halfway(nn.Module):
    """
    x -> a:linear -> b:linear -> out
    """

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.b(self.a(x))
        if len(x) > 2:
            raise ValueError("too many")
        return self.c(y)


def test_an_exception_that_the_forward_catches_is_no_failure(tmp_path):
    class Tries(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.last = Halfway(), nn.Linear(3, 1)

        def forward(self, x):
            with contextlib.suppress(ValueError):
                self.inner(x)
            return self.last(x)

    model = Tries()
    with watch(model, every=1, run_dir=tmp_path / "run") as session:
        model(torch.randn(3, 3)).sum().backward()
    assert [(n.op, n.fqn) for n in session.graph.nodes][:3] == [
        ("linear", "inner.a"), ("linear", "inner.b"), ("linear", "last"),
    ]  # fmt: skip
    assert session.graph.partial == ""
    assert session.run.passes[-1].error is None


def test_a_backward_that_raises_keeps_what_was_seen_and_says_where(tmp_path):
    class Bomb(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1

        @staticmethod
        def backward(ctx, gradient):
            raise RuntimeError("no gradient here")

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 3)

        def forward(self, x):
            return self.c(self.b(Bomb.apply(self.a(x))))

    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    with watch(model, optimizer, every=1, run_dir=tmp_path / "run") as session:
        with pytest.raises(RuntimeError, match="no gradient here"):
            model(torch.ones(2, 3)).sum().backward()
    run = session.run
    assert run.series("c", "l2", role="gradient")[1].size == 1
    assert run.series("b", "l2", role="gradient")[1].size == 1
    assert run.passes[-1].error.startswith("backward ended early")
    assert run.passes[-1].error_fqn == "b", "the last module whose gradient was seen"
