"""The text page says what the run holds, and nothing in it can steer a terminal."""

from __future__ import annotations

import math
import unicodedata
from pathlib import Path

import pytest

from graphscope.reports.text import number, percent, summary_text
from graphscope.run import Run, load
from graphscope.schema import Finding, Note, PassRecord, RunHeader, StepRecord

GOLDEN = Path(__file__).parent.parent / "golden"


def test_the_page_of_the_small_cnn() -> None:
    lines = summary_text(load(GOLDEN / "small_cnn.gscope")).splitlines()
    assert lines[0] == "SmallCnn-1 (SmallCnn), recorded 2026-01-02T03:04:05+00:00"
    assert "  6 steps, 5 of them captured; finished" in lines
    assert "  Watching took 0.8 % of the step time" in lines, "2**-10 s of 0.125 s"
    # 72 + 8 of conv1, 8 + 8 of bn1, 1280 + 10 of fc.
    assert "Graph: 8 ops in 5 modules, 1,386 parameters" in lines
    assert "  ERROR: NaN in an activation (nonfinite, first at step 5, 2 times)" in lines
    assert "      + model.eval()" in lines
    loss = next(line for line in lines if line.startswith("  loss"))
    assert loss.split() == ["loss", "2.25", "1.25", "2.25", "NaN", "5"]
    fc = next(line for line in lines if line.startswith("  fc "))
    assert fc.split()[1:4] == ["4", "×", "10"] and fc.split()[-2] == "1"
    assert any("Dropout set to 50.0 %, dropped 46.9 % (train mode)" in line for line in lines)


def test_an_unfinished_a_damaged_and_an_empty_run_say_so() -> None:
    killed = summary_text(load(GOLDEN / "killed.gscope"))
    assert "not finished" in killed and "The last record is cut off" in killed
    assert "2 damaged records left out" in summary_text(load(GOLDEN / "damaged.gscope"))
    empty = summary_text(Run())
    assert empty.startswith("A run whose header is lost") and "Graph: none recorded" in empty


def test_where_passes_raised_is_told_and_forwards_without_gradients_are_no_steps() -> None:
    run = load(GOLDEN / "small_cnn.gscope")
    for at in range(5):
        run.add(
            PassRecord(
                step=at, pass_index=7, graph_id=None, training=True, grad_enabled=True, error="RuntimeError: shapes",
                error_fqn="fc",
            )
        )  # fmt: skip
    run.add(PassRecord(step=5, pass_index=1_000, graph_id=None, training=False, grad_enabled=False, repeats=1_200))
    lines = summary_text(run).splitlines()
    assert [line for line in lines if "raised" in line] == [
        f"  Step {at}: a pass raised in fc: RuntimeError: shapes" for at in (2, 3, 4)
    ]
    assert "  and 2 earlier ones" in lines
    assert "Graph: 8 ops in 5 modules, 1,386 parameters" in lines, "the last whole graph stays"
    (told,) = [line for line in lines if line.endswith("forwards without gradients, which are no steps")]
    assert int(told.split()[0].replace(",", "")) >= 1_200


def test_what_watching_takes_is_told_with_and_without_the_first_steps() -> None:
    run = Run()
    run.add(RunHeader(run_id="a", name="n", model="M", created=""))
    for step in range(60):
        seconds = 0.004 if step <= 20 else 0.001
        run.add(StepRecord(step=step, captured=step <= 20, passes=1, seconds=0.0, step_seconds=0.1 + seconds,
                           self_seconds=seconds, scalars={}))  # fmt: skip
    text = summary_text(run)
    assert "Watching took 2.1 % of the step time; 1.0 % without the first steps, all captured" in text
    assert "A captured step cost 4.00 ms, at most 4.00 ms" in text


def test_texts_of_a_run_cannot_steer_a_terminal() -> None:
    run = load(GOLDEN / "odd_values.gscope")
    evil = "\x1b[2J\x1b]0;title\x07\r\n\u202e\ud800" + "x" * 9000
    run.add(RunHeader(run_id="", name=evil, model=evil, created=evil, device=evil))
    run.add(Finding(rule=evil, severity="error", title=evil, message=evil, advice=evil, why=evil, fix=evil))
    run.notes.insert(0, Note(severity="info", text=evil))
    text = summary_text(run)
    text.encode("utf-8")
    assert not [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cs")] and "\u202e" not in text
    assert max(map(len, text.splitlines())) < 700


@pytest.mark.parametrize(
    ("value", "want"),
    [
        (None, "–"), (math.nan, "–"), (0.0, "0"), (-0.0, "0"), (math.inf, "∞"), (-math.inf, "−∞"),
        (-0.1459, "−0.146"), (0.001128, "0.00113"), (5.214, "5.21"), (1234.4, "1,234"),
        (-1.24e-9, "−1.2e−9"), (2.5e7, "2.5e7"),
    ],
)  # fmt: skip
def test_numbers(value: float | None, want: str) -> None:
    assert number(value) == want


@pytest.mark.parametrize(
    ("share", "want"),
    [
        (None, "–"),
        (0, "0 %"),
        (1, "100 %"),
        (0.00001, "< 0.1 %"),
        (0.99999, "> 99.9 %"),
        (0.0064, "0.6 %"),
        (0.5, "50.0 %"),
    ],
)
def test_shares(share: float | None, want: str) -> None:
    assert percent(share) == want
