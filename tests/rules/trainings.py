"""Real tiny trainings, watched at every step: healthy ones that no rule may accuse, and material for sick ones."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import graphscope
from graphscope.run import Run

Loss = Callable[[Tensor, Tensor], Tensor]


def mlp(*widths: int, act: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Linear layers of these widths with activations between them."""
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise(widths)):
        layers += [nn.Linear(before, after), act()] if i < len(widths) - 2 else [nn.Linear(before, after)]
    return nn.Sequential(*layers)


def cnn() -> nn.Sequential:
    """A convolution with BatchNorm and Dropout on 1 × 8 × 8 images, ten classes."""
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Dropout(0.2), nn.Linear(288, 10)
    )


def train(
    folder: Path, model: nn.Module, optimizer: Any, x: Tensor, y: Tensor, *, steps: int = 60,
    loss: Loss = F.cross_entropy, every: int = 1, batch: int = 32, after: Callable[[int], None] | None = None,
    **options: Any,
) -> Run:  # fmt: skip
    """The plain loop; ``after`` is called with the number of each step that is done."""
    with graphscope.watch(model, optimizer, every=every, run_dir=folder, **options) as session:
        for step in range(steps):
            rows = torch.randint(len(x), (batch,))
            value = loss(model(x[rows]), y[rows])
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            if after is not None:
                after(step)
        return session.run


def classes(features: int = 20, rows: int = 512) -> tuple[Tensor, Tensor]:
    """Points and which of ten classes a linear map puts them into."""
    x = torch.randn(rows, features)
    return x, (x @ torch.randn(features, 10)).argmax(1)


def images(rows: int = 256) -> tuple[Tensor, Tensor]:
    """1 × 8 × 8 images of ten linear classes."""
    x, y = classes(64, rows)
    return x.view(-1, 1, 8, 8), y


def _adam(folder: Path) -> Run:
    model = mlp(20, 32, 10)
    return train(folder, model, torch.optim.Adam(model.parameters(), 3e-3), *classes())


def _momentum(folder: Path) -> Run:
    model = mlp(20, 32, 32, 10)
    return train(folder, model, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9), *classes())


def _cnn(folder: Path) -> Run:
    model = cnn()
    return train(folder, model, torch.optim.SGD(model.parameters(), 0.1, momentum=0.9), *images(), steps=40)


def _tanh(folder: Path) -> Run:
    model = mlp(20, 32, 32, 10, act=nn.Tanh)
    return train(folder, model, torch.optim.RMSprop(model.parameters(), 3e-3), *classes())


def _zero_head(folder: Path) -> Run:
    model = mlp(20, 32, 10)
    nn.init.zeros_(model[-1].weight)
    nn.init.zeros_(model[-1].bias)
    return train(folder, model, torch.optim.Adam(model.parameters(), 3e-3), *classes())


def _regression(folder: Path) -> Run:
    x, model = torch.randn(512, 20), mlp(20, 32, 1)
    y = (x @ torch.randn(20, 1)) * 100 + 1e4
    return train(folder, model, torch.optim.Adam(model.parameters(), 1e-2), x, y, loss=F.mse_loss)


def _fine_tuning(folder: Path) -> Run:
    model = mlp(20, 32, 32, 10)
    for parameter in model[0].parameters():
        parameter.requires_grad_(False)
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], 1e-4)
    return train(folder, model, optimizer, *classes())


def _transformer(folder: Path) -> Run:
    class Gpt(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.Embedding(30, 16)
            self.block = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True)
            self.head = nn.Linear(16, 30)

        def forward(self, ids: Tensor) -> Tensor:
            return self.head(self.block(self.tokens(ids))).flatten(0, 1)

    model = Gpt()
    ids = (torch.arange(9) + torch.randint(30, (256, 1))) % 30
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, step / 20))
    return train(
        folder, model, optimizer, ids[:, :-1], ids[:, 1:], after=lambda _: warm_up.step(),
        loss=lambda output, target: F.cross_entropy(output, target.flatten()),
    )  # fmt: skip


