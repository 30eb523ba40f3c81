"""Outline of a graph -> a scene: boxes at their places, frames around them, and the lines between them.

Every opened call is laid out by itself, the innermost first; the frame around it is one box of the level outside. A
line that crosses frames is drawn in pieces that meet at points (ports) on the frames' edges.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from graphscope.graph import Graph, Value
from graphscope.reports.boxes import Box, Link, Point
from graphscope.reports.layered import lay_out
from graphscope.reports.outline import Thing, outline
from graphscope.reports.parts import NODE_HEIGHT, Part, part_of
from graphscope.reports.words import count_text, plain, shape_text, width_of

HEADER, PAD = 28, 12
NARROWEST, WIDEST = 96, 288
ROW = NODE_HEIGHT + 16
"""Height of a layer of small boxes: a frame takes as many layers as it is rows high."""
PILLS = 12
"""Inputs and outputs shown one by one; more of them become one."""
SIGNS = {"add": "+", "sub": "−", "mul": "×"}
"""Ops drawn as a small circle where they join two tensors."""


@dataclass(frozen=True, slots=True)
class Line:
    """A piece of a line between two boxes."""

    points: list[Point]
    values: list[Value]
    arrow: bool
    """Whether it ends at its target; else it goes on through a frame's edge."""
    title: str


@dataclass(frozen=True, slots=True)
class Scene:
    """All that is drawn. Frames come before what they hold."""

    width: int
    height: int
    parts: list[Part]
    lines: list[Line]
    splits: list[Point]


def scene_of(graph: Graph) -> Scene:
    """The collapsed graph of one pass, laid out."""
    root = Part("frame", "")
    modules = {module.fqn: module for module in graph.modules}
    leaf_of_op: dict[int, int] = {}
    leaves: list[Part] = []
    todo: list[tuple[Part, Thing]] = [(root, thing) for thing in reversed(outline(graph))]
    while todo:
        parent, thing = todo.pop()
        part = part_of(graph, modules, parent, thing)
        parent.children.append(part)
        if thing.inside is not None:
            todo += [(part, inner) for inner in reversed(thing.inside)]
            continue
        for op in thing.ops:
            leaf_of_op[op.id] = len(leaves)
        leaves.append(part)
    _connect(graph, root, leaves, leaf_of_op)
    frames, at = [root], 0
    while at < len(frames):
        frames += [child for child in frames[at].children if child.kind == "frame"]
        at += 1
    for frame in reversed(frames):
        _place(frame)
    return _compose(root, frames)


def _connect(graph: Graph, root: Part, leaves: list[Part], leaf_of_op: dict[int, int]) -> None:
    """Adds pills for inputs and outputs to ``root``, and to every frame the lines inside it."""
    made_by: dict[int, int] = {}
    given = {value.id: value for value in graph.inputs}
    for node in graph.nodes:
        for value in node.inputs:
            if value.kind == "input":
                given.setdefault(value.id, value)
        for value in node.outputs:
            made_by.setdefault(value.id, leaf_of_op[node.id])
    inner = len(leaves)
    pills: list[Part] = []
    shown = [value for value in given.values() if value.id not in made_by]
    for i, value in enumerate(shown):
        if i < PILLS:
            label = f"{plain(value.name or 'input', 24)} {shape_text(value.shape)}"
            title = f"{value.name} {shape_text(value.shape)} {value.dtype}"
            pills.append(Part("input", label, title=title, parent=root))
        elif i == PILLS:
            pills.append(Part("input", f"{count_text(len(shown) - PILLS)} more inputs", parent=root))
        made_by[value.id] = inner + min(i, PILLS)
    leaves += pills

    flows: dict[tuple[int, int], dict[int, Value]] = {}
    read: set[int] = set()
    for node in graph.nodes:
        target = leaf_of_op[node.id]
        for value in node.inputs:
            source = made_by.get(value.id)
            read.add(value.id)
            # Things are stretches of the order of execution: a line back can only come out of a foreign file.
            if source is not None and source != target and (source >= inner or source < target):
                flows.setdefault((source, target), {})[value.id] = value
    outputs: dict[int, int] = {}
    for value in graph.outputs:
        source = made_by.get(value.id)
        if value.id in read or source is None or source >= inner:
            continue
        if source not in outputs and len(outputs) == PILLS:
            continue
        if source not in outputs:
            outputs[source] = len(leaves)
            leaves.append(Part("output", f"output {shape_text(value.shape)}", parent=root))
        flows.setdefault((source, outputs[source]), {})[value.id] = value
    used = {source for source, _ in flows}
    root.children = [p for i, p in enumerate(pills) if inner + i in used] + root.children
    root.children += leaves[inner + len(pills) :]

    for (source, target), values in flows.items():
        above, below = _ancestors(leaves[source]), _ancestors(leaves[target])
        common = next(i for i, (a, b) in enumerate(zip(above, below, strict=False)) if a is not b)
        flow = list(values.values())
        meet = above[common - 1]
        _link(meet, above[common], below[common], source, flow)
        for depth in range(common, len(above) - 1):
            _link(above[depth], above[depth + 1], None, source, flow)
        for depth in range(common, len(below) - 1):
            _link(below[depth], None, below[depth + 1], source, flow)


