"""Placed chains -> orthogonal lines: every horizontal piece gets a track of its own in the gap between two layers."""

from __future__ import annotations

import itertools
from collections.abc import Hashable, Sequence

from graphscope.reports.boxes import Box, Level, Link, Point, Route, Run

GAP = 16
"""Height of a gap without tracks."""
TRACK = 12
"""Further height for each track."""
ENTRY = 16
"""Distance between the points at which several links enter a box."""

_Net = tuple[int, Hashable]
_Piece = tuple[int, int, int, int, _Net]


def draw_routes(
    boxes: Sequence[Box],
    links: Sequence[Link],
    layer: Sequence[int],
    runs: Sequence[Run],
    chain_of: Sequence[int],
    run_of_link: Sequence[int],
    x: Sequence[int],
    header: int,
) -> Level:
    """x of the runs -> the whole Level."""
    left = [x[chain_of[v]] - box.anchor for v, box in enumerate(boxes)]
    leave = [left[k.source] + boxes[k.source].exits.get(k.net, boxes[k.source].anchor) for k in links]
    sides = _side_links(boxes, links, layer, left, run_of_link, x)
    enter = _entries(boxes, links, layer, chain_of, run_of_link, x, left, leave, sides)

    # Pieces in gap i (below layer i): (net, x from above) -> the x below that it goes on to.
    last = [layer[v] + box.span - 1 for v, box in enumerate(boxes)]
    layers = max(last) + 1
    gaps: list[dict[tuple[_Net, int], set[int]]] = [{} for _ in range(layers)]
    for k, link in enumerate(links):
        net = (link.source, link.net)
        column = x[run_of_link[k]]
        if layer[link.target] == last[link.source] + 1 and k not in sides:
            gaps[last[link.source]].setdefault((net, leave[k]), set()).add(enter[k])
            continue
        gaps[last[link.source]].setdefault((net, leave[k]), set()).add(column)
        if k not in sides:
            gaps[layer[link.target] - 1].setdefault((net, column), set()).add(enter[k])
    tracks = [_tracks(gap) for gap in gaps]
    top_of_layer = _tops(boxes, layer, [1 + max([-1, *t.values()]) for t in tracks], header)

    def track_y(gap: int, net: _Net, from_x: int) -> int:
        tall = 1 + max([-1, *tracks[gap].values()])
        return top_of_layer[gap + 1] - TRACK * (tall - tracks[gap].get((net, from_x), 0)) - 8

    # A box that is lower than its layer stands at the layer's top, so its lines are longer below.
    top = [top_of_layer[layer[v]] for v in range(len(boxes))]
    routes: list[Route] = []
    for k, link in enumerate(links):
        net, target = (link.source, link.net), boxes[link.target]
        points = [(leave[k], top[link.source] + boxes[link.source].height)]

        def across(gap: int, to_x: int, net: _Net = net, points: Route = points) -> None:
            if points[-1][0] != to_x:
                y = track_y(gap, net, points[-1][0])
                points += [(points[-1][0], y), (to_x, y)]

        if layer[link.target] > last[link.source] + 1 or k in sides:
            across(last[link.source], x[run_of_link[k]])
        if k in sides:
            middle = top[link.target] + target.height // 2
            points += [(points[-1][0], middle), (left[link.target] + target.width, middle)]
        else:
            across(layer[link.target] - 1, enter[k])
            points.append((enter[k], top[link.target]))
        routes.append(points)
    width = max([*(left[v] + box.width for v, box in enumerate(boxes)), *(p[0] + 8 for route in routes for p in route)])
    height = max(top[v] + box.height for v, box in enumerate(boxes))
    return Level(width, height, left, top, list(layer), routes, _splits(routes, links))


def _tops(boxes: Sequence[Box], layer: Sequence[int], tracks: Sequence[int], header: int) -> list[int]:
    """y of each layer, and of the end: below all that ends above it, with room for the tracks between."""
    layers = len(tracks)
    starts, ends = [0] * (layers + 1), [0] * (layers + 1)
    for v, box in enumerate(boxes):
        starts[layer[v]] += 1
        ends[layer[v] + box.span] += 1
    has_ports = any(box.port == "in" for box in boxes)
    tops = [0 if has_ports else header]
    for i in range(1, layers + 1):
        gap = (GAP if (starts[i] and ends[i]) or tracks[i - 1] else 0) + TRACK * tracks[i - 1]
        gap += header if i == 1 and has_ports else 0
        above = [tops[layer[v]] + box.height for v, box in enumerate(boxes) if layer[v] + box.span == i]
        tops.append(max([tops[-1], *above]) + gap)
    return tops


def _side_links(
    boxes: Sequence[Box],
    links: Sequence[Link],
    layer: Sequence[int],
    left: Sequence[int],
    run_of_link: Sequence[int],
    x: Sequence[int],
) -> set[int]:
    """Links that enter a circle from the right: at most one each, and only where no box stands between."""
    sides: set[int] = set()
    taken: set[int] = set()
    for k, link in enumerate(links):
        v = link.target
        column = x[run_of_link[k]]
        right = left[v] + boxes[v].width
        if not boxes[v].joins or v in taken or column <= right + 8:
            continue
        between = any(
            w != v
            and layer[w] <= layer[v] < layer[w] + box.span
            and right < left[w] + box.width
            and left[w] < column + 4
            for w, box in enumerate(boxes)
        )
        if not between:
            sides.add(k)
            taken.add(v)
    return sides


