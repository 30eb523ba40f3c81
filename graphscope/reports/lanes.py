"""Chains and lanes of a level -> the order in which they stand beside each other, and one x for each."""

from __future__ import annotations

from collections.abc import Sequence

from graphscope.reports.boxes import Box, Link, Run

LANE = 8
"""Half the width that a lane without boxes takes."""
BESIDE = 12
"""Free space between neighbours in a layer."""


def run_orders(
    runs: Sequence[Run], links: Sequence[Link], chain_of: Sequence[int], run_of_link: Sequence[int]
) -> list[list[int]]:
    """Orders worth trying, from left to right; the spine (run 0) is always the first.

    In the order of execution; the short ones nearest to the spine; and both after barycentre sweeps, in which each
    run moves to the mean place of the runs it is linked to.
    """
    touching: list[set[int]] = [set() for _ in runs]
    for link, run in zip(links, run_of_link, strict=True):
        ends = {chain_of[link.source], chain_of[link.target], run}
        for end in ends:
            touching[end] |= ends - {end}
    others = range(1, len(runs))
    executed = sorted(others, key=lambda r: (runs[r].boxes[0] if runs[r].boxes else len(chain_of), r))
    nested = sorted(others, key=lambda r: (runs[r].bottom - runs[r].top, r))
    orders = [[0, *executed], [0, *nested]]
    for start in list(orders):
        order = start
        for _ in range(3):
            place = {run: i for i, run in enumerate(order)}
            mean = {r: sum(place[t] for t in touching[r]) / max(1, len(touching[r])) for r in others}
            order = [0, *sorted(others, key=lambda r: (mean[r], place[r]))]
        orders.append(order)
    unique: list[list[int]] = []
    for order in orders:
        if order not in unique:
            unique.append(order)
    return unique


def place_runs(boxes: Sequence[Box], runs: Sequence[Run], order: Sequence[int], layer: Sequence[int]) -> list[int]:
    """x of each run, as far left as the runs before it in ``order`` allow in every layer that both take."""
    x = [0] * len(runs)
    edge: dict[int, int] = {}
    """Layer -> right edge of what stands in it so far."""
    for number in order:
        run = runs[number]
        at = {layer[v] + i: boxes[v] for v in run.boxes for i in range(boxes[v].span)}
        left = {i: at[i].anchor if i in at else LANE for i in range(run.top, run.bottom + 1)}
        x[number] = max([0, *(edge[i] + BESIDE + left[i] for i in left if i in edge)])
        for i in left:
            edge[i] = x[number] + (at[i].width - at[i].anchor if i in at else LANE)
    least = min([0, *(x[n] - max([LANE, *(boxes[v].anchor for v in run.boxes)]) for n, run in enumerate(runs))])
    return [place - least for place in x]
