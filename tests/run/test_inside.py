"""AtenOps: what it says of a call worked out by hand, and columns of a hostile file."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from graphscope.errors import NoSuchStep, RunFileError, UnknownAddress
from graphscope.run import Run
from graphscope.run.inside import AtenCount, AtenOp
from graphscope.schema import AtenOps

# y = x @ w, then y + b twice: shapes [2, 3] @ [3, 4], + [4]
CALL = AtenOps(
    step=3, pass_index=0, fqn="fc", call=1, graph_id="g", names=["aten.mm.default", "aten.add.Tensor"], name=[0, 1, 1],
    node=[7, 8, -1], seconds=[0.5, 0.25, 0.5], inputs=[2, 2, 2], outputs=[1, 1, 1], dtype=[0, 0, 0, 0, 1, 0, 0, 1, 0],
    ndim=[2, 2, 2, 2, 1, 2, 2, 1, 2], sizes=[2, 3, 3, 4, 2, 4, 2, 4, 4, 2, 4, 2, 4, 4, 2, 4],
    dtypes=["float32", "bfloat16"],
)  # fmt: skip


def test_ops_in_order_and_in_sum() -> None:
    run = Run()
    run.add(CALL)
    inside = run.inside("fc", 1)
    y, b = ("float32", (2, 4)), ("bfloat16", (4,))
    assert inside.ops == [
        AtenOp("aten.mm.default", (("float32", (2, 3)), ("float32", (3, 4))), (y,), 0.5, 7),
        AtenOp("aten.add.Tensor", (y, b), (y,), 0.25, 8),
        AtenOp("aten.add.Tensor", (y, b), (y,), 0.5, None),
    ]
    assert inside.counts() == [AtenCount("aten.add.Tensor", 2, 0.75), AtenCount("aten.mm.default", 1, 0.5)]
    assert inside.of_node(8) == inside.ops[1:2]
    assert run.looked_inside == [("fc", 1)]
    assert repr(inside) == "Inside(fc call 1 at step 3: 3 ops)"


def test_the_last_look_counts_and_others_can_be_asked_for() -> None:
    run = Run()
    run.add(CALL)
    run.add(dataclasses.replace(CALL, step=9, left_out=5))
    assert run.inside("fc", 1).record.step == 9
    assert run.inside("fc", 1, 3).record.left_out == 0
    with pytest.raises(NoSuchStep, match="looked into at 3, 9; nearest: 3"):
        run.inside("fc", 1, 4)
    with pytest.raises(UnknownAddress, match="Looked into: fc call 1"):
        run.inside("fc")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"name": [0, 1, 2]}, "name: number 2 of 2"),
        ({"dtype": [0, 0, 0, 0, 1, 0, 0, 1, 9]}, "dtype: number 9 of 2"),
        ({"node": [7, 8]}, "node: shape"),
        ({"inputs": [2, 2, 3]}, "inputs: with outputs"),
        ({"inputs": [2, 2, 2**32 - 1]}, "inputs: with outputs"),
        ({"ndim": [2, 2, 2, 2, 1, 2, 2, 1, 3]}, "sizes: 16 sizes"),
        ({"sizes": [-1] * 16}, "size below 0"),
        ({"seconds": [0.5]}, "seconds: shape"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change: dict[str, Any], says: str) -> None:
    with pytest.raises(RunFileError, match=says):
        Run().add(dataclasses.replace(CALL, **change))


def test_a_call_without_ops_is_one() -> None:
    nothing = dict.fromkeys(("name", "node", "seconds", "inputs", "outputs", "dtype", "ndim", "sizes"), ())
    run = Run()
    run.add(dataclasses.replace(CALL, names=[], dtypes=[], **nothing))
    assert run.inside("fc", 1).ops == [] and run.inside("fc", 1).counts() == []
    assert len(run.inside("fc", 1).record.name) == 0 and np.asarray(run.inside("fc", 1).record.sizes).size == 0
