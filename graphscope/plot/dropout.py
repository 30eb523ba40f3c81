"""Run -> the share that a Dropout layer really dropped, against the probability it was set to."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from graphscope.plot.layers import layer_records
from graphscope.plot.style import QUIET, ROLE_COLORS, label, panel, steps_below
from graphscope.run import Run
from graphscope.schema import DropoutStats


def dropout(run: Run, fqn: str, call: int = 0) -> Figure:
    """Realised share over captured steps: dots in train mode, rings in eval mode; a line at p.

    The band is ± 2 standard deviations of drawing the step's units at random. Raises UnknownAddress.
    """
    records = layer_records(run, DropoutStats, fqn, call)
    last = records[-1]
    figure, axes = panel(fqn or "Dropout", f"share of {last.drops} dropped, p = {last.p:g}")
    steps = np.array([one.step for one in records])
    p = np.array([one.p for one in records])
    units = np.array([max(1, one.units) for one in records])
    spread = 2 * np.sqrt(p * (1 - p) / units)
    color = ROLE_COLORS["activation"]
    axes.fill_between(steps, p - spread, p + spread, color=color, alpha=0.15, linewidth=0, label="chance alone")
    axes.plot(steps, p, color=QUIET, linewidth=0.8, linestyle=(0, (4, 3)), label="p")
    for training, name in ((True, "train"), (False, "eval")):
        known = [(one.step, one.dropped) for one in records if one.training is training and one.dropped is not None]
        if known:
            axes.plot(
                [step for step, _ in known], [share for _, share in known], linestyle="none", marker="o", markersize=4,
                color=color, markerfacecolor=color if training else "none", label=name,
            )  # fmt: skip
    if last.dropped is not None:
        mode = "train" if last.training else "eval"
        label(axes, float(last.step), last.dropped, f"{100 * last.dropped:.1f} % in {mode} mode", fontweight="bold")
    top = max([float((p + spread).max()), *(one.dropped for one in records if one.dropped is not None)])
    axes.set_ylim(0, min(1.0, max(0.1, 1.2 * top)) if top < 1 else 1.05)
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:g} %")
    steps_below(axes)
    return figure
