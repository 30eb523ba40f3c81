"""The blob of a StepRecord as our writer puts it -> the record, in one look.

A large file holds as many of them as steps, and each is one line of text. Whatever looks otherwise in the least is left
to ``decode``, which says what does not fit.
"""

from __future__ import annotations

import re

from graphscope.schema import StepRecord

_INT = rb"-?(?:0|[1-9][0-9]{0,17})"
_FLOAT = rb"-?(?:0|[1-9][0-9]{0,17})(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?"
_SCALAR = rb'\\"[A-Za-z0-9_./ -]{1,80}\\":' + _FLOAT
_VALUES = {
    "step": _INT,
    "captured": rb"true|false",
    "passes": _INT,
    "seconds": _FLOAT,
    "step_seconds": rb"null|" + _FLOAT,
    "self_seconds": _FLOAT,
    "scalars": rb"\{(?:" + _SCALAR + rb"(?:," + _SCALAR + rb")*)?\}",
    "stale_gradients": rb"null|true|false",
    "epoch": rb"null|" + _INT,
    "topology": rb"null|" + _INT,
    "calls": rb'\\"[ !#-\[\]-~]{0,400}\\"',
    "backwards": rb"null|" + _INT,
    "skipped": rb"null|" + _INT,
}
_BLOB = re.compile(
    rb'{"__metadata__":{"kind":"step","json":"{'
    + b",".join(b'\\\\"' + name.encode("ascii") + b'\\\\":(' + value + b")" for name, value in _VALUES.items())
    + rb'}"}} {0,7}'
)
_BOOLS = {b"true": True, b"false": False, b"null": None}


def step_of(blob: bytes) -> StepRecord | None:
    """A blob -> its record; None for every other blob."""
    found = _BLOB.fullmatch(blob, 8)
    if found is None or int.from_bytes(blob[:8], "little") != len(blob) - 8:
        return None
    (
        step, captured, passes, seconds, step_seconds, self_seconds, named, stale, epoch, topology, calls, backwards,
        skipped,
    ) = found.groups()  # fmt: skip
    scalars = {}
    parts = named[1:-1].split(b",") if len(named) > 2 else []
    for part in parts:
        name, _, value = part[2:].partition(b'\\":')
        scalars[name.decode("ascii")] = float(value)
    if len(scalars) != len(parts):
        return None  # a name that occurs twice
    return StepRecord(
        step=int(step),
        captured=captured == b"true",
        passes=int(passes),
        seconds=float(seconds),
        step_seconds=None if step_seconds == b"null" else float(step_seconds),
        self_seconds=float(self_seconds),
        scalars=scalars,
        stale_gradients=_BOOLS[stale],
        epoch=_whole(epoch),
        topology=_whole(topology),
        calls=calls[2:-2].decode("ascii"),
        backwards=_whole(backwards),
        skipped=_whole(skipped),
    )


def _whole(value: bytes) -> int | None:
    return None if value == b"null" else int(value)
