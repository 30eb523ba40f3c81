"""What went wrong, as somebody at a shell would name it."""

from __future__ import annotations

import pytest

from graphscope.errors import GraphscopeError
from graphscope.run import load
from graphscope.shell_words import in_shell_words
from graphscope.trainer.settings import TrainerSettings


@pytest.mark.parametrize(
    ("python", "shell"),
    [
        ("graphscope.load('/nope'): there is no such file.", "/nope: there is no such file."),
        ("TrainerSettings(batch_size=0): wanted 1 to 9, or None.", "--batch-size 0: wanted 1 to 9."),
        ("TrainerSettings(data='no such'): Did you", "--data 'no such': Did you"),
        ("Trainer(device='cuda'): 0 here. Use device='auto'.", "--device cuda: 0 here. Use --device auto."),
        ("watch(budget=3.0): wanted a share", "--budget 3.0: wanted a share"),
        ("run_dir='/x y': cannot. Give another run_dir.", "--run-dir '/x y': cannot. Give another --run-dir."),
        ("report(Run Net-1, 'a/b.html'): the report cannot", "a/b.html: the report cannot"),
        (
            "needs steps. Give steps=, or use schedule='constant'.",
            "needs steps. Give --steps, or use --schedule constant.",
        ),
        ("Train with compile=False (compile=True is slow).", "Train with --no-compile (--compile is slow)."),
        ("Set label_smoothing=0 or loss='cross-entropy'.", "Set --label-smoothing 0 or --loss cross-entropy."),
        ("was saved with model='mlp', not 'cnn'.", "was saved with --model mlp, not 'cnn'."),
        # What a person named stays as it is.
        ("runs/lr=0.1/seed=3: is not a folder.", "runs/lr=0.1/seed=3: is not a folder."),
        ("'data_dir' and run_dir/x", "'data_dir' and run_dir/x"),
        ("mnist: damaged. Leave data_dir out.", "mnist: damaged. Leave --data-dir out."),
    ],
)
def test_arguments_become_options(python, shell):
    assert in_shell_words(python) == shell


def test_the_errors_there_are_name_no_python_call(tmp_path):
    for wrong in ({"lr": -1.0}, {"data": "nope"}, {"epochs": 0}, {"device": "tpu"}, {"clip": 0.0}, {"augment": 3}):
        with pytest.raises(GraphscopeError) as raised:
            TrainerSettings(**wrong).checked()
        (name,) = wrong
        said = in_shell_words(str(raised.value))
        assert said.startswith(f"--{name} ") and "TrainerSettings" not in said and "None" not in said
    with pytest.raises(GraphscopeError) as raised:
        load(tmp_path / "gone")
    assert in_shell_words(str(raised.value)).startswith(f"{tmp_path / 'gone'}: ")
