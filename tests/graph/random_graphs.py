"""hypothesis strategy: any Graph whose parts refer to each other as a capture makes them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from graphscope.graph import Graph, ModuleCall, ModuleInfo, OpNode, ParameterInfo, Value
from graphscope.schema import VALUE_KINDS

TEXT = st.text(max_size=6)
SHAPE = st.lists(st.integers(0, 2**40), max_size=4).map(tuple)
ATTRS = st.dictionaries(
    TEXT, st.none() | st.booleans() | st.integers(-5, 5) | TEXT | st.lists(st.integers(), max_size=2)
)


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Numbers its values as a read graph does: inputs, then what ops read and made, then what calls returned."""
    names = draw(st.lists(TEXT.filter(bool), unique=True, max_size=4))
    modules: list[ModuleInfo] = []
    tied: list[str] = []
    for i, fqn in enumerate(["", *names]):
        parameters = []
        for j in range(draw(st.integers(0, 2))):
            name = f"{fqn}.p{j}"
            parameters.append(
                ParameterInfo(
                    name, draw(SHAPE), draw(st.booleans()), draw(st.none() | st.sampled_from(tied)) if tied else None
                )
            )
            tied.append(name)
        parent = None if i == 0 else draw(st.sampled_from(["", *names][:i]))
        modules.append(ModuleInfo(fqn, draw(TEXT), draw(TEXT), parent, tuple(parameters)))
    values: list[Value] = []

    def new(kind: str | None = None) -> Value:
        made = Value(
            len(values), kind or draw(st.sampled_from(VALUE_KINDS)), draw(TEXT), draw(SHAPE), draw(TEXT), draw(TEXT),
            draw(st.booleans()),
        )  # fmt: skip
        values.append(made)
        return made

    def some() -> tuple[Value, ...]:
        old = draw(st.lists(st.sampled_from(values), max_size=2)) if values else []
        return (*old, *(new() for _ in range(draw(st.integers(0, 1)))))

    inputs = tuple(new("input") for _ in range(draw(st.integers(0, 2))))
    places: list[tuple[str, int | None]] = [("", None)]
    for _ in range(draw(st.integers(0, 4))):
        places.append((draw(st.sampled_from(["", *names])), draw(st.integers(0, len(places) - 1))))
    nodes = []
    for i in range(draw(st.integers(0, 6))):
        scope = draw(st.integers(0, len(places) - 1))
        read = some()
        nodes.append(
            OpNode(
                id=i, op=draw(TEXT), scope=scope, fqn=places[scope][0], call=scope, inputs=read,
                outputs=tuple(new("op") for _ in range(draw(st.integers(0, 2)))),
                params=tuple(draw(st.lists(st.sampled_from(tied), max_size=2))) if tied else (),
                attrs=draw(ATTRS), source=draw(st.none() | st.tuples(TEXT.filter(bool), st.integers(0, 2**31))),
                grad_fn=draw(st.none() | TEXT.filter(bool)), opaque=draw(st.none() | TEXT.filter(bool)),
                inplace=draw(st.booleans()), view=draw(st.booleans()), failed=draw(st.booleans()),
            )
        )  # fmt: skip
    calls = tuple(
        ModuleCall(i, fqn, i, parent, some(), draw(st.none() | TEXT.filter(bool)))
        for i, (fqn, parent) in enumerate(places)
    )
    return Graph(tuple(modules), calls, tuple(nodes), inputs, some(), draw(TEXT), draw(st.booleans()))


def columns_as_lists(columns: Any) -> dict[str, Any]:
    return {name: column.tolist() if hasattr(column, "tolist") else column for name, column in columns.items()}