def _lstm(folder: Path) -> Run:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.memory = nn.LSTM(1, 16, batch_first=True)
            self.head = nn.Linear(16, 1)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.memory(x)[0][:, -1])

    model, x = Net(), torch.rand(256, 12, 1)
    return train(folder, model, torch.optim.Adam(model.parameters(), 1e-2), x, x.mean(1), loss=F.mse_loss)


def _gan(folder: Path, watched: str, wasserstein: bool = False, rate: float = 2e-3) -> Run:
    """Two networks against each other on points around (3, 3); losses swing by nature."""
    maker, judge = mlp(4, 16, 2), mlp(2, 16, 1, act=nn.Tanh)
    makers = torch.optim.Adam(maker.parameters(), rate, betas=(0.5, 0.9))
    judges = torch.optim.Adam(judge.parameters(), rate, betas=(0.5, 0.9))
    model, optimizer = (judge, judges) if watched == "judge" else (maker, makers)
    one, zero, score = torch.ones(32, 1), torch.zeros(32, 1), F.binary_cross_entropy_with_logits
    with graphscope.watch(model, optimizer, every=1, run_dir=folder) as session:
        for _ in range(60):
            real, made = judge(torch.randn(32, 2) * 0.3 + 3), judge(maker(torch.randn(32, 4)).detach())
            loss = made.mean() - real.mean() if wasserstein else score(real, one) + score(made, zero)
            judges.zero_grad()
            loss.backward()
            judges.step()
            if wasserstein:
                for parameter in judge.parameters():
                    parameter.data.clamp_(-0.1, 0.1)
            made = judge(maker(torch.randn(32, 4)))
            loss = -made.mean() if wasserstein else score(made, one)
            makers.zero_grad()
            loss.backward()
            makers.step()
        return session.run


def _q_learning(folder: Path) -> Run:
    """Values that grow from near 0 towards 1 / (1 - 0.99), and a loss that jumps when the target is renewed."""
    model, target = mlp(4, 32, 2), mlp(4, 32, 2)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    with graphscope.watch(model, optimizer, every=1, run_dir=folder) as session:
        for step in range(80):
            if step % 10 == 0:
                target.load_state_dict(model.state_dict())
            x, action = torch.randn(32, 4), torch.randint(2, (32, 1))
            with torch.no_grad():
                wanted = 1 + 0.99 * target(x + 0.1).amax(1, keepdim=True)
            optimizer.zero_grad()
            F.mse_loss(model(x).gather(1, action), wanted).backward()
            optimizer.step()
        return session.run


def _policy_gradient(folder: Path) -> Run:
    """Returns of up to 100 with a baseline: the loss has both signs and swings by factors."""
    model = mlp(4, 32, 2)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    with graphscope.watch(model, optimizer, every=1, run_dir=folder) as session:
        for _ in range(60):
            x = torch.randn(32, 4)
            chosen = torch.distributions.Categorical(logits=model(x))
            action = chosen.sample()
            gained = ((x[:, 0] > 0).long() == action) * 100 * torch.rand(32) - 30 * torch.rand(1)
            optimizer.zero_grad()
            (-(chosen.log_prob(action) * gained).mean()).backward()
            optimizer.step()
        return session.run


HEALTHY: dict[str, Callable[[Path], Run]] = {
    "adam": _adam,
    "momentum": _momentum,
    "cnn with BatchNorm": _cnn,
    "tanh": _tanh,
    "head that begins at zero": _zero_head,
    "regression on large targets": _regression,
    "fine-tuning": _fine_tuning,
    "transformer with warm-up": _transformer,
    "lstm": _lstm,
    "gan, judge": lambda folder: _gan(folder, "judge"),
    "gan, maker": lambda folder: _gan(folder, "maker"),
    "wasserstein gan, judge": lambda folder: _gan(folder, "judge", wasserstein=True),
    "wasserstein gan, maker": lambda folder: _gan(folder, "maker", wasserstein=True),
    "q-learning": _q_learning,
    "policy gradient": _policy_gradient,
}
