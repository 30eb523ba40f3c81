"""The built-in trainer in its thread: start, pause, step, stop, and what it says of itself."""

from __future__ import annotations

import threading
import time

import pytest
import torch

import graphscope
from graphscope.errors import CommandRefused, TrainerError, UnknownAddress, UnknownName
from tests.trainer.data.test_idx import four_files

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
    training = graphscope.train(
        "digits", **{**FAST, "epochs": 50}, schedule="constant", start=False, every=1000, run_dir=tmp_path / "run"
    )
    assert training.status().state == "idle"
    training.step()
    until(lambda: training.state == "paused" and training.trainer.step == 1)
    training.step(2)
    until(lambda: training.state == "paused" and training.trainer.step == 3)
    assert set(training.session.run.captured_steps) == {0, 1, 2}, "steps taken one by one are captured"
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


def test_it_goes_on_after_a_pause_and_only_then(tmp_path):
    training = graphscope.train("digits", **{**FAST, "epochs": 50}, run_dir=tmp_path / "run", start=False)
    with pytest.raises(CommandRefused, match=r"start\(\) begins one"):
        training.resume()
    training.step()
    until(lambda: training.state == "paused")
    assert training.resume() is training
    until(lambda: training.trainer.step > 3)
    training.stop()
    training.wait(30)
    with pytest.raises(CommandRefused, match="stopped"):
        training.resume()


