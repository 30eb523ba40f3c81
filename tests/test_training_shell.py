"""``graphscope train``: what it prints and writes, how it is interrupted and resumed, and what stops it or does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import pytest
import torch

import graphscope
from graphscope import cli
from graphscope.errors import GraphscopeError, TrainerError
from graphscope.trainer.checkpoint import newest, settings_of
from graphscope.trainer.settings import MODELS, TrainerSettings
from graphscope.training_options import parsed, parser
from graphscope.training_shell import main

ROOT = Path(__file__).parent.parent
MLP = ["--model", "mlp", "--epochs", "1", "--batch-size", "128"]


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def process(*arguments: str, before: str = "", **more: str) -> subprocess.Popen[str]:
    code = f"import sys\n{before}\nfrom graphscope.cli import main\nsys.exit(main(['train', *sys.argv[1:]]))"
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUTF8": "1", **more},
    )  # fmt: skip


def test_it_prints_accuracy_cost_findings_and_where_things_are(capsys):
    assert main([*MLP, "--run-dir", "run"]) == 0
    out = capsys.readouterr().out
    assert "1,442 training and 355 test images" in out
    assert "test accuracy " in out and " % of step time" in out and "findings: none" in out
    assert "graphscope show run" in out
    assert list(Path("run").glob("*.gscope"))


def test_the_printed_accuracy_is_that_of_the_run(capsys):
    main([*MLP, "--run-dir", "run"])
    accuracy = graphscope.load("run").scalars("test_accuracy")[1][-1]
    assert f"test accuracy {100 * accuracy:.2f} %" in capsys.readouterr().out


def test_a_loss_that_is_not_finite_stops_with_the_finding(capsys):
    assert main(["--model", "mlp", "--optimizer", "sgd", "--lr", "1e6", "--run-dir", "run"]) == 1
    captured = capsys.readouterr()
    assert "stopped early: loss is" in captured.err and "error:" in captured.out


def test_afterwards_the_network_is_compared_with_8_bits_and_exported(capsys):
    assert main([*MLP, "--no-watch", "--quantize", "--export", "made/net.pt2"]) == 0
    out = capsys.readouterr().out
    assert "float32" in out and "int8 (2 layers)" in out and "made/net.pt2" in out
    module = torch.export.load("made/net.pt2").module()
    assert module(torch.zeros(3, 1, 28, 28)).shape == (3, 10)
    assert not Path("runs").exists(), "--no-watch records nothing"


def test_an_export_that_cannot_be_written_comes_after_what_was_trained(capsys):
    Path("file").touch()
    assert cli.main(["train", *MLP, "--run-dir", "run", "--export", "file/net.pt2"]) == 2
    out, err = capsys.readouterr()
    assert "test accuracy" in out and "graphscope show run" in out
    assert "file/net.pt2 cannot be written" in err.splitlines()[-1]


# Help.


def test_every_setting_has_one_line_of_help(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    for field in fields(TrainerSettings):
        flag = f"--{field.name.replace('_', '-')}"
        described = [line.split(maxsplit=1)[1] for line in lines if line.strip().startswith((f"{flag} ", f"{flag},"))]
        assert len(described) == 1 and len(described[0].split()) > 2, flag
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name, _ in MODELS)
    assert max(map(len, lines)) <= 120


def test_only_what_was_given_is_set():
    options = parsed(["--lr", "0.5", "--no-augment", "--every", "10"])
    assert (options.settings, options.every, options.budget) == ({"lr": 0.5, "augment": False}, 10, 0.01)
    assert not {action.dest for action in parser()._actions} & {"settings"}


@pytest.mark.parametrize("wrong", [["--every", "0"], ["--epochs", "x"], ["--mode", "mlp"], ["extra"]])
def test_wrong_usage_is_status_2_in_a_few_lines(wrong, capsys):
    with pytest.raises(SystemExit) as left:
        main(wrong)
    assert left.value.code == 2 and len(capsys.readouterr().err.splitlines()) <= 3


# Interrupted and resumed.


def test_ctrl_c_finishes_the_batch_saves_and_says_how_to_resume(capsys):
    training = process("--model", "mlp", "--epochs", "100000", "--batch-size", "128", "--run-dir", "run")
    try:
        wait_for_steps(training, Path("run"), 20)
        training.send_signal(signal.SIGINT)
        _, err = training.communicate(timeout=60)
    finally:
        training.kill()
    assert training.returncode == 130, err
    assert "finishing this batch" in err and "Traceback" not in err
    assert "graphscope train --resume run/checkpoints --run-dir run" in err
    before = graphscope.load("run")
    steps = before.steps[-1] + 1
    assert before.finished and newest("run/checkpoints").name == f"step-{steps:09d}"

    wanted = steps // 12 + 1
    command = ["--resume", "run/checkpoints", "--run-dir", "run", "--epochs", str(wanted)]
    assert main(command) == 0
    assert f"resumed at step {steps:,}" in capsys.readouterr().out
    run = graphscope.load("run")
    assert run.steps == list(range(12 * wanted)), "the same run goes on, without a gap"
    assert len(run.headers) == 2 and not any("runs" in note.text for note in run.notes)
    assert int(run.step_records[-1].epoch or 0) == wanted


def wait_for_steps(training: subprocess.Popen[str], run_dir: Path, steps: int) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end:
        assert training.poll() is None, training.communicate()
        try:
            if len(graphscope.load(run_dir).steps) >= steps:
                return
        except GraphscopeError:
            pass  # not there yet
        time.sleep(0.1)
    raise AssertionError("no steps in time")


def test_a_resumed_training_takes_its_settings_from_the_checkpoint(capsys):
    first = [*MLP, "--seed", "7", "--lr", "0.002", "--no-watch", "--checkpoint-dir", "saved"]
    assert main(first) == 0
    assert main(["--resume", "saved", "--epochs", "2", "--no-watch"]) == 0
    settings = settings_of("saved")
    assert (settings.model, settings.seed, settings.lr, settings.epochs) == ("mlp", 7, 0.002, 2)
    out = capsys.readouterr().out
    assert "resumed at step 12, epoch 2" in out
    with pytest.raises(TrainerError, match="model='mlp', not 'cnn'"):
        main(["--resume", "saved", "--model", "cnn", "--no-watch"])


def test_no_code_is_imported_because_a_checkpoint_names_it(monkeypatch):
    Path("nets_of_this_test.py").write_text(
        "from torch import nn\ndef made():\n    return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))\n"
    )
    monkeypatch.syspath_prepend(".")
    own = ["--model", "nets_of_this_test:made"]
    assert main([*own, "--steps", "2", "--no-watch", "--checkpoint-dir", "saved"]) == 0
    with pytest.raises(TrainerError, match="Give --model yourself"):
        main(["--resume", "saved", "--steps", "3", "--no-watch"])
    assert main([*own, "--resume", "saved", "--steps", "3", "--no-watch"]) == 0


# A disk that is full or may not be written.


@pytest.mark.parametrize(("place", "arguments"), [("runs", []), ("file", ["--run-dir", "file/run"])])
def test_where_a_run_directory_cannot_be_written_training_goes_on(place, arguments, capsys):
    Path(place).touch()
    with pytest.warns(RuntimeWarning, match="The run is recorded in"):
        assert main([*MLP, *arguments]) == 0
    shown = [line for line in capsys.readouterr().out.splitlines() if line.startswith("  run ")]
    folder = Path(shown[0].split()[1].rstrip(":"))
    assert len(graphscope.load(folder).steps) == 12 and folder.stat().st_mode & 0o077 == 0


def test_what_it_warns_of_is_one_line_in_the_shells_words():
    Path("file").touch()
    training = process(*MLP, "--run-dir", "file/run")
    out, err = training.communicate(timeout=120)
    assert training.returncode == 0 and "test accuracy " in out
    (line,) = [line for line in err.splitlines() if "cannot be written" in line]
    assert line.startswith("warning: --run-dir file/run: a run cannot be written there (")


@pytest.mark.parametrize("path", ["nowhere/report.html", "folder", "file/report.html"])
def test_a_report_that_cannot_be_written_is_told_before_training(path, capsys):
    Path("folder").mkdir()
    Path("file").touch()
    assert cli.main(["train", *MLP, "--run-dir", "run", "--report", path]) == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith(f"graphscope: {path}: the report cannot be written (") and err.count("\n") == 1
    assert ".report.html" not in err and not Path("run").exists()
    assert sorted(Path().rglob("*")) == [Path("file"), Path("folder")], "what was tried leaves nothing behind"


@pytest.mark.skipif(sys.platform == "win32", reason="files have no size limit there")
def test_a_disk_that_fills_up_only_warns():
    full = (
        "import resource, signal\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    )
    training = process(*MLP, "--every", "1", "--run-dir", "run", "--checkpoint-dir", "saved", before=full)
    out, err = training.communicate(timeout=120)
    assert training.returncode == 0, err
    assert "test accuracy " in out and "Traceback" not in err
    assert err.count("GraphScope cannot write") == 1 and "no checkpoint written to saved" in err
    run = graphscope.load("run")
    assert 0 < len(run.steps) < 12 and run.damaged == 0
    assert not list(Path("saved").iterdir())


def test_a_named_run_directory_that_fails_does_not_stop_the_call_either():
    Path("file").touch()
    with pytest.warns(RuntimeWarning, match="run_dir='file/run'"):
        training = graphscope.train("digits", "mlp", steps=1, run_dir="file/run", background=False)
    assert training.state == "finished" and len(training.session.run.steps) == 1
