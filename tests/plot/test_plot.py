"""Figures against the numbers of the run: what is drawn is what was recorded, and no pyplot state is touched."""

from __future__ import annotations

import dataclasses
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from graphscope import plot
from graphscope.errors import NoSuchStep, UnknownAddress, UnknownName
from graphscope.plot.batchnorm import borders, drift
from graphscope.plot.loss import running_mean
from graphscope.plot.style import ROLE_COLORS, number
from graphscope.run import Run
from graphscope.schema import (
    HISTOGRAM_ESTIMATE,
    AddressTable,
    BatchNormStats,
    DropoutStats,
    Finding,
    RunHeader,
    StepRecord,
    StepStats,
)

CHANNELS, BATCH = 6, 100


@pytest.fixture(scope="module")
def run() -> Run:
    """A hundred steps; every fifth is captured; from step 60 on one channel drifts and the dropout is in eval mode."""
    rng, run = np.random.default_rng(0), Run()
    run.add(RunHeader(run_id="0" * 16, name="Net-1", model="Net", created="2026-01-01T00:00:00+00:00"))
    run.add(AddressTable(start=0, fqn=["fc", "fc.weight"], call=[0, 0], output=[0, 0]))
    for step in range(100):
        if step % 5 == 0:
            histogram = np.zeros((1, 128), np.uint32)
            histogram[0, [64 + 40, 64 + 41, 63 - 40]] = (5, 7, 3)  # 1 <= x < 2, 2 <= x < 4, -2 < x <= -1
            nan = math.nan if step == 50 else 0.25
            run.add(
                StepStats(
                    step=step, pass_index=0, address=[0, 1], role=[0, 4], flags=[0, 0], dtype=[0, 0], ndim=[1, 1],
                    sizes=[16, 16], count=[16, 16], mean=[nan + step, 1e-3], std=[1, 1], min=[-2, 0], max=[3, 0],
                    absmax=[3, 0], l2=[4, 0], zeros=[1, 0], nan=[0, 0], pos_inf=[0, 0], neg_inf=[0, 0],
                    histogram_row=[0], histogram=histogram, dtypes=["float32"],
                )
            )  # fmt: skip
            batch_mean = np.zeros(CHANNELS)
            batch_mean[2] = -1.5 if step >= 60 else 0.0
            run.add(
                BatchNormStats(
                    step=step, fqn="bn", call=0, training=True, momentum=0.1, eps=0.0, count=BATCH,
                    batches_tracked=step, batch_mean=batch_mean, batch_var=np.ones(CHANNELS),
                    running_mean=np.zeros(CHANNELS),
                    running_var=np.full(CHANNELS, 4.0), weight=np.arange(CHANNELS)[::-1].astype(float), bias=None,
                )
            )  # fmt: skip
            dropped = 0.0 if step >= 60 else float(rng.binomial(400, 0.5)) / 400
            run.add(
                DropoutStats(
                    step=step, fqn="drop", call=0, p=0.5, dropped=dropped, nonzero=400, count=800,
                    training=step < 60, drops="values", units=400,
                )
            )  # fmt: skip
        scalars = {"loss": math.exp(-step / 30), "lr": 0.1 if step < 40 else 0.01, "grad_norm": 1.0 + step}
        run.add(
            StepRecord(
                step=step,
                captured=step % 5 == 0,
                passes=1,
                seconds=step,
                step_seconds=1,
                self_seconds=0,
                scalars=scalars,
            )
        )
    run.add(Finding(rule="r", severity="error", title="It broke", message="m", advice="a", why="w", step=50))
    return run


def line(figure: Figure, name: str, axes: int = 0) -> tuple[np.ndarray, np.ndarray]:
    (found,) = [one for one in figure.axes[axes].lines if one.get_label() == name]
    return np.asarray(found.get_xdata()), np.asarray(found.get_ydata())


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def test_loss_is_the_recorded_one(run: Run) -> None:
    figure = plot.loss(run)
    steps, values = line(figure, "loss")
    assert np.array_equal(steps, np.arange(100)) and np.array_equal(values, np.exp(-np.arange(100) / 30))
    at, norm = line(figure, "gradient norm", axes=1)
    assert np.array_equal(norm, 1.0 + at) and figure.axes[1].get_yscale() == "log"
    assert "lr 0.1 → 0.01" in texts(figure)
    where, _ = line(figure, "It broke")
    assert where.tolist() == [50]


