"""What the short way reads of a StepRecord is what the JSON parser reads of it; what is not plain is left to that."""

from __future__ import annotations

import dataclasses
import math
import random
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphscope.errors import RunFileError
from graphscope.run import codec, decode, encode
from graphscope.run.step_text import step_of
from graphscope.schema import StepRecord
from tests.golden import small_cnn
from tests.run.random_records import records_of, same

NAMES = st.text("abcXYZ019_./ -", min_size=1, max_size=8)
REAL = st.floats(allow_nan=False, allow_infinity=False)
WHOLE = st.integers(-(10**17), 10**17)


@st.composite
def plain_steps(draw: st.DrawFn) -> StepRecord:
    """What a training records, and every None."""
    return StepRecord(
        step=draw(WHOLE), captured=draw(st.booleans()), passes=draw(WHOLE), seconds=draw(REAL),
        step_seconds=draw(st.none() | REAL), self_seconds=draw(REAL),
        scalars=draw(st.dictionaries(NAMES, REAL, max_size=4)), stale_gradients=draw(st.none() | st.booleans()),
        epoch=draw(st.none() | WHOLE), topology=draw(st.none() | WHOLE),
        calls=draw(st.text("abc ()*4_", max_size=30)), backwards=draw(st.none() | WHOLE),
        skipped=draw(st.none() | WHOLE),
    )  # fmt: skip


def by_the_parser(blob: bytes) -> object:
    with patch.object(codec, "step_of", lambda blob: None):
        return decode(blob)


@given(plain_steps())
@settings(max_examples=150, deadline=None)
def test_a_plain_step_is_read_in_one_look(record: StepRecord) -> None:
    found = step_of(encode(record))
    assert found is not None, "a field was added: say in step_text.py how its text looks"
    assert same(found, record) and same(by_the_parser(encode(record)), record)


@given(records_of(StepRecord))
@settings(max_examples=150, deadline=None)
def test_any_step_is_read_as_the_parser_reads_it(record: StepRecord) -> None:
    found = step_of(encode(record))
    assert found is None or same(found, record)
    assert same(decode(encode(record)), by_the_parser(encode(record)))


def test_golden_steps_with_numbers_take_the_short_way_and_nothing_else_does() -> None:
    for record in small_cnn.whole_run():
        plain = isinstance(record, StepRecord) and all(map(math.isfinite, record.scalars.values()))
        found = step_of(encode(record))
        assert same(found, record) if plain else found is None


def test_a_changed_byte_never_gives_another_value_than_the_parser_does() -> None:
    record = dataclasses.replace(
        small_cnn.step_record(1), scalars={"loss": 0.125, "lr": 1e-05}, epoch=3, calls="zero_grad (forward backward)*4"
    )
    blob, chance, accepted = encode(record), random.Random(0), 0
    assert step_of(blob) is not None
    for _ in range(20_000):
        damaged = bytearray(blob)
        at = chance.randrange(len(damaged))
        damaged[at] = chance.choice(b'0123456789.eE+-,:{}[]"\\ anulltrefs')
        if chance.random() < 0.3:
            del damaged[chance.randrange(8, len(damaged))]
            damaged[:8] = (len(damaged) - 8).to_bytes(8, "little")
        found = step_of(bytes(damaged))
        if found is not None:
            accepted += 1
            assert same(found, by_the_parser(bytes(damaged)))
    assert accepted > 100


def test_a_scalar_that_occurs_twice_is_refused() -> None:
    record = dataclasses.replace(small_cnn.step_record(1), scalars={"loss": 0.5, "losz": 2.5})
    twice = encode(record).replace(b"losz", b"loss")
    assert step_of(encode(record)) is not None and step_of(twice) is None
    with pytest.raises(RunFileError, match="twice"):
        decode(twice)
