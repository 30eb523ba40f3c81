"""encode and decode are inverse, the blob is what the safetensors library says it is, and hostile blobs are refused."""

from __future__ import annotations

import contextlib
import json
import math
import struct
from collections import Counter
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from graphscope.errors import RunFileError
from graphscope.messages import REPLIES
from graphscope.run.codec import MAX_HEADER, MAX_RECORD, OtherVersion, UnknownRecord, decode, encode, with_arrays
from graphscope.run.codec import blob_of as plain_blob
from graphscope.schema import RECORDS, BatchNormStats, DropoutStats, Note, RunHeader, StepRecord
from tests.run.random_records import EVERY_KIND, records_of, same


def blob_of(kind: str, fields: Any, tensors: dict[str, Any] | None = None) -> bytes:
    """A blob made by the safetensors library itself."""
    text = fields if isinstance(fields, str) else json.dumps(fields)
    return safetensors.numpy.save(tensors or {}, {"kind": kind, "json": text})


@given(EVERY_KIND)
@settings(max_examples=150, deadline=None)
def test_what_was_encoded_is_decoded_equal_to_the_bit(record: Any) -> None:
    assert same(record, decode(encode(record)))


@pytest.mark.parametrize("cls", [*RECORDS, *REPLIES], ids=lambda cls: cls.kind)
def test_every_kind_survives(cls: Any) -> None:
    @given(records_of(cls))
    @settings(max_examples=8, deadline=None)
    def check(record: Any) -> None:
        assert same(record, decode(encode(record)))

    check()


@given(EVERY_KIND)
@settings(max_examples=40, deadline=None)
def test_the_safetensors_library_reads_the_same_arrays(record: Any) -> None:
    blob = plain_blob(record)
    arrays = safetensors.numpy.load(blob)
    wanted = {name: value for name in record.__slots__ if isinstance(value := getattr(record, name), np.ndarray)}
    assert arrays.keys() == wanted.keys()
    assert all(same(arrays[name], wanted[name]) for name in wanted)
    (header_length,) = struct.unpack_from("<Q", blob)
    header = json.loads(blob[8 : 8 + header_length])
    assert header["__metadata__"]["kind"] == record.kind
    assert (8 + header_length) % 8 == 0
    for name, value in wanted.items():  # JavaScript can view each one where it lies
        assert header[name]["data_offsets"][0] % value.itemsize == 0


def test_json_is_strict_and_floats_that_json_lacks_are_marked() -> None:
    record = StepRecord(
        step=3, captured=False, passes=1, seconds=-0.0, step_seconds=None, self_seconds=5e-324,
        scalars={"loss": math.nan, "a": math.inf, "b": -math.inf, "c": 1},
    )  # fmt: skip
    blob = encode(record)
    (n,) = struct.unpack_from("<Q", blob)
    text = json.loads(blob[8 : 8 + n])["__metadata__"]["json"]
    fields = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} in strict JSON"))
    assert fields["scalars"] == {
        "loss": {"$float": "nan"}, "a": {"$float": "inf"}, "b": {"$float": "-inf"}, "c": 1.0,
    }  # fmt: skip
    assert fields["step_seconds"] is None
    read = decode(blob)
    assert isinstance(read, StepRecord) and math.isnan(read.scalars["loss"])
    assert math.copysign(1, read.seconds) == -1 and read.self_seconds == 5e-324


def test_an_absent_array_is_none_and_an_empty_one_is_empty() -> None:
    def stats(running: Any) -> BatchNormStats:
        return BatchNormStats(
            step=0, fqn="bn", call=0, training=True, momentum=None, eps=1e-5, count=8, batches_tracked=None,
            batch_mean=[], batch_var=[], running_mean=running, running_var=None, weight=None, bias=None,
        )  # fmt: skip

    assert decode(encode(stats(None))).running_mean is None  # type: ignore[union-attr]
    assert decode(encode(stats([]))).running_mean.shape == (0,)  # type: ignore[union-attr]


