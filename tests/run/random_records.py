"""hypothesis strategies: any record or reply of the schema whose columns fit together."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graphscope.messages import REPLIES
from graphscope.run.fields import FIELDS
from graphscope.schema import HISTOGRAM_BINS, RECORDS, SCHEMA_MAJOR, AddressTable, AtenOps, RunHeader, StepStats

TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
"""Any code points, lone surrogates included."""
INT = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(allow_nan=True, allow_infinity=True)
JSON = st.recursive(
    st.none() | st.booleans() | INT | FLOAT | TEXT,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(TEXT.filter(lambda k: k != "$float"), inner, max_size=3)
    ),
    max_leaves=6,
)


def _json(annotation: Any) -> st.SearchStrategy[Any]:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return st.one_of(*(_json(member) for member in args))
    if origin is Literal:
        return st.sampled_from(args)
    if origin is Sequence:
        return st.lists(_json(args[0]), max_size=3)
    if origin is dict:
        return st.dictionaries(TEXT.filter(lambda k: k != "$float"), _json(args[1]), max_size=3)
    plain = {str: TEXT, int: INT, float: FLOAT, bool: st.booleans(), type(None): st.none(), Any: JSON}
    return plain[annotation]


def _array(kind: str, name: str, shape: Any) -> st.SearchStrategy[Any]:
    return hnp.arrays(FIELDS[kind].arrays[name].dtype, shape)


@st.composite
def records_of(draw: st.DrawFn, cls: Any) -> Any:
    """One instance of ``cls``."""
    hints = typing.get_type_hints(cls, include_extras=True)
    values: dict[str, Any] = {}
    rows = draw(st.integers(0, 4))
    for field in dataclasses.fields(cls):
        hint = hints[field.name]
        if field.name not in FIELDS[cls.kind].arrays:
            values[field.name] = draw(_json(hint))
        elif get_origin(hint) is Annotated or draw(st.booleans()):
            values[field.name] = draw(_array(cls.kind, field.name, rows))
        else:
            values[field.name] = None
    if cls is AddressTable:
        values["fqn"] = draw(st.lists(TEXT, min_size=rows, max_size=rows))
    if cls is RunHeader:
        values["schema_major"] = SCHEMA_MAJOR
    if cls is StepStats:
        values["ndim"] = draw(hnp.arrays(np.uint8, rows, elements=st.integers(0, 3)))
        values["sizes"] = draw(_array("step_stats", "sizes", int(values["ndim"].sum())))
        values["dtypes"] = ["float32", "bfloat16"]
        values["dtype"] = draw(hnp.arrays(np.uint8, rows, elements=st.integers(0, 1)))
        with_histogram = draw(st.lists(st.integers(0, rows - 1), unique=True, max_size=2)) if rows else []
        values["histogram_row"] = np.array(with_histogram, np.uint32)
        values["histogram"] = draw(_array("step_stats", "histogram", (len(with_histogram), HISTOGRAM_BINS)))
    if cls is AtenOps:
        values["names"], values["dtypes"] = ["aten.add.Tensor", "aten.mm.default"], ["float32", "int64"]
        for name in ("name", "inputs", "outputs"):
            values[name] = draw(hnp.arrays(np.uint32, rows, elements=st.integers(0, 1)))
        tensors = int(values["inputs"].sum() + values["outputs"].sum())
        values["dtype"] = draw(hnp.arrays(np.uint8, tensors, elements=st.integers(0, 1)))
        values["ndim"] = draw(hnp.arrays(np.uint8, tensors, elements=st.integers(0, 3)))
        sizes = st.integers(0, 2**53)
        values["sizes"] = draw(hnp.arrays(np.int64, int(values["ndim"].sum()), elements=sizes))
    return cls(**values)


EVERY_KIND = st.one_of(*(records_of(cls) for cls in (*RECORDS, *REPLIES)))


def same(a: Any, b: Any) -> bool:
    """Equality of two values or records: NaN equals NaN, a list equals a tuple, -0.0 differs from 0.0."""
    if dataclasses.is_dataclass(a) and not isinstance(a, type):
        return type(a) is type(b) and all(
            same(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(a)
        )
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, float):
        return isinstance(b, float) and (repr(a) == repr(b))
    return type(a) is type(b) and bool(a == b)
