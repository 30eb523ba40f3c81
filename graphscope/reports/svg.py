"""Graph -> SVG text: the picture for places that run no JavaScript.

Attributes instead of a stylesheet and no ids: an SVG stands in the middle of other people's pages. Every name is text.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence

from graphscope.graph import Graph, Value
from graphscope.reports.boxes import Point
from graphscope.reports.colors import DARK, FONT, LIGHT
from graphscope.reports.moduletree import tree_lines
from graphscope.reports.parts import NODE_HEIGHT, Part
from graphscope.reports.scene import Line, Scene, scene_of
from graphscope.reports.words import count_text, plain, width_of, xml

MARGIN = 16
CORNER = 8
BYTES = {"float64": 8, "int64": 8, "complex64": 8, "complex128": 16, "float16": 2, "bfloat16": 2, "int16": 2, "int8": 1,
         "uint8": 1, "bool": 1}  # fmt: skip


def svg_of(graph: Graph, *, dark: bool = False) -> str:
    """A layered drawing of the collapsed module graph; of a graph without ops, the module tree.

    Width and height are those of the drawing at one CSS pixel a unit; it shrinks to the width it is given.
    """
    colors = DARK if dark else LIGHT
    lines = _caption(graph, colors)
    if graph.traced and graph.nodes:
        scene = scene_of(graph)
        body, width, height = _scene(scene, colors), scene.width, scene.height
    else:
        body, width, height = _tree(graph, colors)
    texts = [text for text, _ in lines]
    top = MARGIN + 20 * len(lines) + 8
    width = max(width, *(width_of(text, strong=True) for text in texts)) + 2 * MARGIN
    height += top + MARGIN
    head = "".join(
        f'<text x="{MARGIN}" y="{MARGIN + 12 + 20 * i}" {attributes}>{xml(text, 160)}</text>'
        for i, (text, attributes) in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{xml(" ".join(texts), 300)}" style="max-width:100%;height:auto" '
        f'font-family="{xml(FONT, 200)}" font-size="12" fill="{colors["fg"]}">'
        f'<rect width="{width}" height="{height}" fill="{colors["canvas"]}"/>{head}'
        f'<g transform="translate({MARGIN} {top})">{body}</g></svg>'
    )


def _caption(graph: Graph, colors: dict[str, str]) -> list[tuple[str, str]]:
    """Lines above the drawing with their attributes: what it is, and why it is not whole."""
    name = plain(graph.modules[0].type) if graph.modules else "no module"
    count = count_text(graph.parameter_count)
    quiet = f'fill="{colors["fg-2"]}"'
    if not graph.traced or not graph.nodes:
        facts = f"{count_text(len(graph.modules))} modules, {count} parameters"
        why = "No pass was recorded, so this is the tree of modules; lines show what contains what, not what flows."
        lines = [(name, 'font-weight="600" font-size="13"'), (facts, quiet), (why, quiet)]
    else:
        facts = f"{count_text(len(graph.nodes))} ops in {count_text(len(graph.modules))} modules, {count} parameters"
        lines = [(name, 'font-weight="600" font-size="13"'), (facts, quiet)]
    if graph.partial:
        words = textwrap.wrap(f"ended early: {plain(graph.partial, 240)}", 80)
        lines += [(text, f'fill="{colors["error-fg"]}" font-weight="600"') for text in words]
    return lines


def _scene(scene: Scene, colors: dict[str, str]) -> str:
    # A drawing in which nothing needs gradients has no use for dashes.
    dashed = any(value.requires_grad for line in scene.lines for value in line.values)
    frames = [_frame(part, colors) for part in scene.parts if part.kind == "frame"]
    edges = [_line(line, colors, dashed) for line in scene.lines]
    dots = [
        f'<circle cx="{x}" cy="{y}" r="3" fill="{colors["canvas"]}" stroke="{colors["edge-mid"]}" stroke-width="1.5"/>'
        for x, y in scene.splits
    ]
    boxes = [_box(part, colors) for part in scene.parts if part.kind != "frame"]
    return "".join([*frames, *edges, *dots, *boxes])


_ISOLATE = 'style="unicode-bidi:isolate"'


def _text(x: int, y: int, text: str, more: str = "") -> str:
    return f'<text x="{x}" y="{y}" {_ISOLATE} {more}>{xml(text, 100)}</text>'


def _title(text: str) -> str:
    """A tooltip of a few lines."""
    return f"<title>{chr(10).join(xml(line, 200) for line in text.split(chr(10))[:6])}</title>"


def _frame(part: Part, colors: dict[str, str]) -> str:
    stroke = colors["error"] if part.failed else colors["line-strong"]
    return (
        f'<g>{_title(part.title)}<rect x="{part.x}" y="{part.y}" width="{part.width}" '
        f'height="{part.height}" rx="4" fill="{colors["raised"]}" fill-opacity="0.5" stroke="{stroke}"/>'
        + _text(part.x + 12, part.y + 18, part.label, 'font-weight="600"')
        + _text(part.x + part.width - 12, part.y + 18, part.detail, f'text-anchor="end" fill="{colors["fg-2"]}"')
        + "</g>"
    )


def _box(part: Part, colors: dict[str, str]) -> str:
    x, y, w, h = part.x, part.y, part.width, part.height
    middle = y + h // 2 + 4
    title = _title(part.title or part.label)
    stroke = colors["error"] if part.failed else colors["line-strong"]
    line, fill = f'stroke="{stroke}" stroke-width="{2 if part.failed else 1}"', colors["raised"]
    if part.kind == "join":
        return (
            f'<g>{title}<circle cx="{x + w // 2}" cy="{y + h // 2}" r="{w // 2}" fill="{fill}" {line}/>'
            + _text(x + w // 2, y + h // 2 + 5, part.label, 'text-anchor="middle" font-size="16"')
            + "</g>"
        )
    if part.kind in ("input", "output"):
        shape = f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="{h // 2}" fill="{fill}" {line}/>'
        return f"<g>{title}{shape}" + _text(x + w // 2, middle, part.label, 'text-anchor="middle"') + "</g>"
    shape = ""
    if part.kind == "fold":
        h = NODE_HEIGHT
        middle = y + h // 2 + 4
        shape = "".join(
            f'<rect x="{x + d}" y="{y + d}" width="{w - d}" height="{h}" rx="4" fill="{fill}" {line}/>' for d in (8, 4)
        )
        w -= 8
    dash = ' stroke-dasharray="4 4"' if part.kind == "more" else ""
    # An op has no name of its own: the ground shows through, so that modules stand out.
    ground = f'fill="{colors["canvas"]}"' if part.kind in ("op", "more") else f'fill="{fill}"'
    shape += f'<rect x="{x}" y="{y}" width="{w}" height="{h}" rx="4" {ground} {line}{dash}/>'
    weight = "" if part.kind in ("op", "more") else 'font-weight="600"'
    # One text, so that the detail follows the name whatever the font.
    label = f'<text x="{x + 10}" y="{middle}"><tspan {_ISOLATE} {weight}>{xml(part.label)}</tspan>'
    if part.detail:
        label += f'<tspan {_ISOLATE} dx="8" fill="{colors["fg-2"]}">{xml(part.detail, 60)}</tspan>'
    label += "</text>"
    if part.failed:
        label += _octagon(x + w - 56, y + h // 2, colors)
        label += _text(x + w - 46, middle, "failed", f'fill="{colors["error-fg"]}" font-size="11"')
    return f"<g>{title}{shape}{label}</g>"


def _octagon(x: int, y: int, colors: dict[str, str]) -> str:
    corners = " ".join(
        f"{x + 6.5 * math.cos(math.pi * (2 * i + 1) / 8):.1f},{y + 6.5 * math.sin(math.pi * (2 * i + 1) / 8):.1f}"
        for i in range(8)
    )
    cross = f'<path d="M{x - 2} {y - 2}l4 4m0 -4l-4 4" stroke="{colors["raised"]}" stroke-width="1.5" fill="none"/>'
    return f'<polygon points="{corners}" fill="{colors["error"]}"/>{cross}'


def _line(line: Line, colors: dict[str, str], dashed: bool) -> str:
    width = max((edge_width(value) for value in line.values), default=1.0)
    points = list(line.points)
    color = colors["edge-mid"]
    arrow = ""
    if line.arrow:
        (x1, y1), (x2, y2) = points[-2:]
        length, half = 6, 4
        dx, dy = (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)
        base = (x2 - dx * length, y2 - dy * length)
        points[-1] = base
        arrow = (
            f'<polygon points="{x2},{y2} {base[0] - dy * half},{base[1] - dx * half} '
            f'{base[0] + dy * half},{base[1] + dx * half}" fill="{color}"/>'
        )
    flows = any(value.requires_grad for value in line.values)
    dash = ' stroke-dasharray="4 4"' if dashed and not flows else ""
    return (
        f'<g>{_title(line.title)}<path d="{_path(points)}" fill="none" stroke="{color}" '
        f'stroke-width="{width:g}"{dash}/>{arrow}</g>'
    )


def edge_width(value: Value) -> float:
    """Pixels for a tensor: 1 up to 4 KiB, 0.3 more for each doubling, at most 5."""
    count = math.prod(value.shape) * BYTES.get(value.dtype, 4)
    return round(min(5.0, max(1.0, 1 + 0.3 * (math.log2(count) - 12))), 1) if count > 0 else 1.0


def _path(points: Sequence[Point]) -> str:
    """Corners -> SVG path data with rounded corners."""
    corners = [p for i, p in enumerate(points) if i == 0 or p != points[i - 1]]
    parts = [f"M{corners[0][0]} {corners[0][1]}"]
    for before, at, after in zip(corners, corners[1:], corners[2:], strict=False):
        near = min(CORNER, _distance(before, at) // 2, _distance(at, after) // 2)
        start, end = _towards(at, before, near), _towards(at, after, near)
        parts.append(f"L{start[0]} {start[1]}Q{at[0]} {at[1]} {end[0]} {end[1]}")
    parts.append(f"L{corners[-1][0]} {corners[-1][1]}")
    return "".join(parts)


def _distance(a: Point, b: Point) -> int:
    return abs(a[0] - b[0]) + abs(a[1] - b[1])


def _towards(a: Point, b: Point, by: int) -> Point:
    return a[0] + by * ((b[0] > a[0]) - (b[0] < a[0])), a[1] + by * ((b[1] > a[1]) - (b[1] < a[1]))


def _tree(graph: Graph, colors: dict[str, str]) -> tuple[str, int, int]:
    """The module tree, a row a module: (drawing, width, height)."""
    rows = tree_lines(graph)
    parts, width = [], 0
    for i, row in enumerate(rows):
        x, y = 16 * row.depth, 24 * i + 16
        if row.parent_row is not None:
            parent = rows[row.parent_row]
            parts.append(
                f'<path d="M{16 * parent.depth + 4} {24 * row.parent_row + 22}V{y - 4}H{x - 4}" fill="none" '
                f'stroke="{colors["line-strong"]}"/>'
            )
        weight = 'font-weight="600"' if not row.quiet else f'fill="{colors["fg-2"]}"'
        parts.append(_text(x, y, row.name, weight))
        at = x + width_of(row.name, strong=True) + 8
        parts.append(_text(at, y, row.detail, f'fill="{colors["fg-2"]}"'))
        width = max(width, at + width_of(row.detail))
    return "".join(parts), width, 24 * len(rows)
