"""The built-in trainer in its thread: start, pause, step, stop, and what it says of itself."""

from __future__ import annotations

import time

import pytest
import torch

import graphscope
from graphscope.errors import TrainerError, UnknownName

FAST = {"model": "mlp", "epochs": 1, "batch_size": 128}


def until(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_it_trains_in_the_background_and_its_run_holds_what_it_did(tmp_path):
    training = graphscope.train("digits", **FAST, run_dir=tmp_path / "run")
    assert training.wait(60).state == "finished"
    status = training.status()
    assert (status.step, status.epoch) == (status.total_steps, 1)
    assert status.test_accuracy > 0.5
    assert status.data_text == "1,442 training and 355 test images"
    run = graphscope.load(tmp_path / "run")
    assert len(run.steps) == status.step
    assert run.scalars("test_accuracy")[1].tolist() == [status.test_accuracy]
    assert run.scalars("accuracy")[0].size == status.step
    assert run.finished


def test_watching_the_trainer_changes_no_weight(tmp_path):
    from graphscope.trainer.loop import Trainer
    from graphscope.trainer.settings import TrainerSettings

    plain = Trainer(TrainerSettings(model="cnn-bn", steps=3))
    for _ in plain.batches():
        pass
    training = graphscope.train("digits", "cnn-bn", steps=3, every=1, run_dir=tmp_path / "run").wait(60)
    for name, value in plain.model.state_dict().items():
        assert torch.equal(value, training.trainer.model.state_dict()[name]), name


def test_step_pause_start_and_stop(tmp_path):
    training = graphscope.train("digits", **{**FAST, "epochs": 50}, start=False, every=1000, run_dir=tmp_path / "run")
    assert training.status().state == "idle"
    training.step()
    until(lambda: training.state == "paused" and training.trainer.step == 1)
    training.step(2)
    until(lambda: training.state == "paused" and training.trainer.step == 3)
    assert set(training.session.run.captured_steps) >= {0, 2}, "steps taken one by one are captured"
    training.start()
    until(lambda: training.trainer.step > 5)
    assert training.status().state == "training"
    training.pause()
    until(lambda: training.state == "paused")
    at = training.trainer.step
    time.sleep(0.05)
    assert training.trainer.step == at
    training.set_lr(0.125)
    training.step()
    until(lambda: training.trainer.step == at + 1 and training.state == "paused")
    assert training.session.run.scalars("lr")[1][-1] == 0.125
    training.stop()
    assert training.wait(30).state == "stopped"
    assert training.session.state == "closed"


def test_a_new_start_after_the_end_is_a_new_session_with_the_panels_settings(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training = graphscope.train("digits", **{**FAST, "steps": 2}).wait(60)
    first = training.session
    training.start({"model": "mlp-softmax", "steps": 3, "lr": 0.01}).wait(60)
    assert training.session is not first
    assert training.trainer.step == 3
    assert training.trainer.settings.lr == 0.01
    assert [f.rule for f in training.session.findings] == ["softmax-before-cross-entropy"]


@pytest.mark.parametrize(
    "settings", [{"data_dir": "/etc"}, {"model": "os:system"}, {"checkpoint_dir": "x"}, {"nonsense": 1}]
)
def test_a_page_can_set_numbers_and_names_and_nothing_else(settings):
    training = graphscope.train("digits", start=False)
    with pytest.raises(UnknownName):
        training.start(settings)
    assert training.state == "idle"


def test_wrong_settings_are_refused_at_once():
    with pytest.raises(UnknownName, match='Did you mean "epochs"'):
        graphscope.train("digits", epoch=3, start=False)
    with pytest.raises(TrainerError, match="batch_size"):
        graphscope.train("digits", batch_size=0, start=False)
    with pytest.raises(UnknownName, match="digits"):
        graphscope.train("digit", start=False)


def test_what_fails_in_the_thread_is_told(tmp_path):
    training = graphscope.train(model=torch.nn.Linear(3, 3), run_dir=tmp_path / "run")
    with pytest.raises(TrainerError):
        training.wait(60)
    assert training.status().state == "failed"
    assert training.status().message
