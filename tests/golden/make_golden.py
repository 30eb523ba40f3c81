"""Writes the golden run files: ``python tests/golden/make_golden.py``. A test holds the committed files against it.

small_cnn      a finished run, with small_cnn.json saying what a reader must find
killed         the same, cut off in the middle of its last StepStats: no RunEnd, an unfinished record at the end
damaged        the same with one flipped bit in the StepStats of step 2 and 100 zero bytes put between two records
newer          one of a later minor version: an unknown kind, an unknown field, an unknown array
other_major    one of another major version: refused
plain_stats    the same run as version 1.0 of the format wrote it, with every StepStats in full
large_counts   a StepStats whose numbers need every column of the packed form
odd_values     texts and numbers that break careless readers
"""

from __future__ import annotations

import dataclasses
import json
import math
import struct
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent))

from graphscope.run.codec import blob_of, encode, with_arrays  # noqa: E402
from graphscope.run.frames import frame  # noqa: E402
from graphscope.schema import AddressTable, Note, RunEnd, RunHeader, StepRecord, StepStats  # noqa: E402
from tests.golden import small_cnn  # noqa: E402

ODD_TEXTS = (
    "<script>alert(1)</script>", "</script><!--", "a\u202egpj.exe", "nul\x00byte", "\ud800 lone surrogate",
    "__proto__", "constructor", "line\u2028separator", "🧠" * 5, "", "x" * 10_000, '"; DROP TABLE', "../../etc/passwd",
)  # fmt: skip
ODD_NUMBERS = {
    "nan": math.nan, "inf": math.inf, "-inf": -math.inf, "-0": -0.0, "denormal": 5e-324,
    "largest": 1.7976931348623157e308, "third": 1 / 3,
}  # fmt: skip


def raw(kind: str, fields: dict[str, Any], tensor: tuple[str, str, int] | None = None) -> bytes:
    """A frame made without our codec, as another version would write it; ``tensor``: name, dtype, bytes of zeros."""
    header: dict[str, Any] = {"__metadata__": {"kind": kind, "json": json.dumps(fields)}}
    name, dtype, size = tensor or ("", "", 0)
    if tensor:
        header[name] = {"dtype": dtype, "shape": [size // 2], "data_offsets": [0, size]}
    text = json.dumps(header).encode()
    return frame(struct.pack("<Q", len(text)) + text + bytes(size))


def small_cnn_frames() -> list[bytes]:
    return [frame(encode(record)) for record in small_cnn.whole_run()]


def plain_stats() -> bytes:
    header = dataclasses.replace(small_cnn.HEADER, schema_minor=0)
    plain = [header, *(with_arrays(r) if isinstance(r, StepStats) else r for r in small_cnn.whole_run()[1:])]
    return b"".join(frame(blob_of(record)) for record in plain)


def large_counts() -> bytes:
    return b"".join(frame(encode(record)) for record in (small_cnn.HEADER, *small_cnn.large_counts()))


def index_of_stats(step: int) -> int:
    return next(i for i, r in enumerate(small_cnn.whole_run()) if isinstance(r, StepStats) and r.step == step)


def killed() -> bytes:
    frames, last = small_cnn_frames(), index_of_stats(5)
    return b"".join(frames[:last]) + frames[last][: len(frames[last]) // 2]


def damaged() -> bytes:
    frames, third = small_cnn_frames(), index_of_stats(2)
    flipped = bytearray(frames[third])
    flipped[len(flipped) // 2] ^= 0x10
    frames[third] = bytes(flipped)
    frames.insert(index_of_stats(4), bytes(100))
    return b"".join(frames)


def newer() -> bytes:
    header = {"run_id": "beef", "name": "Later-1", "model": "Later", "created": "", "schema_major": 1,
              "schema_minor": 7, "graphscope": "0.9.0", "mood": "bright"}  # fmt: skip
    return b"".join(
        [
            raw("run_header", header),
            raw("hologram", {"step": 1}, ("field", "F16", 8)),
            raw("note", {"severity": "info", "text": "known"}, ("aura", "F16", 6)),
            frame(encode(RunEnd(steps=0, records=3))),
        ]
    )


def other_major() -> bytes:
    return raw("run_header", {"run_id": "beef", "schema_major": 2, "graphscope": "9.0.0", "all": "different"})


def odd_values() -> bytes:
    header = RunHeader(run_id="0dd", name=ODD_TEXTS[0], model=ODD_TEXTS[4], created=ODD_TEXTS[1])
    records = [
        header,
        *(Note(severity="warning", text=text) for text in ODD_TEXTS),
        AddressTable(start=0, fqn=ODD_TEXTS, call=[0] * len(ODD_TEXTS), output=[2**32 - 1] * len(ODD_TEXTS)),
        StepRecord(step=0, captured=False, passes=1, seconds=0.0, step_seconds=None, self_seconds=0.0,
                   scalars=dict(ODD_NUMBERS)),
        StepRecord(step=2**53, captured=False, passes=1, seconds=1.0, step_seconds=1.0, self_seconds=0.0,
                   scalars={text: 1.0 for text in ODD_TEXTS}, epoch=-1),
    ]  # fmt: skip
    return b"".join(frame(encode(r)) for r in [*records, RunEnd(steps=2, records=len(records))])


def files() -> dict[str, bytes]:
    """File name -> content."""
    text = json.dumps(small_cnn.expected(), indent=1, allow_nan=False) + "\n"
    return {
        "small_cnn.gscope": b"".join(small_cnn_frames()),
        "small_cnn.json": text.encode(),
        "plain_stats.gscope": plain_stats(),
        "large_counts.gscope": large_counts(),
        "killed.gscope": killed(),
        "damaged.gscope": damaged(),
        "newer.gscope": newer(),
        "other_major.gscope": other_major(),
        "odd_values.gscope": odd_values(),
    }


if __name__ == "__main__":
    for name, content in files().items():
        (HERE / name).write_bytes(content)
        print(f"make_golden: wrote {name}, {len(content):,} bytes")