def test_unknown_kinds_and_fields_are_skipped_and_counted() -> None:
    assert decode(blob_of("hologram", {"x": 1}, {"y": np.zeros(3)})) == UnknownRecord("hologram")
    unknown: Counter[str] = Counter()
    note = decode(
        blob_of("note", {"severity": "info", "text": "hi", "mood": 1}, {"aura": np.zeros(2, np.float16)}), unknown
    )
    assert note == Note(severity="info", text="hi") and unknown == {"note.mood": 1, "note.aura": 1}


def test_another_major_version_is_refused_with_words() -> None:
    header = {"run_id": "a", "schema_major": 2, "graphscope": "9.0", "everything": "else is different"}
    with pytest.raises(
        OtherVersion, match=r"GraphScope 9\.0 in version 2 of the run format; this GraphScope reads version 1"
    ):
        decode(blob_of("run_header", header))


def test_an_older_writer_lacks_fields_that_have_defaults() -> None:
    read = decode(blob_of("run_header", {"run_id": "a", "name": "n", "model": "M", "created": ""}))
    assert isinstance(read, RunHeader) and read.budget == 0.01


NOTE = {"severity": "info", "text": "hi"}
DROPOUT = {
    "step": 1, "fqn": "d", "call": 0, "p": 0.5, "dropped": None, "nonzero": 0, "count": 0, "training": True,
    "drops": "values", "units": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("blob", "says"),
    [
        (b"", "0 bytes"),
        (b"\xff" * 40, "header claims"),
        (struct.pack("<Q", 4) + b"null", "wanted an object"),
        (struct.pack("<Q", 2) + b"{}", "without kind and json"),
        (blob_of("note", "[1]"), "wanted an object"),
        (blob_of("note", '{"text": NaN}'), "NaN is no JSON"),
        (blob_of("note", '{"text": "a", "text": "b"}'), "occurs twice"),
        (blob_of("note", '{"text": {"$float": "0x7"}}'), "cannot be read"),
        (blob_of("note", {"text": "hi"}), "without severity"),
        (blob_of("note", {**NOTE, "severity": "fatal"}), "wanted one of error, warning, info"),
        (blob_of("note", {**NOTE, "text": 5}), "wanted text, found int"),
        (blob_of("note", {**NOTE, "text": "x" * 2**21}), "a text of 2,097,152 characters"),
        (blob_of("note", {**NOTE, "step": True}), "wanted a whole number, found bool"),
        (blob_of("note", {**NOTE, "step": 2**63}), "64 bits"),
        (blob_of("note", {**NOTE, "step": 1.0}), "found float"),
        (blob_of("note", '{"step": ' + "9" * 5000 + "}"), "note|Note|JSON"),
        (blob_of("dropout_stats", {**DROPOUT, "p": "0.5"}), "wanted a number, found str"),
        (blob_of("dropout_stats", {**DROPOUT, "p": 10**400}), "too large"),
        (blob_of("note", '{"text": ' + "[" * 200_000 + "]" * 200_000 + "}"), "nested deeper than 64"),
        (blob_of("note", '{"text": "' + '\\"' * 99 + '", "step": ' + "[" * 70 + "]" * 70 + "}"), "nested deeper"),
        (blob_of("addresses", {"start": 0, "fqn": ["a"]}, {"call": np.zeros(1, np.uint32)}), "without output"),
        (
            blob_of("addresses", {"start": 0, "fqn": ["a"]}, dict.fromkeys(("call", "output"), np.zeros(2, np.uint32))),
            r"shape \(2,\); wanted \(1,\)",
        ),
        (
            blob_of("addresses", {"start": 0, "fqn": []}, dict.fromkeys(("call", "output"), np.zeros(0, np.int32))),
            "holds I32; wanted U32",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "blob",  # bytes in the order that they happen to have
)
def test_a_blob_that_does_not_fit_is_refused_with_its_reason(blob: bytes, says: str) -> None:
    with pytest.raises(RunFileError, match=says):
        decode(blob)


def test_brackets_inside_texts_are_no_depth() -> None:
    text = '[{"' * 500 + "\\" * 3 + '"'
    assert decode(encode(Note(severity="info", text=text))) == Note(severity="info", text=text)


def header_blob(entries: dict[str, Any], data: bytes) -> bytes:
    header = {"__metadata__": {"kind": "addresses", "json": '{"start":0,"fqn":[]}'}, **entries}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


@pytest.mark.parametrize(
    "entries",
    [
        {"call": {"dtype": "U32", "shape": [2], "data_offsets": [0, 4]}},
        {"call": {"dtype": "U32", "shape": [1], "data_offsets": [0, 4]}},
        {"call": {"dtype": "U32", "shape": [3], "data_offsets": [0, 12]}},
        {"call": {"dtype": "U32", "shape": [1], "data_offsets": [4, 8]}},
        {"call": {"dtype": "U32", "shape": [-1], "data_offsets": [0, 8]}},
        {"call": {"dtype": "U32", "shape": [2**62, 2**62], "data_offsets": [0, 8]}},
        {"call": {"dtype": "U32", "shape": [True], "data_offsets": [0, 8]}},
        {"call": {"dtype": "U32", "shape": [1] * 40, "data_offsets": [0, 4]}},
        {"call": {"dtype": 7, "shape": [2], "data_offsets": [0, 8]}},
        {"call": [1, 2]},
        {"call": {"dtype": "U32", "shape": [2], "data_offsets": [0, 8]},
         "output": {"dtype": "U32", "shape": [1], "data_offsets": [4, 8]}},
    ],
)  # fmt: skip
def test_offsets_that_leave_gaps_overlap_or_leave_the_blob_are_refused(entries: dict[str, Any]) -> None:
    with pytest.raises(RunFileError):
        decode(header_blob(entries, bytes(8)))


@given(EVERY_KIND, st.data())
@settings(max_examples=150, deadline=None)
def test_a_changed_blob_is_a_record_or_a_run_file_error(record: Any, data: st.DataObject) -> None:
    blob = bytearray(encode(record))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(blob)))
    for changed in (bytes(blob), bytes(blob[:cut]), bytes(blob) + bytes(blob[:cut])):
        with contextlib.suppress(RunFileError):
            decode(changed)


