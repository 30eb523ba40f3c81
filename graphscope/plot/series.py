"""Run -> one statistic of one tensor over training."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from graphscope.plot.style import ROLE_COLORS, label, number, panel, steps_below
from graphscope.run import Run
from graphscope.run.addresses import AddressLike, address_of


def series(run: Run, address: AddressLike, stat: str = "mean", role: str = "activation") -> Figure:
    """A line in the role's colour over captured steps; a gap where the tensor was not measured.

    Raises UnknownAddress, UnknownName as ``run.series``.
    """
    steps, values = run.series(address, stat, role)
    figure, axes = panel(str(address_of(address)), f"{stat} of the {role.replace('_', ' ')}")
    axes.plot(
        steps, values, color=ROLE_COLORS[role], linewidth=1.4, marker="o" if len(steps) < 40 else None, markersize=3
    )
    known = np.flatnonzero(np.isfinite(values))
    if len(known):
        last = known[-1]
        label(axes, float(steps[last]), float(values[last]), number(float(values[last])), fontweight="bold")
    steps_below(axes)
    return figure
