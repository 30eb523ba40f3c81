"""The pinned batch: what is said equals an evaluation's own count, and asking changes nothing."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from graphscope.trainer.loop import Trainer
from graphscope.trainer.pinned import IMAGES, PinnedBatch, shares, shown
from graphscope.trainer.settings import TrainerSettings


@pytest.mark.parametrize("model", ["cnn-bn", "mlp-logsoftmax", "mlp-softmax", "multitask"])
def test_it_says_what_the_network_says_in_eval_mode(model):
    trainer = Trainer(TrainerSettings(model=model, steps=3))
    pinned = PinnedBatch(trainer)
    for _ in trainer.batches():
        pass
    said = pinned.predict()
    images, labels = next(iter(trainer.data.test()))
    with torch.no_grad():
        out = trainer.model.eval()(images[:IMAGES])
    out = out[0] if isinstance(out, tuple) else out
    torch.testing.assert_close(said.predicted, out.argmax(1))
    torch.testing.assert_close(said.label, labels[:IMAGES])
    share = {"mlp-softmax": out, "mlp-logsoftmax": out.exp()}.get(model, out.softmax(1)).max(1).values
    torch.testing.assert_close(said.confidence, share.double(), rtol=1e-5, atol=1e-6)
    assert pinned.pixels.shape == (IMAGES, 28, 28, 1)


def test_asking_changes_neither_weights_nor_buffers_nor_random_numbers():
    trainer = Trainer(TrainerSettings(model="cnn-bn", steps=1))
    for _ in trainer.batches():
        pass
    trainer.model.train()
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    state = torch.get_rng_state()
    pinned = PinnedBatch(trainer)
    pinned.predict()
    assert torch.equal(torch.get_rng_state(), state) and trainer.model.training
    assert all(torch.equal(before[name], value) for name, value in trainer.model.state_dict().items())


@pytest.mark.parametrize("model", ["autoencoder", "gan"])
def test_where_nothing_is_classified_it_says_so(model):
    with pytest.raises(ValueError, match="does not classify"):
        PinnedBatch(Trainer(TrainerSettings(model=model, steps=1)))


def test_own_data_without_a_test_set_have_none():
    data = DataLoader(TensorDataset(torch.randn(8, 4), torch.arange(8) % 2), batch_size=4)
    with pytest.raises(ValueError, match="no test images"):
        PinnedBatch(Trainer(TrainerSettings(steps=1), data=data, model=nn.Linear(4, 2)))


def test_images_become_bytes_and_others_none():
    x = torch.tensor([[-1.0, 0.0], [1.0, 3.0]]).view(1, 1, 2, 2)
    assert shown(x)[0, :, :, 0].tolist() == [[0, 64], [128, 255]]
    assert shown(torch.randn(2, 3, 96, 64)).shape == (2, 32, 21, 3)
    assert shown(torch.zeros(2, 1, 4, 4)).max() == 0, "a constant image is black, not a division by zero"
    assert shown(torch.randn(2, 7)) is None and shown(torch.randn(2, 4, 8, 8)) is None
    assert shown(torch.full((1, 1, 2, 2), torch.nan)) is None


def test_scores_become_shares_unless_they_are():
    rows = torch.tensor([[0.25, 0.75], [1.0, 0.0]], dtype=torch.float64)
    assert torch.equal(shares(rows), rows)
    torch.testing.assert_close(shares(rows * 2), (rows * 2).softmax(1))