def _ancestors(part: Part) -> list[Part]:
    """From the root down to the part itself."""
    chain, at = [part], part.parent
    while at is not None:
        chain.append(at)
        at = at.parent
    return chain[::-1]


def _link(frame: Part, source: Part | None, target: Part | None, net: int, values: list[Value]) -> None:
    """Notes a line inside a frame; an end that is None is the frame's edge."""
    ends = []
    for end, ports in ((source, frame.ports_in), (target, frame.ports_out)):
        if end is None and net not in ports:
            ports.append(net)
        ends.append(-1 if end is None else next(i for i, child in enumerate(frame.children) if child is end))
    known = frame.links.setdefault((ends[0], ends[1], net), [])
    known += [value for value in values if all(value.id != other.id for other in known)]


def _place(frame: Part) -> None:
    """Lays out what a frame holds and gives the frame its size."""
    children = frame.children
    incoming: dict[int, set[tuple[int, int]]] = {}
    for source, target, net in frame.links:
        incoming.setdefault(target, set()).add((source, net))
    for i, part in enumerate(children):
        if part.kind == "op" and part.label in SIGNS and len(incoming.get(i, ())) == 2 and not part.failed:
            part.kind, part.label = "join", SIGNS[part.label]
    usual = _up(min(WIDEST, max([NARROWEST, *(_needed(part) for part in children)])), 8)
    for part in children:
        if part.kind == "join":
            part.width = part.height
        elif part.kind in ("input", "output"):
            part.width = _up(width_of(part.label) + 24, 8)
        elif part.kind != "frame":
            part.width = usual

    first = len(frame.ports_in)
    boxes = [Box(0, 0, 0, port="in") for _ in frame.ports_in]
    for part in children:
        level = part.level
        anchor, entries, exits = part.width // 2, dict[Hashable, int](), dict[Hashable, int]()
        if level is not None:
            entries = {net: _pad_left(part) + level.left[i] for i, net in enumerate(part.ports_in)}
            start = len(level.left) - len(part.ports_out)
            exits = {net: _pad_left(part) + level.left[start + i] for i, net in enumerate(part.ports_out)}
            anchor = next(iter([*entries.values(), *exits.values()]), anchor)
        boxes.append(
            Box(part.width, part.height, anchor, given=part.kind == "input", joins=part.kind == "join",
                span=-(-(part.height + 16) // ROW), entries=entries, exits=exits)
        )  # fmt: skip
    boxes += [Box(0, 0, 0, port="out") for _ in frame.ports_out]
    last = first + len(children)
    links = [
        Link(
            frame.ports_in.index(net) if source < 0 else first + source,
            last + frame.ports_out.index(net) if target < 0 else first + target,
            net,
        )
        for source, target, net in frame.links
    ]
    frame.level = lay_out(boxes, links, header=HEADER if frame.parent is not None else 0)
    frame.width = max(frame.level.width + PAD + _pad_left(frame), _header_width(frame))
    frame.height = frame.level.height + (0 if frame.ports_out else PAD)


def _needed(part: Part) -> int:
    """Width that the texts of a small box take."""
    if part.kind not in ("op", "call", "fold", "more"):
        return 0
    text = width_of(part.label, strong=True) + (width_of(part.detail) + 8 if part.detail else 0)
    return 20 + text + 64 * part.failed + 8 * (part.kind == "fold")


def _pad_left(frame: Part) -> int:
    """Free space left of a frame's content: the line into it must not run through the frame's name."""
    if frame.parent is None or frame.level is None:
        return PAD
    first = min([frame.level.left[i] for i in range(len(frame.ports_in))], default=None)
    name = PAD + width_of(plain(frame.label, 100), strong=True) + 8
    return PAD if first is None else max(PAD, _up(name - first, 4))


def _header_width(frame: Part) -> int:
    if frame.parent is None or frame.level is None:
        return 0
    lines = [_pad_left(frame) + frame.level.left[i] for i in range(len(frame.ports_in))]
    name_end = PAD + width_of(plain(frame.label, 100), strong=True)
    return _up(max([name_end, *lines]) + 12 + width_of(plain(frame.detail, 100)) + PAD, 8)


def _up(number: int, step: int) -> int:
    return -(-number // step) * step


def _compose(root: Part, frames: list[Part]) -> Scene:
    parts: list[Part] = []
    lines: list[Line] = []
    splits: list[Point] = []
    for frame in frames:
        level = frame.level
        assert level is not None
        dx, dy = frame.x + (_pad_left(frame) if frame is not root else 0), frame.y
        first = len(frame.ports_in)
        for i, part in enumerate(frame.children):
            part.x, part.y = dx + level.left[first + i], dy + level.top[first + i]
            parts.append(part)
        for (source, target, _), values, route in zip(frame.links, frame.links.values(), level.routes, strict=True):
            ends = [frame.children[end].label if end >= 0 else "" for end in (source, target)]
            tensors = ", ".join(f"{shape_text(v.shape)} {v.dtype}" for v in values[:4])
            tensors += f" and {count_text(len(values) - 4)} more" if len(values) > 4 else ""
            title = f"{' → '.join(end for end in ends if end)}\n{tensors}"
            lines.append(Line([(x + dx, y + dy) for x, y in route], values, target >= 0, title))
        splits += [(x + dx, y + dy) for x, y in level.splits]
    assert root.level is not None
    return Scene(root.level.width, root.level.height, parts, lines, splits)
