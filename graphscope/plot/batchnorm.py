"""Run -> how far a BatchNorm layer's running mean was from the batches it saw, channel by channel."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from graphscope.plot.layers import layer_records
from graphscope.plot.style import DIVERGING, QUIET, empty, panel
from graphscope.run import Run
from graphscope.schema import BatchNormStats

LIMIT = 2.0
"""z at which the colours end."""


def batchnorm(run: Run, fqn: str, call: int = 0) -> Figure:
    """Channels (sorted by gamma) over captured steps; colour is z = (running mean − batch mean) / running std.

    Where |z| is below 2/√n, as sampling n values alone would give, nothing is drawn. Raises UnknownAddress.
    """
    records = layer_records(run, BatchNormStats, fqn, call)
    last = records[-1]
    figure, axes = panel(fqn or "BatchNorm", f"z of the running mean, {len(np.asarray(last.batch_mean)):,} channels")
    axes.grid(visible=False)
    if last.running_mean is None or last.running_var is None:
        empty(axes, "This layer keeps no running statistics: it normalises with the batch in eval mode too.")
        return figure
    z = drift(records)
    gamma = np.asarray(last.weight) if last.weight is not None else None
    order = np.argsort(gamma, kind="stable") if gamma is not None else np.arange(z.shape[0])
    colors = LinearSegmentedColormap.from_list("graphscope", DIVERGING)
    steps = [one.step for one in records]
    # Columns as wide as the steps they stand for: the first steps of a run are captured more densely than the rest.
    image = axes.pcolormesh(
        borders(steps), np.arange(z.shape[0] + 1) - 0.5, np.ma.masked_invalid(z[order]), cmap=colors, vmin=-LIMIT,
        vmax=LIMIT, rasterized=True,
    )  # fmt: skip
    axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("step", fontsize=8, color=QUIET)
    axes.set_ylabel("channels by γ" if gamma is not None else "channels", fontsize=8, color=QUIET)
    bar = figure.colorbar(image, ax=axes, ticks=[-LIMIT, 0, LIMIT])
    bar.ax.set_yticklabels([f"−{LIMIT:g}", "z 0", f"+{LIMIT:g}"], fontsize=8, color=QUIET)
    bar.outline.set_visible(False)
    return figure


def borders(steps: list[int]) -> np.ndarray:
    """[n] rising steps -> [n + 1] borders between them, half way; the outer ones as far as the inner ones."""
    at = np.asarray(steps, np.float64)
    if len(at) == 1:
        return np.array([at[0] - 0.5, at[0] + 0.5])
    middles = (at[:-1] + at[1:]) / 2
    return np.concatenate([[2 * at[0] - middles[0]], middles, [2 * at[-1] - middles[-1]]])


def drift(records: list[BatchNormStats]) -> np.ndarray:
    """[channels, steps] z of the running mean; NaN inside the noise band and where it is not known."""
    columns = []
    for one in records:
        if one.running_mean is None or one.running_var is None:
            columns.append(np.full(len(np.asarray(one.batch_mean)), np.nan))
            continue
        spread = np.sqrt(np.asarray(one.running_var, np.float64) + one.eps)
        z = (np.asarray(one.running_mean, np.float64) - np.asarray(one.batch_mean, np.float64)) / spread
        noise = 2 / np.sqrt(one.count) if one.count > 0 else np.inf
        columns.append(np.where(np.abs(z) >= noise, z, np.nan))
    return np.stack(columns, axis=1)
