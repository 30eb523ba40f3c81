"""Properties that every drawing of a level must have, on random graphs; and a few levels whose picture is known."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphscope.reports.boxes import Box, Level, Link
from graphscope.reports.layered import lay_out


def box(**facts: object) -> Box:
    return Box(**{"width": 160, "height": 24, "anchor": 80, **facts})  # type: ignore[arg-type]


@st.composite
def levels(draw: st.DrawFn) -> tuple[list[Box], list[Link]]:
    count = draw(st.integers(1, 14))
    boxes = [
        box(width=8 * w, anchor=4 * w, height=24 * h, span=h, given=given_)
        for w, h, given_ in draw(
            st.lists(st.tuples(st.integers(4, 30), st.integers(1, 5), st.booleans()), min_size=count, max_size=count)
        )
    ]
    pairs = list(itertools.combinations(range(count), 2))
    links = (
        [Link(u, v, 0) for u, v in draw(st.lists(st.sampled_from(pairs), unique=True, max_size=25))] if pairs else []
    )
    into = [sum(k.target == v for k in links) for v in range(count)]
    boxes = [Box(24, 24, 12, joins=True) if into[v] == 2 and v % 2 else b for v, b in enumerate(boxes)]
    return boxes, links


def rectangles(boxes: list[Box], level: Level) -> list[tuple[int, int, int, int]]:
    return [
        (level.left[v], level.top[v], level.left[v] + b.width, level.top[v] + b.height) for v, b in enumerate(boxes)
    ]


@settings(max_examples=150)
@given(levels())
def test_boxes_do_not_overlap_and_lie_inside(case: tuple[list[Box], list[Link]]) -> None:
    boxes, links = case
    level = lay_out(boxes, links, header=28)
    rects = rectangles(boxes, level)
    for a, b in itertools.combinations(rects, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1], (a, b)
    assert all(x1 >= 0 and y1 >= 28 and x2 <= level.width and y2 <= level.height for x1, y1, x2, y2 in rects)
    assert all(x % 4 == 0 and y % 4 == 0 for x, y, *_ in rects), "off the grid"


@settings(max_examples=150)
@given(levels())
def test_lines_go_down_from_source_to_target_and_through_no_box(case: tuple[list[Box], list[Link]]) -> None:
    boxes, links = case
    level = lay_out(boxes, links)
    rects = rectangles(boxes, level)
    for link, route in zip(links, level.routes, strict=True):
        (start, end), source, target = (route[0], route[-1]), rects[link.source], rects[link.target]
        assert start[1] == source[3] and source[0] <= start[0] <= source[2]
        side = boxes[link.target].joins and end[1] == (target[1] + target[3]) // 2
        assert (side and end[0] == target[2]) or (end[1] == target[1] and target[0] <= end[0] <= target[2])
        assert start[1] < end[1]
        for (x1, y1), (x2, y2) in itertools.pairwise(route):
            assert x1 == x2 or y1 == y2, "not orthogonal"
            assert y2 >= y1, "goes up"
            for left, top, right, bottom in rects:
                across = min(x1, x2) < right and max(x1, x2) > left and min(y1, y2) < bottom and max(y1, y2) > top
                assert not across, f"{link} runs through a box"


@settings(max_examples=60)
@given(levels())
def test_the_same_level_gives_the_same_drawing(case: tuple[list[Box], list[Link]]) -> None:
    boxes, links = case
    assert lay_out(boxes, links) == lay_out(list(boxes), list(links))


def test_a_chain_is_one_straight_line() -> None:
    level = lay_out([box(), box(width=96, anchor=48), box(width=200, anchor=100)], [Link(0, 1), Link(1, 2)])
    assert {x for route in level.routes for x, _ in route} == {level.left[0] + 80}
    assert level.splits == []


def test_the_stream_of_a_residual_block_is_straight_and_the_branch_lies_to_its_right() -> None:
    boxes = [box(given=True), box(), box(), Box(24, 24, 12, joins=True), box()]
    links = [Link(0, 1), Link(1, 2), Link(2, 3), Link(0, 3), Link(3, 4)]
    level = lay_out(boxes, links)
    stream = level.left[0] + 80
    assert {x for x, _ in level.routes[3]} == {stream} and level.left[4] + 80 == stream
    assert level.left[1] > stream and level.left[2] == level.left[1]
    assert level.routes[2][-1] == (stream + 12, level.top[3] + 12), "the branch enters the circle from the right"
    assert level.splits == [(stream, level.routes[0][1][1])], "one open circle where the branch leaves"


def test_a_skip_over_a_chain_runs_in_a_lane_beside_it() -> None:
    level = lay_out([box(given=True), box(), box(), box()], [Link(0, 1), Link(1, 2), Link(2, 3), Link(0, 3)])
    lane = {x for x, _ in level.routes[3][2:-2]}
    assert len(lane) == 1 and lane.pop() >= level.left[1] + 160 + 8
    assert {x for route in level.routes[:3] for x, _ in route} == {level.left[0] + 80}


def test_parallel_branches_share_a_bus_and_do_not_cross() -> None:
    boxes = [box(given=True), *(box() for _ in range(4)), box()]
    links = [*(Link(0, i) for i in range(1, 5)), *(Link(i, 5) for i in range(1, 5))]
    level = lay_out(boxes, links)
    assert len({y for route in level.routes[:4] for _, y in route[1:-1]}) == 1, "one track for one net"
    assert len(set(level.left[1:5])) == 4 and len(set(level.top[1:5])) == 1
    assert len({route[-1] for route in level.routes[4:]}) == 4, "four points of entry"


def test_what_no_input_leads_to_stands_above_its_reader() -> None:
    boxes = [box(given=True), box(), box(), box(), box()]  # x -> 1 -> 2 -> 4, and 3 (arange) -> 4
    level = lay_out(boxes, [Link(0, 1), Link(1, 2), Link(2, 4), Link(3, 4)])
    assert level.layer == [0, 1, 2, 2, 3]


def test_a_tall_box_stands_beside_a_chain_of_small_ones() -> None:
    boxes = [box(given=True), box(height=120, span=4), box(), box(), box(), box()]
    links = [Link(0, 1), Link(0, 2), Link(2, 3), Link(3, 4), Link(1, 5), Link(4, 5)]
    level = lay_out(boxes, links)
    assert level.top[1] == level.top[2] and level.top[5] >= level.top[1] + 120
    assert level.top[3] - level.top[2] == level.top[4] - level.top[3] == 40, "the small ones keep their distance"


def test_a_link_backwards_is_refused() -> None:
    with pytest.raises(ValueError, match="1 -> 0 of 2"):
        lay_out([box(), box()], [Link(1, 0)])


def test_nothing_is_an_empty_level() -> None:
    assert lay_out([], [], header=28) == Level(0, 28, [], [], [], [], [])
