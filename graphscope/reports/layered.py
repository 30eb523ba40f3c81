"""Boxes and links of one level -> a layered drawing: layers by longest path, straight chains, orthogonal links.

The residual stream of a network should read as one vertical line. So boxes are not placed one by one: they are put
into chains first, the longest way through the level is the first chain (the spine), every further chain lies to the
right of it, and a link that passes other boxes gets a lane of its own beside them. A box is in exactly one layer, a
chain has one x, a horizontal piece of a link lies between two layers: so nothing can overlap, whatever the graph.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Hashable, Sequence
from dataclasses import replace

from graphscope.reports.boxes import Box, Level, Link, Run
from graphscope.reports.lanes import place_runs, run_orders
from graphscope.reports.routes import blocked, crossings, draw_routes

ORDERS_TRIED_UP_TO = 150
"""Links up to which several orders of the chains are drawn and the one with the fewest crossings is kept."""


def lay_out(boxes: Sequence[Box], links: Sequence[Link], *, header: int = 0) -> Level:
    """Boxes and links -> a Level, ``header`` pixels of which are left free at the top.

    Raises ValueError for a link that does not go from an earlier to a later box.
    """
    for link in links:
        if not 0 <= link.source < link.target < len(boxes):
            raise ValueError(f"lay_out: link {link.source} -> {link.target} of {len(boxes)} boxes goes backwards")
    if not boxes:
        return Level(0, header, [], [], [], [], [])
    if any(box.span > 1 for box in boxes):
        level = _best(boxes, links, header)
        if not blocked(boxes, level):
            return level
        # A line would have to cross a tall box from side to side: then such a box gets a layer for itself.
        boxes = [replace(box, span=1) for box in boxes]
    return _best(boxes, links, header)


def _best(boxes: Sequence[Box], links: Sequence[Link], header: int) -> Level:
    """Of the orders of the chains, the one with the fewest crossings."""
    layer, reached = layers_of(boxes, links)
    chain_of, runs, run_of_link = _chains(boxes, links, layer, reached)
    best: tuple[tuple[int, int, int], Level] | None = None
    orders = run_orders(runs, links, chain_of, run_of_link)
    for order in orders if len(links) <= ORDERS_TRIED_UP_TO else orders[:1]:
        x = place_runs(boxes, runs, order, layer)
        level = draw_routes(boxes, links, layer, runs, chain_of, run_of_link, x, header)
        several = len(orders) > 1
        cost = (blocked(boxes, level), crossings(level.routes, links) if several else 0, level.width)
        if best is None or cost < best[0]:
            best = cost, level
    assert best is not None
    return best[1]


def layers_of(boxes: Sequence[Box], links: Sequence[Link]) -> tuple[list[int], list[bool]]:
    """First layer of each box by longest path, and whether a way leads to it from an input.

    What no input leads to (positions, masks) and inputs themselves move down to the layer above their first reader.
    """
    before: list[list[int]] = [[] for _ in boxes]
    after: list[list[int]] = [[] for _ in boxes]
    for link in links:
        before[link.target].append(link.source)
        after[link.source].append(link.target)
    first = 1 if any(box.port == "in" for box in boxes) else 0
    layer, reached = [0] * len(boxes), [False] * len(boxes)
    for v, box in enumerate(boxes):
        reached[v] = box.given or box.port == "in" or any(reached[u] for u in before[v])
        layer[v] = 0 if box.port == "in" else max([first, *(layer[u] + boxes[u].span for u in before[v])])
    for v in range(len(boxes) - 1, -1, -1):
        if boxes[v].port != "in" and after[v] and (not reached[v] or not before[v]):
            layer[v] = min(layer[w] for w in after[v]) - boxes[v].span
    last = max([0, *(layer[v] + box.span for v, box in enumerate(boxes) if box.port != "out")])
    for v, box in enumerate(boxes):
        if box.port == "out":
            layer[v] = last
    least = min(layer)
    return [i - least for i in layer], reached


def _chains(
    boxes: Sequence[Box], links: Sequence[Link], layer: Sequence[int], reached: Sequence[bool]
) -> tuple[list[int], list[Run], list[int]]:
    """Chain of each box; the runs (chains first, then lanes of single links); the run that each link goes along."""
    before: list[list[int]] = [[] for _ in boxes]
    leaves = [True] * len(boxes)
    last = [layer[v] + box.span - 1 for v, box in enumerate(boxes)]
    for link in links:
        before[link.target].append(link.source)
        leaves[link.source] = False

    def back(v: int, free: Sequence[int]) -> int:
        """The box above ``v`` on the same line: where two links meet, the shorter way is the stream that goes on."""
        if boxes[v].joins:
            return min(free, key=lambda u: (not reached[u], last[u], u))
        return max(free, key=lambda u: (reached[u], last[u], -u))

    chain_of = [-1] * len(boxes)
    runs: list[Run] = []
    starts = sorted(range(len(boxes)), key=lambda v: (not leaves[v], not reached[v], -last[v], v))
    rest = sorted(range(len(boxes)), key=lambda v: (-last[v], v))
    for start in [*starts[:1], *rest]:
        if chain_of[start] >= 0:
            continue
        chain, v = [], start
        while True:
            chain_of[v] = len(runs)
            chain.append(v)
            free = [u for u in before[v] if chain_of[u] < 0]
            if not free:
                break
            v = back(v, free)
        chain.reverse()
        runs.append(Run(chain, layer[chain[0]], last[chain[-1]]))

    lanes: dict[tuple[int, Hashable], int] = {}
    # A column between two boxes of a chain (or above its first, below its last) belongs to one net.
    owner: dict[tuple[int, int], tuple[int, Hashable]] = {}
    run_of_link = []
    for link in links:
        u, v, net = link.source, link.target, (link.source, link.net)
        below, above = runs[chain_of[u]].boxes, runs[chain_of[v]].boxes
        along = chain_of[u] == chain_of[v] and below[bisect_right(below, u) % len(below)] == v
        # A link into the side of a circle keeps its column down to the circle's own layer.
        side = boxes[v].joins and chain_of[u] != chain_of[v]
        low = layer[v] if side else layer[v] - 1
        if layer[v] == last[u] + 1 and not side:
            run_of_link.append(chain_of[u])
            continue
        if (along or below[-1] == u) and owner.setdefault((chain_of[u], u), net) == net:
            run = chain_of[u]
        elif above[0] == v and not along and owner.setdefault((chain_of[v], -1), net) == net:
            run, low = chain_of[v], layer[v] - 1
        else:
            run = lanes.setdefault(net, len(runs))
            if run == len(runs):
                runs.append(Run([], last[u] + 1, low))
        runs[run].top = min(runs[run].top, last[u] + 1)
        runs[run].bottom = max(runs[run].bottom, low)
        run_of_link.append(run)
    return chain_of, runs, run_of_link
