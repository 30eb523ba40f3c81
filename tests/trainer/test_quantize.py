"""The quantised copy: smaller, nearly as good, and the trainer untouched."""

from __future__ import annotations

import pytest
import torch

from graphscope.errors import TrainerError
from graphscope.trainer import quantize
from graphscope.trainer.data.digits import digits
from graphscope.trainer.loop import Trainer
from graphscope.trainer.quantize import compare_quantized
from graphscope.trainer.settings import TrainerSettings


@pytest.mark.parametrize(("model", "layers"), [("mlp", 2), ("gru", 2)])
def test_a_quantised_network_is_a_quarter_of_the_size_and_nearly_as_good(model, layers):
    trainer = Trainer(TrainerSettings(model=model, epochs=3), data=digits())
    list(trainer.batches())
    before = {key: value.clone() for key, value in trainer.model.state_dict().items()}
    result = compare_quantized(trainer)
    assert result.layers == layers
    assert result.quantised.size < 0.35 * result.full.size
    assert result.full.accuracy == trainer.evaluate().accuracy
    assert result.quantised.accuracy == pytest.approx(result.full.accuracy, abs=0.03)
    assert result.quantised.loss != result.full.loss
    assert result.full.images_per_second > 0
    assert trainer.model.training
    assert all(torch.equal(value, before[key]) for key, value in trainer.model.state_dict().items())
    table = str(result).splitlines()
    assert len(table) == 3 and f"{result.full.accuracy:.2%}".rstrip("%") in table[1] and "int8" in table[2]


def test_a_torch_without_quantisation_says_so(monkeypatch):
    monkeypatch.delattr(quantize.torch.ao.quantization, "quantize_dynamic")
    with pytest.raises(TrainerError, match="cannot do it here"):
        quantize.quantized(torch.nn.Linear(2, 2))