def test_what_is_too_large_to_read_is_not_written() -> None:
    assert MAX_HEADER < MAX_RECORD
    with pytest.raises(RunFileError, match="larger than a record may be"):
        encode(
            StepRecord(
                step=0, captured=False, passes=1, seconds=0, step_seconds=None, self_seconds=0,
                scalars={"x" * 2**19 + str(i): 0.0 for i in range(40)},
            )
        )  # fmt: skip


def test_numpy_scalars_and_lists_are_taken_and_wrong_values_are_refused() -> None:
    made = DropoutStats(
        step=np.int64(3), fqn="d", call=0, p=np.float32(0.5), dropped=np.float64(np.nan), nonzero=1, count=2,
        training=np.bool_(True), drops="values", units=2,
    )  # fmt: skip
    read = decode(encode(made))
    assert isinstance(read, DropoutStats) and (read.step, read.p, read.training) == (3, 0.5, True)
    with pytest.raises(RunFileError, match=r"DropoutStats\.step: wanted a whole number, found float"):
        encode(DropoutStats(**{**DROPOUT, "step": 1.5}))


@pytest.mark.parametrize("call", [[-1], [2**32], [0.5], ["1"]])
def test_numbers_are_never_wrapped_or_cut(call: list[Any]) -> None:
    from graphscope.schema import AddressTable

    for function in (encode, with_arrays):
        with pytest.raises(RunFileError, match=r"AddressTable\.call"):
            function(AddressTable(start=0, fqn=["a"], call=call, output=[0]))
