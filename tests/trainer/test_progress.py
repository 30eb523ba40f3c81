"""The bars: what they say, and that a training that goes on in the middle begins them there."""

from __future__ import annotations

import re

from graphscope.trainer.data.shapes import shapes
from graphscope.trainer.loop import Trainer
from graphscope.trainer.progress import Progress, in_percent
from graphscope.trainer.settings import TrainerSettings


def shown(trainer: Trainer, capsys) -> tuple[str, str]:
    progress = Progress(trainer)
    for result in trainer.batches():
        progress.show(result)
    progress.close()
    return capsys.readouterr()


def test_a_bar_for_each_epoch_and_a_line_for_each_evaluation(capsys):
    trainer = Trainer(TrainerSettings(model="mlp", epochs=2), data=shapes(0, 200, 60))
    out, err = shown(trainer, capsys)
    assert len(re.findall(r"  test loss \d\.\d{4}, accuracy \d+\.\d\d %\n", out)) == 2
    for epoch in (1, 2):
        assert re.search(
            rf"epoch {epoch}/2: 100%.*\| 4/4 .* steps/s, loss \d\.\d+, accuracy \d+ %, [\d,]+ images/s", err
        )


def test_steps_bound_the_last_bar_and_a_resumed_epoch_begins_in_its_middle(capsys):
    trainer = Trainer(TrainerSettings(model="mlp", steps=6), data=shapes(0, 200, 60))
    batches = trainer.batches()
    next(batches), next(batches)
    batches.close()
    _, err = shown(trainer, capsys)
    assert re.search(r"epoch 1: +50%.*\| 2/4 ", err) and re.search(r"epoch 1: 100%.*\| 4/4 ", err)
    assert re.search(r"epoch 2: 100%.*\| 2/2 ", err)


def test_an_evaluation_without_batches_before_it_needs_no_bar(capsys):
    trainer = Trainer(TrainerSettings(model="mlp", epochs=1), data=shapes(0, 64, 60))
    batches = trainer.batches()
    next(batches)
    batches.close()  # the epoch's only batch is done, its evaluation is not
    out, err = shown(trainer, capsys)
    assert out.startswith("  test loss") and err == ""


def test_an_accuracy_in_words():
    assert [in_percent(x) for x in (1.0, 0.98765, 0.0, None)] == ["100.00 %", "98.77 %", "0.00 %", "not measured"]
