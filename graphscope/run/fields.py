"""A record class of graphscope.schema -> how each of its fields is checked, written and read.

Both directions go through the same checks: what does not fit is refused when it is written, and a file is hostile
until its values have the types that queries and views rely on.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import numpy as np

from graphscope.messages import REPLIES
from graphscope.schema import RECORDS, STORED

MAX_TEXT = 1 << 20
"""Longest text of a field, in characters."""

DTYPES: Mapping[str, tuple[str, np.dtype[Any]]] = {
    "u8": ("U8", np.dtype("u1")),
    "u16": ("U16", np.dtype("<u2")),
    "u32": ("U32", np.dtype("<u4")),
    "i32": ("I32", np.dtype("<i4")),
    "i64": ("I64", np.dtype("<i8")),
    "f32": ("F32", np.dtype("<f4")),
    "f64": ("F64", np.dtype("<f8")),
}
"""Array annotation of graphscope.schema -> (dtype name of safetensors, numpy dtype)."""

Check = Callable[[Any], Any]
"""Value -> the same value as plain Python; raises ValueError or TypeError where it does not fit."""


@dataclasses.dataclass(frozen=True, slots=True)
class ArrayField:
    """One array field."""

    code: str
    """dtype name of safetensors."""
    dtype: np.dtype[Any]
    nullable: bool


@dataclasses.dataclass(frozen=True, slots=True)
class Fields:
    """How the fields of one class travel."""

    cls: Any
    arrays: Mapping[str, ArrayField]
    json: Mapping[str, Check]
    required: frozenset[str]
    """Fields without a default; an older writer may not know the others."""


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


# What nearly every value is, is seen at once: a large file has a million of them.


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"wanted text, found {type(value).__name__}")
    if len(value) > MAX_TEXT:
        raise ValueError(f"a text of {len(value):,} characters; at most {MAX_TEXT:,} are kept")
    return value


def _int(value: Any) -> int:
    if type(value) is int and -(2**63) <= value < 2**63:
        return value
    value = _plain(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"wanted a whole number, found {type(value).__name__}")
    if not -(2**63) <= value < 2**63:
        raise ValueError("a whole number that does not fit into 64 bits")
    return int(value)


def _float(value: Any) -> float:
    if type(value) is float:
        return value
    value = _plain(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise TypeError(f"wanted a number, found {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError("a whole number too large for a float") from None


def _bool(value: Any) -> bool:
    if value is True or value is False:
        return value
    value = _plain(value)
    if not isinstance(value, bool):
        raise TypeError(f"wanted true or false, found {type(value).__name__}")
    return value


def _any(value: Any) -> Any:
    return value


_PLAIN: Mapping[Any, Check] = {str: _text, int: _int, float: _float, bool: _bool, Any: _any}


def _check_of(annotation: Any) -> Check:
    """The annotation of a field that travels as JSON -> its check."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        (inner,) = (_check_of(member) for member in args if member is not type(None))
        return lambda value: None if value is None else inner(value)
    if origin is Literal:
        return lambda value: value if value in args else _refuse(value, args)
    if origin is Sequence:
        item = _check_of(args[0])
        return lambda value: tuple(item(v) for v in _sequence(value))
    if origin is dict:
        item = _check_of(args[1])
        return lambda value: {_text(k): item(v) for k, v in _mapping(value).items()}
    return _PLAIN[annotation]


def _refuse(value: Any, wanted: tuple[str, ...]) -> Any:
    raise ValueError(f"wanted one of {', '.join(wanted)}, found {str(value)[:40]!r}")


def _sequence(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise TypeError(f"wanted a list, found {type(value).__name__}")
    return value


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise TypeError(f"wanted an object, found {type(value).__name__}")
    return value


def _array_of(annotation: Any) -> ArrayField | None:
    """The annotation of a field -> its array type; None if it travels as JSON."""
    if get_origin(annotation) is Annotated:
        return ArrayField(*DTYPES[get_args(annotation)[1]], nullable=False)
    for member in get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else ():
        if array := _array_of(member):
            return dataclasses.replace(array, nullable=True)
    return None


def _fields_of(cls: Any) -> Fields:
    hints = typing.get_type_hints(cls, include_extras=True)
    arrays: dict[str, ArrayField] = {}
    checks: dict[str, Check] = {}
    required = set()
    for field in dataclasses.fields(cls):
        if array := _array_of(hints[field.name]):
            arrays[field.name] = array
        else:
            checks[field.name] = _check_of(hints[field.name])
        if field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.add(field.name)
    return Fields(cls, arrays, checks, frozenset(required))


FIELDS: Mapping[str, Fields] = {fields.cls.kind: fields for fields in map(_fields_of, (*RECORDS, *STORED, *REPLIES))}
"""Every kind that a blob can hold."""


def as_array(value: Any, field: ArrayField) -> np.ndarray[Any, Any]:
    """Anything numpy can view -> a contiguous array of the field's dtype; never wraps or cuts a number.

    Raises TypeError for values of another kind, ValueError for whole numbers out of range.
    """
    array = np.asarray(value)
    if array.dtype == field.dtype:
        return np.ascontiguousarray(array)
    if array.size and field.dtype.kind in "iu":
        if array.dtype.kind not in "iub":
            raise TypeError(f"wanted whole numbers, found {array.dtype}")
        limits = np.iinfo(field.dtype)
        if array.dtype.kind != "b" and (int(array.min()) < limits.min or int(array.max()) > limits.max):
            raise ValueError(f"whole numbers from {array.min()} to {array.max()} do not fit into {field.dtype}")
    elif array.size and array.dtype.kind not in "fiub":
        raise TypeError(f"wanted numbers, found {array.dtype}")
    return np.ascontiguousarray(array, dtype=field.dtype)
