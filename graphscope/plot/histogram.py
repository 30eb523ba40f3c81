"""Run -> the histogram of one tensor at one step, on a scale that shows 2⁻⁴⁰ and 2²³ alike."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from graphscope.plot.style import QUIET, ROLE_COLORS, empty, number, panel
from graphscope.run import Run
from graphscope.run.addresses import AddressLike, address_of
from graphscope.schema import HISTOGRAM_BINS, HISTOGRAM_MIN_EXPONENT

HALF = HISTOGRAM_BINS // 2


def histogram(run: Run, address: AddressLike, step: int | None = None, role: str = "activation") -> Figure:
    """Counts in the 128 log2 bins, negative left, positive right; zeros, NaN and Inf in words.

    Without a step, the last one of this tensor. Raises UnknownAddress, UnknownName, NoSuchStep as ``run.summary``.
    """
    found = run.summary(address, role, step)
    sample = ", counts estimated from a sample" if found.histogram_estimate or found.estimate else ""
    figure, axes = panel(
        str(address_of(address)), f"{role.replace('_', ' ')} at step {found.step:,}, log2 bins{sample}"
    )
    if found.histogram is None:
        empty(axes, found.unmeasured or "No histogram was kept of this step.")
        return figure
    counts = np.asarray(found.histogram, np.float64)
    axes.bar(np.arange(HISTOGRAM_BINS), counts, width=1.0, color=ROLE_COLORS[role], linewidth=0)
    used = np.flatnonzero(counts)
    low, high = (int(used[0]), int(used[-1])) if len(used) else (HALF - 8, HALF + 7)
    low, high = min(low, HALF - 4), max(high, HALF + 3)
    axes.set_xlim(low - 0.5, high + 0.5)
    ticks = [place for place in _ticks(low, high)]
    axes.set_xticks([place for place, _ in ticks], [text for _, text in ticks])
    axes.axvline(HALF - 0.5, color=QUIET, linewidth=0.8)
    about = "≈ " if found.estimate else ""
    facts = [f"{name} {about}{number(float(value))}" for name, value in (("mean", found.mean), ("std", found.std))]
    facts += [
        f"{name} {value:,} of {found.count:,}"
        for name, value in (("zeros", found.zeros), ("NaN", found.nan), ("Inf", found.inf))
        if value
    ]
    axes.set_xlabel(", ".join(facts), fontsize=8, color=QUIET)
    return figure


def _ticks(low: int, high: int) -> list[tuple[float, str]]:
    """Edges of bins with their values: powers of two, not more than about nine."""
    step = max(1, -(-(high - low) // 8))
    ticks = [(HALF - 0.5, "0")]
    for i in range(step, HALF, step):
        exponent = HISTOGRAM_MIN_EXPONENT + i
        text = f"2{_raised(exponent)}"
        if HALF + i <= high + 1:
            ticks.append((HALF + i - 0.5, text))
        if HALF - i >= low:
            ticks.insert(0, (HALF - i - 0.5, f"−{text}"))
    return ticks


def _raised(exponent: int) -> str:
    return str(exponent).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
