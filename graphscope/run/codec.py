"""Record or reply <-> one safetensors blob: arrays as raw little-endian tensors, everything else as strict JSON.

The blob's ``__metadata__`` holds ``kind`` and ``json``. The header is padded, so that data begin at a multiple of 8
and JavaScript reads them without copying. The format is that of the safetensors library, which the tests hold against
this code; it is read here because a run file is hostile: sizes, depth and offsets are checked before anything is made
of them, and what does not fit is a RunFileError, never another value.
"""

from __future__ import annotations

import json
import math
import re
import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from json.encoder import encode_basestring_ascii
from typing import Any

import numpy as np

from graphscope.errors import RunFileError
from graphscope.messages import Reply
from graphscope.run.columns import check_columns
from graphscope.run.fields import FIELDS, Fields, as_array
from graphscope.run.packed_header import columns_text
from graphscope.run.packing import PackedColumns, pack, packed_columns, unpack
from graphscope.run.step_text import step_of
from graphscope.schema import SCHEMA_MAJOR, PackedStats, RunHeader, RunRecord, StepStats

MAX_RECORD = 64 << 20
"""Largest blob, in bytes."""
MAX_HEADER = 16 << 20
"""Largest header of a blob: its JSON and the table of its tensors."""
MAX_DEPTH = 64
"""Deepest nesting of JSON."""
_FLOATS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}
_LENGTH = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class UnknownRecord:
    """A whole record of a kind that this version does not know; skipped and counted."""

    kind: str


class OtherVersion(RunFileError):
    """A run header of another major version."""


class RecordTooLarge(RunFileError):
    """A record beyond the limits that every reader holds."""


def encode(record: RunRecord | Reply) -> bytes:
    """A record or reply -> its blob. Raises RunFileError where a field does not fit, RecordTooLarge."""
    if isinstance(record, StepStats):
        stats: StepStats = _converted(record)
        columns = packed_columns(stats)
        return blob_of(pack(stats) or stats) if columns is None else _packed_blob(stats, columns)
    return blob_of(record)


def blob_of(record: RunRecord | PackedStats | Reply) -> bytes:
    """A record in the very form it has -> its blob. Raises as :func:`encode`."""
    fields = FIELDS[record.kind]
    arrays: dict[str, tuple[str, np.ndarray[Any, Any]]] = {}
    for name, array_field in fields.arrays.items():
        value = getattr(record, name)
        if value is None and array_field.nullable:
            continue
        try:
            arrays[name] = array_field.code, as_array(value, array_field)
        except (TypeError, ValueError) as error:
            raise _misfit(fields, name, error) from None
    at = 0
    parts = [_metadata(record, fields)]
    ordered = sorted(arrays.items(), key=lambda item: -item[1][1].itemsize)  # so that each one is aligned
    for name, (code, array) in ordered:
        shape, end = ",".join(map(str, array.shape)), at + array.nbytes
        parts.append(f',"{name}":{{"dtype":"{code}","shape":[{shape}],"data_offsets":[{at},{end}]}}')
        at = end
    return _joined(record.kind, "".join(parts), at, [array.tobytes() for _, (_, array) in ordered])


def _packed_blob(stats: StepStats, columns: PackedColumns) -> bytes:
    """As ``blob_of(pack(stats))``, byte for byte."""
    lengths = tuple((name, 0 if name == "bins" else length) for name, length, _ in columns)
    bins = next(length for name, length, _ in columns if name == "bins")
    text, size = columns_text(lengths).of(bins)
    buffers = [np.ascontiguousarray(array) for _, _, arrays in columns for array in arrays]
    return _joined(PackedStats.kind, _metadata(stats, FIELDS[PackedStats.kind]) + text, size, buffers)


def _metadata(record: Any, fields: Fields) -> str:
    """The beginning of a header: kind and JSON fields."""
    scalars: dict[str, Any] = {}
    for name, check in fields.json.items():
        try:
            scalars[name] = check(getattr(record, name))
        except (TypeError, ValueError) as error:
            raise _misfit(fields, name, error) from None
    return f'{{"__metadata__":{{"kind":"{fields.cls.kind}","json":{encode_basestring_ascii(_dumps(scalars))}}}'


def _joined(kind: str, header: str, size: int, buffers: Sequence[Any]) -> bytes:
    """Header (its last bracket missing) and data of so many bytes -> the blob. Raises RecordTooLarge."""
    text = (header + "}").encode("ascii")
    text += b" " * (-len(text) % 8)
    if len(text) > MAX_HEADER or 8 + len(text) + size > MAX_RECORD:
        raise RecordTooLarge(
            f"a {kind} record of {(8 + len(text) + size) / 2**20:,.0f} MiB is larger than a record may be "
            f"({MAX_RECORD >> 20} MiB, of it {MAX_HEADER >> 20} MiB of text)"
        )
    return b"".join([_LENGTH.pack(len(text)), text, *buffers])