def test_running_mean_is_the_weighted_mean_of_what_came() -> None:
    values = np.array([3.0, math.nan, 1.0, 5.0])
    weights = np.array([0.9**2, 0.9, 1.0])
    want = (weights * np.array([3.0, 1.0, 5.0])).sum() / weights.sum()
    assert running_mean(values)[-1] == pytest.approx(want)
    assert running_mean(values)[:2].tolist() == pytest.approx([3.0, 3.0])
    assert math.isnan(running_mean(np.array([math.nan]))[0])


def test_a_run_without_loss_says_so() -> None:
    assert "No loss was recorded" in plot.loss(Run()).axes[0].texts[0].get_text()


def test_series_in_the_colour_of_its_role_with_gaps(run: Run) -> None:
    figure = plot.series(run, "fc", "mean")
    (drawn,) = figure.axes[0].lines
    steps, values = np.asarray(drawn.get_xdata()), np.asarray(drawn.get_ydata())
    assert steps.tolist() == list(range(0, 100, 5))
    assert math.isnan(values[10]) and values[11] == 55.25 and drawn.get_color() == ROLE_COLORS["activation"]
    assert plot.series(run, "fc.weight", "mean", "update").axes[0].lines[0].get_color() == ROLE_COLORS["update"]
    with pytest.raises(UnknownName):
        plot.series(run, "fc", "avg")
    with pytest.raises(UnknownAddress):
        plot.series(run, "fd")