def test_a_restart_ends_what_is_under_way_and_begins_anew(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training = graphscope.train("digits", **{**FAST, "epochs": 1000})
    until(lambda: training.trainer is not None and training.trainer.step > 2)
    first = training.session
    training.restart({"epochs": 1}).wait(60)
    assert training.session is not first and first.state == "closed"
    assert training.session.run.steps == list(range(12))


def test_momentum_dropout_and_rate_change_while_it_runs(tmp_path):
    training = graphscope.train("digits", "cnn-bn", epochs=50, batch_size=16, run_dir=tmp_path / "run", start=False)
    with pytest.raises(CommandRefused, match="There is none"):
        training.set_dropout("drop1", 0.5)
    training.step()
    until(lambda: training.state == "paused")
    training.set_dropout("drop1", 0.5)
    training.set_momentum(0.25)
    training.set_lr(0.5)
    assert training.trainer.model.drop1.p == 0.25, "taken at the next batch, not in the middle of one"
    training.step()
    until(lambda: training.state == "paused" and training.trainer.step == 2)
    assert training.trainer.model.drop1.p == 0.5
    assert training.trainer.optimizer.param_groups[0]["betas"][0] == 0.25
    assert training.session.run.layer("drop1", 1).p == 0.5
    status = training.status()
    assert status.dropout == {"drop1": 0.5, "drop2": 0.5}
    assert (status.settings["lr"], status.settings["momentum"]) == (0.5, 0.25)
    for wrong in (lambda: training.set_dropout("drop3", 0.5), lambda: training.set_dropout("drop1", 1.5),
                  lambda: training.set_momentum(1.0), lambda: training.set_momentum("x")):  # fmt: skip
        with pytest.raises(CommandRefused):
            wrong()
    training.stop()
    training.wait(30)


def test_an_optimizer_without_momentum_says_so(tmp_path):
    training = graphscope.train("digits", "mlp", optimizer="rmsprop", run_dir=tmp_path / "run", start=False)
    training.step()
    until(lambda: training.state == "paused")
    with pytest.raises(CommandRefused, match="RMSprop"):
        training.set_momentum(0.5)
    training.stop()
    training.wait(30)


def test_it_pauses_between_batches_where_a_condition_holds(tmp_path):
    training = graphscope.train(
        "digits", **{**FAST, "epochs": 50}, run_dir=tmp_path / "run", every=1000, budget=1e-6,
        break_when="grad_norm('fc1') > 0.0001 and step >= 4",
    )  # fmt: skip
    until(lambda: training.state == "paused")
    status = training.status()
    run = training.session.run
    assert (status.step, status.broke_at) == (5, "fc1"), "behind the batch of step 4, the first that meets it"
    norm = sum(run.summary(f"fc1.{name}", "parameter_gradient", 4).l2 ** 2 for name in ("weight", "bias")) ** 0.5
    assert status.message == f"Paused at step 4: grad_norm('fc1') = {norm:.4g} > 0.0001 and step = 4 >= 4"
    assert status.break_when == "grad_norm('fc1') > 0.0001 and step >= 4"
    assert {0, 1, 2, 3, 4} <= set(run.captured_steps), "a condition on statistics has each step captured"
    training.resume()
    until(lambda: training.trainer.step > 8)
    assert training.status().message == "", "it goes on while the condition still holds"
    training.set_break("loss < 1000")
    until(lambda: training.state == "paused")
    assert "loss = " in training.status().message and training.status().broke_at == ""
    training.set_break("")
    training.resume()
    at = training.trainer.step
    until(lambda: training.trainer.step > at + 2)
    training.stop()
    assert training.wait(30).state == "stopped"


def test_a_condition_that_cannot_be_used_is_refused_when_it_is_known(tmp_path):
    with pytest.raises(UnknownName, match='Did you mean "grad_norm"'):
        graphscope.train("digits", break_when="gradnorm(fc1) > 1", start=False)
    with pytest.raises(CommandRefused, match="background=False"):
        graphscope.train("digits", break_when="loss > 1", background=False)
    training = graphscope.train("digits", **FAST, break_when="grad_norm(conv9) > 1", run_dir=tmp_path / "run")
    with pytest.raises(UnknownAddress, match="fc1"):
        training.wait(60)
    training = graphscope.train("digits", **{**FAST, "epochs": 50}, run_dir=tmp_path / "run", start=False)
    training.step()
    until(lambda: training.state == "paused")
    with pytest.raises(UnknownAddress, match='Did you mean "fc1"'):
        training.set_break("grad_norm(fc11) > 1")
    assert training.break_when == ""
    training.stop()
    training.wait(30)


def test_in_the_foreground_it_draws_bars_and_returns_at_the_end(tmp_path, capsys):
    training = graphscope.train("digits", **FAST, background=False, run_dir=tmp_path / "run")
    assert training.state == "finished" and not training.under_way
    out, err = capsys.readouterr()
    assert "accuracy" in out and "epoch 1/1: 100%" in err
    with pytest.raises(TrainerError):
        graphscope.train(model=torch.nn.Linear(3, 3), background=False, run_dir=tmp_path / "other")


def test_what_was_given_as_an_object_is_named_by_its_class(tmp_path):
    class Mine(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = torch.nn.Linear(784, 10)

        def forward(self, x):
            return self.fc(x.flatten(1))

    status = graphscope.train("digits", Mine(), start=False, run_dir=tmp_path / "run").status()
    assert status.settings["model"] == "Mine" and list(status.choices["model"]) == ["Mine"]
    assert status.settings["data"] == "digits" and "mnist" in status.choices["data"]


def test_the_status_has_what_the_last_evaluation_saw_by_class(tmp_path):
    training = graphscope.train("digits", **FAST, run_dir=tmp_path / "run").wait(60)
    status = training.status()
    assert status.test_epoch == 1 and list(status.classes) == [str(digit) for digit in range(10)]
    seen = torch.bincount(training.trainer.data.images.test_labels, minlength=10)
    right = sum(share * count for share, count in zip(status.recall, seen.tolist(), strict=True))
    assert right / seen.sum().item() == pytest.approx(status.test_accuracy)


def test_a_loss_that_is_nan_stops_it_with_the_finding(tmp_path):
    training = graphscope.train("digits", "mlp", optimizer="sgd", lr=1e6, epochs=50, run_dir=tmp_path / "run").wait(60)
    status = training.status()
    assert status.state == "stopped" and status.step < 50
    assert status.message.startswith("Stopped early: loss is ") and f"at step {status.step - 1}" in status.message
    errors = [finding for finding in training.session.findings if finding.severity == "error"]
    assert errors and training.session.state == "closed"


def test_early_stopping_says_why(tmp_path):
    training = graphscope.train("digits", "mlp", lr=0.0, epochs=9, patience=1, batch_size=512, run_dir=tmp_path / "run")
    status = training.wait(60).status()
    assert status.state == "stopped"
    assert status.message.endswith("in 1 epoch(s).") and status.epochs == 9
    assert len(training.evaluations) == 2


def test_the_status_says_that_a_copy_of_ones_own_is_not_the_official_one(tmp_path):
    for name, data in four_files().items():
        (tmp_path / name).write_bytes(data)
    training = graphscope.train(
        "mnist", "mlp", data_dir=str(tmp_path), steps=1, batch_size=4, run_dir=tmp_path / "run", background=False
    )
    assert training.status().data_text.endswith("test images, unverified: not the official checksums")


def test_a_rate_set_while_the_data_are_loaded_is_kept(tmp_path, monkeypatch):
    from graphscope import training_thread

    begun, loaded = threading.Event(), threading.Event()

    class Slow(training_thread.Trainer):
        def __init__(self, *args, **kwargs):
            begun.set()
            assert loaded.wait(30)
            super().__init__(*args, **kwargs)

    monkeypatch.setattr(training_thread, "Trainer", Slow)
    training = graphscope.train("digits", **FAST, schedule="constant", start=False, run_dir=tmp_path / "run")
    training.step()
    assert begun.wait(30)
    training.set_lr(0.25)
    training.set_momentum(0.5)
    loaded.set()
    until(lambda: training.state == "paused" and training.trainer is not None and training.trainer.step == 1)
    assert (training.status().settings["lr"], training.status().settings["momentum"]) == (0.25, 0.5)
    assert training.session.run.scalars("lr")[1].tolist() == [0.25]
    assert training.trainer.optimizer.param_groups[0]["betas"][0] == 0.5
    training.stop()
    training.wait(30)


def test_a_paused_training_is_no_live_session(tmp_path):
    training = graphscope.train("digits", **{**FAST, "epochs": 50}, run_dir=tmp_path / "run", start=False)
    training.step()
    until(lambda: training.state == "paused")
    assert training.session.status().state == "paused"
    training.resume()
    until(lambda: training.trainer.step > 2)
    assert training.session.status().state == "live"
    training.stop()
    training.wait(30)
