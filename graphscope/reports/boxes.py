"""The words of the layered drawing: boxes and links in, runs on the way, a Level out."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field

Point = tuple[int, int]
Route = list[Point]


@dataclass(frozen=True, slots=True)
class Box:
    """One thing to place. Boxes come in the order in which they ran; a link goes from an earlier to a later one."""

    width: int
    height: int
    anchor: int
    """Distance from its left edge to the line of its chain."""
    port: str = ""
    """``in`` or ``out``: a point on the top or bottom of the frame around this level, not a thing of its own."""
    given: bool = False
    """Comes from outside: an input."""
    span: int = 1
    """Layers it takes: a tall frame stands beside several rows of small boxes."""
    joins: bool = False
    """A small circle that two links meet in: the second one enters from the right."""
    entries: Mapping[Hashable, int] = field(default_factory=dict)
    """Net -> distance from the left edge at which it enters; without an entry, near the anchor."""
    exits: Mapping[Hashable, int] = field(default_factory=dict)
    """Net -> distance from the left edge at which it leaves; without an entry, the anchor."""


@dataclass(frozen=True, slots=True)
class Link:
    """A line from a box to a later one. Those of one source and ``net`` carry the same and share a trunk."""

    source: int
    target: int
    net: Hashable = 0


@dataclass(frozen=True, slots=True)
class Level:
    """Where everything went. Coordinates are multiples of 4, from the top left."""

    width: int
    height: int
    left: list[int]
    top: list[int]
    layer: list[int]
    """First layer of each box."""
    routes: list[Route]
    """One for each link."""
    splits: list[Point]
    """Points at which a line parts."""


@dataclass(slots=True)
class Run:
    """A vertical line and the layers it takes: a chain of boxes, or the lane of a link that passes boxes."""

    boxes: list[int]
    """From top to bottom; empty for a lane."""
    top: int
    bottom: int
    """First and last layer in which nothing else may stand on the line."""
