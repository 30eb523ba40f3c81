"""Samples of a training for its pages: made while somebody looks, for little of its time, and without a trace in it."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

import graphscope
from graphscope.trainer.loop import Trainer
from graphscope.trainer.settings import TrainerSettings
from graphscope.training_samples import SampleMaker
from tests.test_training import until


def test_they_come_while_it_is_paused_and_when_it_ended(tmp_path):
    training = graphscope.train("digits", "mlp", steps=4, start=False, run_dir=tmp_path / "run")
    assert training.samples() is None, "nothing was built yet"
    training.step()
    until(lambda: training.state == "paused" and training.samples() is not None)
    first = training.samples()
    assert first.step == 1 and first.size == (96, 28, 28, 1) and first.pixels.dtype == "uint8"
    assert len(first.label) == len(first.predicted) == len(first.confidence) == 96
    training.start().wait(60)
    assert training.samples().step == 4
    right = (training.samples().label == training.samples().predicted).mean()
    assert 0 < right <= 1


def test_nobody_looks_nothing_is_made():
    maker = SampleMaker(Trainer(TrainerSettings(model="mlp", steps=1)))
    maker.make(resting=True)
    assert maker.newest() is None
    maker.make(resting=True)
    assert maker.newest() is not None


def test_they_take_a_hundredth_of_the_time(monkeypatch):
    trainer = Trainer(TrainerSettings(model="mlp", steps=1))
    maker = SampleMaker(trainer)
    now = [100.0]
    monkeypatch.setattr("graphscope.training_samples.time.monotonic", lambda: now[0])
    made = []

    def slow():
        made.append(now[0])
        now[0] += 0.5
        return object_with_step(trainer.step)

    def object_with_step(step):
        return type("Made", (), {"step": step, "message": ""})()

    monkeypatch.setattr(maker, "_made", slow)
    for _ in range(2000):
        maker.newest()
        trainer.step += 1
        maker.make()
        now[0] += 0.1
    assert made[:3] == pytest.approx([100.0, 150.1, 200.2], abs=0.5)


def test_the_run_and_the_weights_know_nothing_of_them(tmp_path):
    plain = graphscope.train("digits", "cnn-bn", steps=3, every=1, run_dir=tmp_path / "plain").wait(60)
    looked = graphscope.train("digits", "cnn-bn", steps=3, every=1, start=False, run_dir=tmp_path / "looked")
    for step in range(1, 4):
        looked.step()
        until(lambda step=step: looked.state in ("paused", "finished") and looked.samples() is not None)
        until(lambda step=step: looked.samples().step == step)
    looked.start().wait(60)
    for name, value in plain.trainer.model.state_dict().items():
        assert torch.equal(value, looked.trainer.model.state_dict()[name]), name
    assert len(looked.session.run.passes) == len(plain.session.run.passes)
    assert looked.session.run.captured_steps == plain.session.run.captured_steps


def test_what_cannot_be_copied_or_is_not_classified_says_why():
    class Uncopied(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(784, 10)

        def forward(self, x):
            return self.fc(x.flatten(1))

        def __deepcopy__(self, memo):
            raise RuntimeError("there is one of me")

    maker = SampleMaker(Trainer(TrainerSettings(steps=1), model=Uncopied()))
    maker.newest()
    began = time.monotonic()
    maker.make(resting=True)
    assert maker.newest().message == "No predictions of single images: there is one of me."
    assert maker.newest().size == (0, 0, 0, 0) and time.monotonic() - began < 5