def decode(blob: bytes, unknown: Counter[str] | None = None) -> RunRecord | Reply | UnknownRecord:
    """A blob -> the record or reply it holds; array fields are read-only views into it.

    ``unknown`` counts fields that this version does not know, as ``kind.field``.
    Raises RunFileError for a blob that does not fit, OtherVersion for the header of another major version.
    """
    if (step := step_of(blob)) is not None:
        return step
    kind, scalars, tensors = _parse(blob)
    if kind == RunHeader.kind and scalars.get("schema_major", SCHEMA_MAJOR) != SCHEMA_MAJOR:
        raise OtherVersion(
            f"it was written by GraphScope {str(scalars.get('graphscope') or 'of an unknown version')[:40]} "
            f"in version {str(scalars['schema_major'])[:20]} of the run format; this GraphScope reads version "
            f"{SCHEMA_MAJOR}. Open it with the GraphScope that wrote it, or install a matching one."
        )
    fields = FIELDS.get(kind)
    if fields is None:
        return UnknownRecord(kind[:80])
    values: dict[str, Any] = {}
    for name, value in scalars.items():
        if (check := fields.json.get(name)) is None:
            if unknown is not None:
                unknown[f"{kind}.{name[:80]}"] += 1
            continue
        try:
            values[name] = check(value)
        except (TypeError, ValueError) as error:
            raise _misfit(fields, name, error) from None
    for name, (code, array) in tensors.items():
        array_field = fields.arrays.get(name)
        if array_field is None:
            if unknown is not None:
                unknown[f"{kind}.{name[:80]}"] += 1
        elif code != array_field.code:
            raise RunFileError(f"{kind}.{name} holds {code}; wanted {array_field.code}")
        else:
            values[name] = array
    for name, array_field in fields.arrays.items():
        if array_field.nullable:
            values.setdefault(name, None)
    if missing := fields.required - values.keys():
        raise RunFileError(f"a {kind} record without {', '.join(sorted(missing))}")
    record = fields.cls(**values)
    if isinstance(record, PackedStats):
        record = unpack(record)
    check_columns(record)
    return record


def with_arrays(record: Any) -> Any:
    """A record whose array fields may be lists -> the same with numpy arrays of the schema's types.

    Raises RunFileError where a field does not fit.
    """
    record = _converted(record)
    check_columns(record)
    return record


def _converted(record: Any) -> Any:
    """As with_arrays, each field for itself."""
    fields = FIELDS[record.kind]
    changed: dict[str, Any] = {}
    for name, array_field in fields.arrays.items():
        value = getattr(record, name)
        if value is None or (isinstance(value, np.ndarray) and value.dtype == array_field.dtype):
            continue
        try:
            changed[name] = as_array(value, array_field)
        except (TypeError, ValueError) as error:
            raise _misfit(fields, name, error) from None
    return replace(record, **changed) if changed else record


Head = tuple[str, dict[str, Any], list[tuple[str, str, list[int], int]], int]


_BARE = re.compile(rb'{"__metadata__":{"kind":"([a-z_]{1,40})","json":"([ !#-\[\]-~]*(?:\\"[ !#-\[\]-~]*)*)"}} {0,7}')
"""A blob without tensors as our writer puts it, nothing but quotes escaped: its JSON need not be parsed twice."""


def head_of(blob: bytes) -> Head:
    """Blob -> (kind, JSON fields, [(name, dtype name, shape, start)] in the order of the data, where the data begin).

    Raises RunFileError where sizes, depth, offsets or shapes do not fit.
    """
    if not 8 <= len(blob) <= MAX_RECORD:
        raise RunFileError(f"a record of {len(blob):,} bytes; wanted 8 to {MAX_RECORD:,}")
    (length,) = _LENGTH.unpack_from(blob)
    if length > min(MAX_HEADER, len(blob) - 8):
        raise RunFileError(f"a record whose header claims {length:,} bytes")
    if length == len(blob) - 8 and (bare := _BARE.fullmatch(blob, 8)):
        return bare[1].decode("ascii"), _loads(bare[2].replace(b'\\"', b'"'), revive=True), [], len(blob)
    header = _loads(blob[8 : 8 + length])
    metadata = header.pop("__metadata__", None)
    if not isinstance(metadata, dict) or not all(isinstance(metadata.get(key), str) for key in ("kind", "json")):
        raise RunFileError("a safetensors blob without kind and json: no GraphScope record")
    scalars = _loads(metadata["json"].encode("utf-8", "surrogatepass"), revive=True)
    tensors = []
    expected = 0
    for start, end, name, code, shape in sorted(_offsets(name, entry) for name, entry in header.items()):
        if start != expected:
            raise RunFileError("a record whose tensors leave gaps or overlap")
        dtype = _DTYPES.get(code)
        if dtype is not None and end - start != math.prod(shape) * dtype.itemsize:
            raise RunFileError(
                f"tensor {name[:80]!r} of shape {shape} and dtype {code} does not fill its {end - start} bytes"
            )
        tensors.append((name, code, shape, start))
        expected = end
    if expected != len(blob) - 8 - length:
        raise RunFileError(f"a record with {len(blob) - 8 - length - expected:,} bytes that belong to no tensor")
    return metadata["kind"], scalars, tensors, 8 + length


