"""The static picture: valid XML whatever the names, what it shows of known graphs, and bounds for huge ones."""

from __future__ import annotations

import re
import time
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from graphscope.graph import Graph, ModuleCall, ModuleInfo, OpNode, ParameterInfo, Value, module_tree
from graphscope.reports.colors import DARK, LIGHT
from graphscope.reports.svg import edge_width, svg_of
from tests.reports.made_graphs import GraphMaker, chain, residual_block, transformer

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "a & b",
    "]]>",
    "<!--",
    "\u202emoc.live\u2066",
    "nul\x00 bell\x07 esc\x1b newline\n",
    "lone \ud800 surrogate",
    "\ufffe\uffff",
    "x" * 10_000,
    "名前・ŁĄŹ・עברית",
    "&#x3c;svg/onload=alert(1)&#x3e;",
    "' onmouseover='alert(1)",
]


def texts(svg: str) -> list[str]:
    return ["".join(node.itertext()) for node in ET.fromstring(svg).iter(f"{SVG}text")]


def titles(svg: str) -> list[str]:
    return [node.text or "" for node in ET.fromstring(svg).iter(f"{SVG}title")]


@pytest.mark.parametrize("graph", [residual_block(), residual_block(True), chain(3), transformer(2)])
def test_names_and_shapes_are_there(graph: Graph) -> None:
    shown = " ".join(texts(svg_of(graph)))
    assert graph.modules[0].type in shown
    assert "×" in shown, "shape of the input"


def test_a_residual_block() -> None:
    svg = svg_of(residual_block())
    assert {"x 128 × 16 × 32 × 32", "conv13×3, 16→16", "bn1BN 16", "relu", "relu · call 2", "+"} <= set(texts(svg))
    assert "7 ops in 6 modules, 0 parameters" in texts(svg)
    lines = [title for title in titles(svg) if "→" in title.split("\n")[0]]
    assert "conv1 → bn1\n128 × 16 × 32 × 32 float32" in lines
    assert "bn2 → +\n128 × 16 × 32 × 32 float32" in lines


def test_calls_are_opened_where_they_fit_and_closed_where_they_do_not() -> None:
    opened = texts(svg_of(transformer(1)))
    assert "attn" in opened and "qLinear" in opened, "the inside of the block is shown"
    folded = texts(svg_of(transformer(12)))
    assert "blocks.1 … 11 × 11Block" in folded, "equal blocks become one card"
    assert "blocks.0" in folded and "attn" in " ".join(folded), "and the first of them is opened"


def test_a_long_level_is_folded_and_a_longer_one_shortened() -> None:
    assert "fc1 … relu × 499Linear, relu" in texts(svg_of(chain(500)))
    make = GraphMaker()
    x = make.input(2, 2)
    for i in range(300):
        x = make.op(f"op{i}", x)
    shown = texts(svg_of(make.graph(x)))
    assert "261 more261 ops" in shown and "op0" in shown and "op299" in shown and "op150" not in shown


def test_a_pass_that_ended_early_is_marked() -> None:
    make = GraphMaker()
    x = make.layer("fc1", "Linear", "linear", make.input(4, 8))
    with make.call("fc2", "Linear"):
        make.op("linear", x, failed=True)
    svg = svg_of(make.graph(partial="RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x128 and 64x10)"))
    shown = texts(svg)
    assert "ended early: RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x128 and" in shown
    assert "failed" in shown and LIGHT["error"] in svg


def test_a_module_tree_says_why_it_is_one() -> None:
    weight = ParameterInfo("fc.weight", (10, 20), True)
    modules = [
        ModuleInfo("", "Net", "", None),
        ModuleInfo("fc", "Linear", "in_features=20, out_features=10", "", (weight,)),
    ]
    shown = texts(svg_of(module_tree(modules)))
    assert any("No pass was recorded" in text for text in shown)
    assert "fc" in shown and "Linear, 20→10, 200 parameters" in shown


