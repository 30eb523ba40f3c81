"""Run -> the loss over training, with the gradient norm, changes of the learning rate and what the rules found."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from graphscope.plot.style import (
    HAIRLINE,
    INK,
    QUIET,
    ROLE_COLORS,
    SEVERITY_COLORS,
    SEVERITY_MARKERS,
    empty,
    label,
    number,
    panel,
    steps_below,
)
from graphscope.run import Run

SMOOTH_FROM = 60
"""Steps from which on a running mean is drawn, with the raw loss thin behind it."""
MOST_CHANGES = 12
"""Changes of the learning rate that are marked; a schedule that changes more often is no event."""


def loss(run: Run) -> Figure:
    """Loss over steps in ink; gradient norm (log axis, right) in magenta; findings by shape below."""
    figure, axes = panel("Loss", _sentence(run))
    if "loss" not in run.scalar_names():
        empty(axes, "No loss was recorded: it is read where backward() starts, or from session.log(loss=...).")
        return figure
    steps, values = run.scalars("loss")
    smooth = len(steps) >= SMOOTH_FROM
    axes.plot(steps, values, color=HAIRLINE if smooth else INK, linewidth=0.8 if smooth else 1.4, label="loss")
    if smooth:
        axes.plot(steps, running_mean(values), color=INK, linewidth=1.4, label="running mean")
    if len(steps):
        label(axes, float(steps[0]), float(values[0]), "loss", fontweight="bold")
    if "grad_norm" in run.scalar_names():
        right = axes.twinx()
        at, norm = run.scalars("grad_norm")
        color = ROLE_COLORS["gradient"]
        right.plot(at, np.where(norm > 0, norm, np.nan), color=color, linewidth=0.8, label="gradient norm")
        right.set_yscale("log")
        known = norm[np.isfinite(norm) & (norm > 0)]
        ends = sorted({float(known.min()), float(known.max())}) if len(known) else []
        right.set_yticks(ends, [number(end) for end in ends])
        right.minorticks_off()
        right.tick_params(length=0, labelsize=8, labelcolor=color)
        for spine in right.spines.values():
            spine.set_visible(False)
        if len(at):
            label(right, float(at[-1]), float(norm[-1]), "gradient norm", color=color, ha="right")
    for step, before, after in _rate_changes(run):
        axes.axvline(step, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)))
        label(axes, step, axes.get_ylim()[1], f"lr {number(before)} → {number(after)}", color=QUIET, va="top")
    for finding in run.findings:
        if finding.step is not None:
            axes.plot(
                [finding.step], [0], marker=SEVERITY_MARKERS[finding.severity], color=SEVERITY_COLORS[finding.severity],
                markersize=7, markeredgecolor=INK, markeredgewidth=0.6, clip_on=False, linestyle="none",
                transform=axes.get_xaxis_transform(), label=finding.title,
            )  # fmt: skip
    steps_below(axes)
    return figure


def running_mean(values: np.ndarray, weight: float = 0.9) -> np.ndarray:
    """Exponential running mean without the pull of its start; what is not finite is left out of it."""
    out, mean, total = np.empty(len(values)), 0.0, 0.0
    for i, value in enumerate(values.tolist()):
        if np.isfinite(value):
            mean, total = weight * mean + (1 - weight) * value, weight * total + (1 - weight)
        out[i] = mean / total if total else np.nan
    return out


def _rate_changes(run: Run) -> list[tuple[float, float, float]]:
    if "lr" not in run.scalar_names():
        return []
    steps, rates = run.scalars("lr")
    rows = np.flatnonzero(rates[1:] != rates[:-1]) + 1
    return [(float(steps[i]), float(rates[i - 1]), float(rates[i])) for i in rows] if len(rows) <= MOST_CHANGES else []


def _sentence(run: Run) -> str:
    name = run.header.name if run.header is not None else ""
    return f"{name}, {len(run.step_records):,} steps".strip(", ")