def _parse(blob: bytes) -> tuple[str, dict[str, Any], dict[str, tuple[str, np.ndarray[Any, Any]]]]:
    """Blob -> (kind, JSON fields, name -> (dtype name, array))."""
    kind, scalars, tensors, data = head_of(blob)
    arrays = {}
    ends = [*(start for _, _, _, start in tensors), len(blob) - data][1:]
    for (name, code, shape, start), end in zip(tensors, ends, strict=True):
        dtype = _DTYPES.get(code)
        if dtype is None:  # of a field that a later version added: kept apart as bytes, never looked into
            arrays[name] = code, np.frombuffer(blob, np.uint8, end - start, data + start)
        else:
            arrays[name] = code, np.frombuffer(blob, dtype, math.prod(shape), data + start).reshape(shape)
    return kind, scalars, arrays


def _offsets(name: str, entry: Any) -> tuple[int, int, str, str, list[int]]:
    """An entry of the header -> (start, end, name, dtype name, shape)."""
    if isinstance(entry, dict):
        code, shape, offsets = entry.get("dtype"), entry.get("shape"), entry.get("data_offsets")
        if isinstance(code, str) and isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2:
            numbers = [*offsets, *shape]
            if len(shape) <= 8 and all(type(n) is int and 0 <= n <= MAX_RECORD for n in numbers):
                start, end = offsets
                if start <= end:
                    return start, end, name, code, shape
    raise RunFileError(f"tensor {name[:80]!r} has no valid dtype, shape and offsets")


_DTYPES = {field.code: field.dtype for fields in FIELDS.values() for field in fields.arrays.values()}


def _misfit(fields: Fields, name: str, error: Exception) -> RunFileError:
    return RunFileError(f"{fields.cls.__name__}.{name}: {error}")


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))


def _dumps(value: Any) -> str:
    """Strict JSON in ASCII, so that lone surrogates survive; NaN and infinities as {"$float": "nan"}."""
    try:
        try:
            return _ENCODER.encode(value)
        except ValueError:
            return _ENCODER.encode(_marked(value))
    except (TypeError, ValueError, RecursionError) as error:
        raise RunFileError(f"a field that is no JSON: {error}") from None


def _marked(value: Any) -> Any:
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return {"$float": "nan" if value != value else "inf" if value > 0 else "-inf"}
    if isinstance(value, dict):
        return {key: _marked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_marked(item) for item in value]
    return value


def _loads(text: bytes, revive: bool = False) -> dict[str, Any]:
    """Strict JSON object -> dict. Raises RunFileError for everything json.loads would let pass beyond that."""
    _check_depth(text)
    try:
        words = text.decode("utf-8", "surrogatepass")
        revive = revive and '"$float"' in words
        few = words.count("{") <= 4  # then looking at each object is cheaper than counting
        value = None if few or revive else _PLAIN.decode(words)
        # A name that occurs twice is lost in a dict: then there are more names in the text than in the value.
        if few or revive or words.count('":') != _names(value):
            value = (_REVIVING if revive else _CAREFUL).decode(words)
    except (ValueError, KeyError, RecursionError) as error:
        raise RunFileError(f"a record whose JSON cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise RunFileError(f"a record whose JSON is a {type(value).__name__}; wanted an object")
    return value


def _names(value: Any) -> int:
    """Names of all objects in a JSON value."""
    if isinstance(value, dict):
        return len(value) + sum(_names(item) for item in value.values() if type(item) in (dict, list))
    if isinstance(value, list):
        return sum(_names(item) for item in value if type(item) in (dict, list))
    return 0


def _once(items: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(items)
    if len(made) != len(items):
        raise ValueError("a name occurs twice")
    return made


def _revived(items: list[tuple[str, Any]]) -> Any:
    if len(items) == 1 and items[0][0] == "$float" and isinstance(items[0][1], str):
        return _FLOATS[items[0][1]]
    return _once(items)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


_PLAIN = json.JSONDecoder(parse_constant=_no_constant)
_CAREFUL = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_once)
_REVIVING = json.JSONDecoder(parse_constant=_no_constant, object_pairs_hook=_revived)


def _check_depth(text: bytes) -> None:
    """Refuses JSON nested deeper than MAX_DEPTH before it is parsed; brackets inside texts do not count."""
    if text.count(b"[") + text.count(b"{") <= MAX_DEPTH:
        return
    outside = b"".join(text.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    codes = np.frombuffer(outside, np.uint8)
    opening, closing = (codes == 0x5B) | (codes == 0x7B), (codes == 0x5D) | (codes == 0x7D)
    steps = opening.astype(np.int8) - closing.astype(np.int8)
    if steps.size and int(np.cumsum(steps[steps != 0], dtype=np.int32).max(initial=0)) > MAX_DEPTH:
        raise RunFileError(f"a record whose JSON is nested deeper than {MAX_DEPTH}")
