"""Exported networks give what the network gives, for other batch sizes too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from graphscope.errors import TrainerError
from graphscope.trainer.data.shapes import shapes
from graphscope.trainer.export import export
from graphscope.trainer.loop import Trainer
from graphscope.trainer.models.named import NETWORKS
from graphscope.trainer.settings import TrainerSettings

QUICK = ("mlp", "cnn-bn")


@pytest.mark.parametrize(
    "model", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in NETWORKS]
)
def test_an_exported_network_gives_the_same(model, tmp_path):
    trainer = Trainer(TrainerSettings(model=model, steps=1, batch_size=8), data=shapes(0, 32, 8))
    list(trainer.batches())
    path = export(trainer, tmp_path / "net.pt2")
    assert [p.name for p in tmp_path.iterdir()] == ["net.pt2"]
    assert trainer.model.training
    program = torch.export.load(path).module()
    trainer.model.eval()
    for count in (1, 5):
        inputs = tuple(x[:count] for x in trainer.example())
        with torch.no_grad():
            torch.testing.assert_close(program(*inputs), trainer.model(*inputs), rtol=1e-4, atol=1e-5)


def test_a_network_that_cannot_be_exported_is_said(tmp_path):
    class DependsOnValues(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(3072, 10)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.fc(x.flatten(1)) if x.sum().item() > 0 else -self.fc(x.flatten(1))

    trainer = Trainer(TrainerSettings(), data=shapes(0, 32, 8), model=DependsOnValues())
    with pytest.raises(TrainerError, match="cannot follow DependsOnValues"):
        export(trainer, tmp_path / "net.pt2")
    assert list(tmp_path.iterdir()) == []


def test_a_path_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("x")
    trainer = Trainer(TrainerSettings(model="mlp"), data=shapes(0, 32, 8))
    with pytest.raises(TrainerError, match="cannot be written"):
        export(trainer, tmp_path / "file" / "net.pt2")