def test_histogram_counts_stand_at_their_powers_of_two(run: Run) -> None:
    figure = plot.histogram(run, "fc", 10)
    (axes,) = figure.axes
    heights = {round(bar.get_x() + 0.5): bar.get_height() for bar in axes.patches if bar.get_height()}
    assert heights == {104: 5, 105: 7, 23: 3}
    low, high = axes.get_xlim()
    assert low <= 23 and high >= 105
    ticks = dict(zip([t.get_text() for t in axes.get_xticklabels()], axes.get_xticks(), strict=True))
    assert ticks["0"] == 63.5, "zero is the edge between the smallest negative and positive bins"
    name = next(name for name in ticks if re.fullmatch("2[⁻⁰-⁹¹²³]+", name))
    exponent = int(name[1:].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
    assert ticks[name] == 64 + (exponent + 40) - 0.5, "the left edge of the bin of 2**exponent"
    assert "zeros 1 of 16" in axes.get_xlabel()
    with pytest.raises(NoSuchStep):
        plot.histogram(run, "fc", 11)


def test_a_histogram_of_a_sample_is_marked_as_an_estimate(run: Run) -> None:
    exact = run.records_at(10)[0]
    assert isinstance(exact, StepStats)
    sampled, marked = Run(), dataclasses.replace(exact, flags=np.array([HISTOGRAM_ESTIMATE, 0], np.uint8))
    sampled.add(AddressTable(start=0, fqn=["fc", "fc.weight"], call=[0, 0], output=[0, 0]))
    sampled.add(marked)
    texts = [[text.get_text() for text in plot.histogram(r, "fc", 10).findobj(Text)] for r in (run, sampled)]
    assert ["estimated from a sample" in " ".join(text) for text in texts] == [False, True]


def test_a_tensor_without_histogram_says_so(run: Run) -> None:
    assert "No histogram" in plot.histogram(run, "fc.weight", role="update").axes[0].texts[0].get_text()


def test_a_column_is_as_wide_as_the_steps_it_stands_for() -> None:
    assert borders([0, 1, 2, 10, 30]).tolist() == [-0.5, 0.5, 1.5, 6.0, 20.0, 40.0]
    assert borders([7]).tolist() == [6.5, 7.5]


def test_batchnorm_shows_the_drift_outside_the_noise(run: Run) -> None:
    figure = plot.batchnorm(run, "bn")
    (image,) = figure.axes[0].collections
    data = np.ma.filled(image.get_array(), np.nan)
    assert data.shape == (CHANNELS, 20)
    # Channel 2 has gamma 3, the fourth smallest; its z is (0 - -1.5) / sqrt(4).
    assert data[3, 12:].tolist() == [0.75] * 8
    assert np.isnan(np.delete(data, 3, axis=0)).all() and np.isnan(data[3, :12]).all(), "noise is left blank"
    assert image.get_clim() == (-2.0, 2.0)


def test_noise_band_is_that_of_the_mean_of_n_values() -> None:
    rng, n = np.random.default_rng(1), 64
    means = rng.normal(size=(4_000, n)).mean(axis=1)
    record = BatchNormStats(
        step=0, fqn="bn", call=0, training=True, momentum=0.1, eps=0.0, count=n, batches_tracked=1, batch_mean=means,
        batch_var=np.ones(4_000), running_mean=np.zeros(4_000), running_var=np.ones(4_000), weight=None, bias=None,
    )  # fmt: skip
    assert np.isnan(drift([record])).mean() == pytest.approx(0.954, abs=0.01), "two standard deviations"


def test_dropout_against_its_probability(run: Run) -> None:
    figure = plot.dropout(run, "drop")
    steps, shares = line(figure, "train")
    recorded = [one for one in run.layer_series("drop") if isinstance(one, DropoutStats)]
    assert steps.tolist() == list(range(0, 60, 5)) and shares.tolist() == [
        one.dropped for one in recorded if one.training
    ]
    assert line(figure, "eval")[1].tolist() == [0.0] * 8
    assert line(figure, "p")[1].tolist() == [0.5] * 20
    assert "0.0 % in eval mode" in texts(figure)
    band = figure.axes[0].collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == pytest.approx((0.45, 0.55)), "0.5 ± 2 sqrt(0.25 / 400)"


@pytest.mark.parametrize(
    ("draw", "other", "text"),
    [
        (plot.batchnorm, "drop", r"plot.batchnorm('drop', 0): this layer recorded itself, but is no BatchNorm."),
        (plot.dropout, "bn", r"plot.dropout('bn', 0): this layer recorded itself, but is no Dropout."),
    ],
)
def test_layers_that_are_not_there(run: Run, draw: object, other: str, text: str) -> None:
    with pytest.raises(UnknownAddress, match="no layer of that path recorded itself"):
        draw(run, "nowhere")  # type: ignore[operator]
    with pytest.raises(UnknownAddress, match=re.escape(text)):
        draw(run, other)  # type: ignore[operator]


def test_names_are_text_not_formulas() -> None:
    name = "$\\frac{1}{0$ \x00 \u202e" + "x" * 500
    run = Run()
    run.add(
        DropoutStats(
            step=0, fqn=name, call=0, p=0.5, dropped=0.5, nonzero=1, count=1, training=True, drops=name, units=1
        )
    )
    figure = plot.dropout(run, name)
    figure.canvas.draw()
    assert len(figure.axes[0].get_title(loc="left")) <= 60


def test_a_figure_shows_itself_and_pyplot_is_not_loaded(run: Run, tmp_path: Path) -> None:
    picture = plot.loss(run)._repr_png_()  # type: ignore[attr-defined]
    assert picture.startswith(b"\x89PNG")
    code = "import sys, graphscope.plot; assert 'matplotlib.pyplot' not in sys.modules and 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (2480, "2,480"), (0.63, "0.63"), (-1.2e-9, "−1.2e−9"), (0, "0"), (-3, "−3"), (0.001, "0.001"),
        (123456.7, "123,457"), (math.nan, "NaN"), (-math.inf, "−Inf"), (1e12, "1.0e12"),
    ],
)  # fmt: skip
def test_numbers_are_written_as_in_the_panels(value: float, text: str) -> None:
    assert number(value) == text


def test_colours_are_the_design_tokens() -> None:
    path = Path(__file__).parents[2] / "js" / "src" / "base" / "css" / "tokens.css"
    if not path.exists():
        pytest.skip("no tokens.css in this tree")
    light = path.read_text().split('[data-gs-theme="dark"]')[0]
    for role in ("activation", "gradient", "parameter", "update"):
        assert f"--gs-{role}: {ROLE_COLORS[role]}" in light