def _entries(
    boxes: Sequence[Box],
    links: Sequence[Link],
    layer: Sequence[int],
    chain_of: Sequence[int],
    run_of_link: Sequence[int],
    x: Sequence[int],
    left: Sequence[int],
    leave: Sequence[int],
    sides: set[int],
) -> list[int]:
    """x at which each link enters its target: straight if it can, the others in the order they come from."""
    enter = [0] * len(links)
    into: dict[int, dict[_Net, list[int]]] = {}
    for k, link in enumerate(links):
        if k not in sides:
            into.setdefault(link.target, {}).setdefault((link.source, link.net), []).append(k)
    for v, nets in into.items():
        box, anchor = boxes[v], left[v] + boxes[v].anchor
        come_from = {}
        for net, ks in nets.items():
            link = links[ks[0]]
            adjacent = layer[v] == layer[link.source] + boxes[link.source].span
            come_from[net] = leave[ks[0]] if adjacent else x[run_of_link[ks[0]]]
            if net[1] in box.entries:
                for k in ks:
                    enter[k] = left[v] + box.entries[net[1]]
        free = sorted((net for net in nets if net[1] not in box.entries), key=lambda n: (come_from[n], str(n)))
        straight = min(free, key=lambda n: (abs(come_from[n] - anchor), str(n)), default=None)
        rank = free.index(straight) if straight is not None else 0
        room = 8 if box.joins else box.width // 2 - 8
        step = min(ENTRY, room // max(1, len(free) - 1) if room > 0 else 0)
        for i, net in enumerate(free):
            for k in nets[net]:
                enter[k] = anchor + step * (i - rank)
    return enter


def _tracks(gap: dict[tuple[_Net, int], set[int]]) -> dict[tuple[_Net, int], int]:
    """Pieces of one gap -> their tracks, counted from the top. Straight pieces need none.

    Two pieces share no track where they would touch, and one that comes from above at the x at which another goes on
    below lies above it. Those to the right lie the higher the further right they start, those to the left the reverse:
    then parallel ones do not cross.
    """
    pieces = {key: (min(key[1], *ends), max(key[1], *ends)) for key, ends in gap.items() if ends != {key[1]}}
    ordered = sorted(
        pieces, key=lambda key: (pieces[key][0] < key[1], -key[1] if pieces[key][0] >= key[1] else key[1], str(key))
    )
    above = {
        key: {other for other in pieces if other != key and other[1] in gap[key] and other[0] != key[0]}
        for key in ordered
    }
    tracks: dict[tuple[_Net, int], int] = {}
    todo = list(ordered)
    while todo:
        # Two pieces that each want to be above the other: the first in order goes first, and they touch.
        key = next((key for key in todo if not above[key] - tracks.keys()), todo[0])
        todo.remove(key)
        low, high = pieces[key]
        lowest = max([0, *(tracks[other] + 1 for other in above[key] if other in tracks)])
        used = {t for other, t in tracks.items() if pieces[other][0] < high + 8 and pieces[other][1] > low - 8}
        tracks[key] = next(t for t in range(lowest, len(pieces) + lowest + 1) if t not in used)
    return tracks


def _splits(routes: Sequence[Route], links: Sequence[Link]) -> list[Point]:
    """Corners of a line that another line of the same net passes straight on: there it parts."""
    nets: dict[_Net, list[Route]] = {}
    for link, route in zip(links, routes, strict=True):
        nets.setdefault((link.source, link.net), []).append(route)
    found: set[Point] = set()
    for lines in nets.values():
        if len(lines) < 2:
            continue
        corners = {point for line in lines for point in line[1:-1]}
        for line in lines:
            for (x1, y1), (x2, y2) in itertools.pairwise(line):
                found |= {
                    (x, y)
                    for x, y in corners
                    if (x == x1 == x2 and min(y1, y2) < y < max(y1, y2))
                    or (y == y1 == y2 and min(x1, x2) < x < max(x1, x2))
                }
    return sorted(found)


def crossings(routes: Sequence[Route], links: Sequence[Link]) -> int:
    """How often a horizontal piece crosses a vertical piece that carries something else."""
    across: list[_Piece] = []
    down: list[_Piece] = []
    for link, route in zip(links, routes, strict=True):
        for (x1, y1), (x2, y2) in itertools.pairwise(route):
            piece = (min(x1, x2), max(x1, x2), min(y1, y2), max(y1, y2), (link.source, link.net))
            (down if x1 == x2 else across).append(piece)
    crossed = {
        (a, b)
        for a in across
        for b in down
        if a[4] != b[4] and a[0] < b[0] < a[1] and b[2] < a[2] < b[3]
    }  # fmt: skip
    return len(crossed)


def blocked(boxes: Sequence[Box], level: Level) -> int:
    """How often a horizontal piece runs through a box that takes several layers."""
    tall = [
        (level.left[v], level.left[v] + box.width, level.top[v], level.top[v] + box.height)
        for v, box in enumerate(boxes)
        if box.span > 1
    ]
    return sum(
        y1 == y2 and top < y1 < bottom and min(x1, x2) < right and max(x1, x2) > left
        for route in level.routes
        for (x1, y1), (x2, y2) in itertools.pairwise(route)
        for left, right, top, bottom in tall
    )