def test_a_large_module_tree_is_shortened() -> None:
    modules = [ModuleInfo("", "Net", "", None)]
    modules += [ModuleInfo(f"m{i}", "Linear", "", "") for i in range(500)]
    shown = texts(svg_of(module_tree(modules)))
    assert "441 more modules" in shown and len(shown) < 130


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_stay_text(name: str) -> None:
    make = GraphMaker(name)
    x = make.input(2, 3, name=name)
    x = make.layer(name, name, name, x, attrs=name, source=(name, 3))
    x = make.layer("conv", "Conv2d", "conv2d", x, attrs=name)
    x = make.op(name, x, opaque=name)
    for svg in (svg_of(make.graph(x, partial=name)), svg_of(module_tree(make.graph(x).modules), dark=True)):
        svg.encode("utf-8")
        root = ET.fromstring(svg)
        tags = {node.tag.removeprefix(SVG) for node in root.iter()}
        assert tags <= {"svg", "g", "rect", "text", "tspan", "path", "polygon", "circle", "title"}
        assert not [key for node in root.iter() for key in node.attrib if key.startswith("on") or key.endswith("href")]
        assert len(svg) < 20_000, "a long name is shortened"
        assert not re.search("[\u202a-\u202e\u2066-\u2069]", svg), "no mark turns the text around it"


def test_huge_graphs_are_bounded() -> None:
    make = GraphMaker()
    x = make.input(2, 2)
    nodes = []
    for i in range(100_000):
        y = Value(i + 1, "op", "", (2, 2), "float32", "cpu", True)
        nodes.append(OpNode(i, f"op{i % 97}", 0, "", 0, (x,), (y,)))
        x = y
    graph = replace(make.graph(), nodes=tuple(nodes))
    start = time.perf_counter()
    svg = svg_of(graph)
    assert len(svg) < 100_000 and time.perf_counter() - start < 20


def test_deep_nesting_needs_no_recursion() -> None:
    deep = 5_000
    modules = [
        ModuleInfo(".".join(["m"] * i), "Wrap", "", ".".join(["m"] * (i - 1)) if i else None) for i in range(deep)
    ]
    calls = tuple(ModuleCall(i, module.fqn, 0, i - 1 if i else None) for i, module in enumerate(modules))
    x, y, z = (Value(i, "input" if i == 0 else "op", "x", (2,), "float32", "cpu", True) for i in range(3))
    last = modules[-1].fqn
    nodes = (OpNode(0, "relu", deep - 1, last, 0, (x,), (y,)), OpNode(1, "exp", deep - 1, last, 0, (y,), (z,)))
    graph = Graph(tuple(modules), calls, nodes, (x,), (z,))
    ET.fromstring(svg_of(graph))
    ET.fromstring(svg_of(module_tree(modules)))


def test_foreign_graphs_that_contradict_themselves_are_drawn_all_the_same() -> None:
    graph = residual_block()
    nodes = list(graph.nodes)
    late = nodes[-1].outputs[0]
    nodes[0] = replace(nodes[0], inputs=(*nodes[0].inputs, late))  # reads what is made later
    calls = tuple(replace(call, parent=len(graph.calls) - 1 - i) for i, call in enumerate(graph.calls))
    ET.fromstring(svg_of(replace(graph, nodes=tuple(nodes), calls=calls)))


@pytest.mark.parametrize(
    ("shape", "width"), [((1280,), 1.1), ((8192,), 1.9), ((2**19,), 3.7), ((2**21,), 4.3), ((2**30,), 5.0), ((), 1.0)]
)
def test_width_of_a_line_is_that_of_the_mock_ups(shape: tuple[int, ...], width: float) -> None:
    assert edge_width(Value(0, "op", "", shape, "float32", "cpu", True)) == pytest.approx(width, abs=0.05)


def test_dashes_only_where_gradients_flow_elsewhere() -> None:
    make = GraphMaker()
    x = make.input(4, 8)
    assert svg_of(make.graph(make.op("relu", make.op("exp", x)))).count("stroke-dasharray") == 1, "the input"
    nodes = (OpNode(0, "exp", 0, "", 0, (x,), (replace(x, id=9, kind="op"),)),)
    net = (ModuleInfo("", "Net", "", None),)
    assert "dasharray" not in svg_of(Graph(net, (ModuleCall(0, "", 0, None),), nodes, (x,))), "a pass without gradients"


def test_colours_are_the_design_tokens() -> None:
    path = Path(__file__).parents[2] / "js" / "src" / "base" / "css" / "tokens.css"
    if not path.exists():
        pytest.skip("no tokens.css in this tree")
    light, dark = path.read_text().split('[data-gs-theme="dark"]')
    for colors, css in ((LIGHT, light), (DARK, dark)):
        for name, color in colors.items():
            assert re.search(rf"--gs-{name}:\s*{color}\b", css), name


def test_dark_differs_in_colour_only() -> None:
    light, dark = svg_of(transformer(2)), svg_of(transformer(2), dark=True)
    assert light != dark
    assert re.sub("#[0-9a-f]{6}", "", light) == re.sub("#[0-9a-f]{6}", "", dark)
