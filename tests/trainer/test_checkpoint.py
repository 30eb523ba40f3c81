"""Checkpoints: resumed to the bit, whole or not at all, nothing executed, nothing foreign removed."""

from __future__ import annotations

import json
import pickle
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from graphscope.errors import TrainerError
from graphscope.trainer import checkpoint
from graphscope.trainer.checkpoint import newest, settings_of
from graphscope.trainer.data.images import ImageSet
from graphscope.trainer.data.shapes import shapes
from graphscope.trainer.loop import BatchResult, Trainer
from graphscope.trainer.settings import TrainerSettings


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def small() -> ImageSet:
    return replace(shapes(0, 80, 20), augmented=True)


def run(trainer: Trainer, steps: int | None = None) -> list[float]:
    losses = []
    for result in trainer.batches():
        if isinstance(result, BatchResult):
            losses.append(result.loss)
            if len(losses) == steps:
                break
    return losses


def assert_same_state(a: Trainer, b: Trainer) -> None:
    for key, value in a.model.state_dict().items():
        assert torch.equal(value, b.model.state_dict()[key]), key
    for left, right in zip(a.optimizers, b.optimizers, strict=True):
        for key, state in left.state_dict()["state"].items():
            for name, value in state.items():
                other = right.state_dict()["state"][key][name]
                assert torch.equal(value, other) if isinstance(value, torch.Tensor) else value == other


@pytest.mark.parametrize(
    "how",
    [
        {"model": "cnn-bn", "optimizer": "momentum", "schedule": "onecycle"},
        {"model": "cnn-bn", "optimizer": "adamw", "accumulate": 2},
        {"model": "gan"},
        {"model": "lstm", "optimizer": "rmsprop", "clip": 0.5},
    ],
    ids=["momentum", "accumulate", "gan", "rmsprop"],
)
def test_a_resumed_training_goes_on_to_the_bit(small, tmp_path, how):
    settings = TrainerSettings(batch_size=16, epochs=2, **how)
    whole = Trainer(settings, data=small)
    losses = run(whole)
    first = Trainer(settings, data=small)
    begun = run(first, steps=2)  # in the middle of the first epoch
    path = first.save(tmp_path)
    torch.randn(5)
    second = Trainer(settings_of(path), data=small)
    second.load(path)
    assert begun + run(second) == losses
    assert_same_state(whole, second)
    assert (second.step, second.epoch) == (whole.step, whole.epoch)


def test_what_was_changed_while_it_ran_is_kept(small, tmp_path):
    settings = TrainerSettings(model="cnn-bn", batch_size=16, steps=5)
    whole = Trainer(settings, data=small)
    losses = []
    for result in whole.batches():
        if isinstance(result, BatchResult):
            losses.append(result.loss)
            if result.step == 1:
                whole.set_lr(0.001)
                whole.set_dropout("drop2", 0.1)
                whole.set_momentum(0.3)
            if result.step == 2:
                whole.save(tmp_path)
    resumed = Trainer(settings, data=small)
    resumed.load(tmp_path)
    assert resumed.model.drop2.p == 0.1
    assert run(resumed) == losses[3:]


def test_each_epoch_leaves_a_checkpoint_of_which_two_are_kept(small, tmp_path):
    settings = TrainerSettings(model="mlp", batch_size=32, epochs=4, checkpoint_dir=str(tmp_path / "c"))
    (tmp_path / "c").mkdir()
    (tmp_path / "c" / "step-000000001").mkdir()  # of the user's, although it looks like ours
    (tmp_path / "c" / "notes.txt").write_text("mine")
    run(Trainer(settings, data=small))
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names == ["notes.txt", "step-000000001", "step-000000009", "step-000000012"]
    assert newest(tmp_path / "c").name == "step-000000012"
    assert settings_of(tmp_path / "c").epochs == 4


def test_a_longer_training_may_be_resumed_but_no_other_one(small, tmp_path):
    settings = TrainerSettings(model="mlp", epochs=1, batch_size=32)
    trainer = Trainer(settings, data=small)
    run(trainer)
    trainer.save(tmp_path)
    longer = Trainer(replace(settings, epochs=2), data=small)
    longer.load(tmp_path)
    assert len(run(longer)) == 3
    for other in (replace(settings, seed=1), replace(settings, batch_size=8), replace(settings, model="mlp-softmax")):
        with pytest.raises(TrainerError, match="was saved with"):
            Trainer(other, data=small).load(tmp_path)


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(small, tmp_path, monkeypatch):
    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint.torch, "save", no_space)
    trainer = Trainer(TrainerSettings(model="mlp", epochs=1, batch_size=32, checkpoint_dir=str(tmp_path)), data=small)
    with pytest.warns(UserWarning, match="No space left"):
        assert len(run(trainer)) == 3
    assert list(tmp_path.iterdir()) == []


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (Path.touch, (Path("/tmp/never"),))


def damaged(path: Path, name: str, data: bytes) -> None:
    (path / name).write_bytes(data)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("state.json", b"{"),
        ("state.json", b"[1]"),
        ("state.json", json.dumps({"format": 99}).encode()),
        ("state.json", json.dumps({"format": 1, "settings": {"model": "nothing"}}).encode()),
        ("optimizer.pt", b"no zip"),
        ("optimizer.pt", pickle.dumps(Evil())),
        ("weights.safetensors", b"\xff" * 100),
        ("weights.safetensors", b""),
    ],
)
def test_a_damaged_or_hostile_checkpoint_is_refused_with_its_name(small, tmp_path, name, data):
    trainer = Trainer(TrainerSettings(model="mlp", steps=1), data=small)
    run(trainer)
    path = trainer.save(tmp_path)
    damaged(path, name, data)
    with warnings.catch_warnings(), pytest.raises(TrainerError, match=path.name):
        warnings.simplefilter("ignore")
        Trainer(TrainerSettings(model="mlp", steps=1), data=small).load(path)
    assert not Path("/tmp/never").exists()


def test_a_path_without_checkpoint_is_said(small, tmp_path):
    trainer = Trainer(TrainerSettings(model="mlp"), data=small)
    with pytest.raises(TrainerError, match="holds no checkpoint"):
        trainer.load(tmp_path)
    with pytest.raises(TrainerError, match="is not a folder"):
        trainer.load(tmp_path / "none")


def test_tied_weights_are_saved(small, tmp_path):
    class Tied(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Linear(3072, 10)
            self.b = torch.nn.Linear(3072, 10)
            self.b.weight = self.a.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.a(x.flatten(1)) + self.b(x.flatten(1))

    trainer = Trainer(TrainerSettings(steps=1), data=small, model=Tied())
    run(trainer)
    path = trainer.save(tmp_path)
    other = Trainer(TrainerSettings(steps=1), data=small, model=Tied())
    other.load(path)
    assert_same_state(trainer, other)
