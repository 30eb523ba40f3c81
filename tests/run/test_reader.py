"""Any file -> its good records, a count of the rest, or a RunFileError: never another value, a crash or a hang."""

from __future__ import annotations

import dataclasses
import os
import random
import tempfile
import threading
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphscope.errors import RunFileError
from graphscope.messages import Pong
from graphscope.run import RunReader, RunWriter, encode, frame, load
from graphscope.run import reader as reader_module
from graphscope.schema import RunEnd, RunHeader, RunRecord, StepRecord, StepStats
from tests.golden import small_cnn

HEADER = RunHeader(run_id="a" * 16, name="Test-1", model="Test", created="2026-01-01T00:00:00+00:00")
FRAMES = [frame(encode(record)) for record in small_cnn.whole_run()]
WHOLE = b"".join(FRAMES)


def step(n: int) -> StepRecord:
    return StepRecord(
        step=n, captured=False, passes=1, seconds=float(n), step_seconds=None, self_seconds=0.0, scalars={"loss": n / 7}
    )


def fingerprint(record: RunRecord) -> bytes:
    return encode(record)


GOOD = {fingerprint(record) for record in small_cnn.whole_run()}


@cache
def mean_of(name: str, at: int) -> float:
    return small_cnn.statistics(small_cnn.values("activation", name, at))["mean"]


def read_all(path: Path) -> tuple[list[RunRecord], RunReader]:
    with RunReader(path) as reader:
        return reader.poll(final=True), reader


def check_mutated(path: Path, content: bytes) -> list[RunRecord]:
    """Reads a mutated small CNN: every record that comes out is one that went in."""
    path.write_bytes(content)
    records, reader = read_all(path)
    assert {fingerprint(record) for record in records} <= GOOD
    lost = len(FRAMES) - len(records)
    assert lost <= 0 or reader.damaged or reader.tail or not any(isinstance(r, RunEnd) for r in records)
    try:
        run = load(path)
    except RunFileError:
        assert not records
        return records
    for address in run.addresses("activation"):
        steps, values = run.series(address, "mean")
        name = address if isinstance(address, str) else address[0]
        for at, value in zip(steps.tolist(), values.tolist(), strict=True):
            assert np.isnan(value) or value == mean_of(name, at)
    return records


def flip_bit(chance: random.Random) -> bytes:
    at = chance.randrange(len(WHOLE))
    return WHOLE[:at] + bytes([WHOLE[at] ^ 1 << chance.randrange(8)]) + WHOLE[at + 1 :]


def truncate(chance: random.Random) -> bytes:
    return WHOLE[: chance.randrange(len(WHOLE))]


def zero(chance: random.Random) -> bytes:
    at = chance.randrange(len(WHOLE) - 4096)
    return WHOLE[:at] + bytes(4096) + WHOLE[at + 4096 :]


def cut_out(chance: random.Random) -> bytes:
    start, end = sorted(chance.sample(range(len(WHOLE)), 2))
    return WHOLE[:start] + WHOLE[end:]


def splice(chance: random.Random) -> bytes:
    start, end = sorted(chance.sample(range(len(WHOLE)), 2))
    at = chance.randrange(len(WHOLE))
    return WHOLE[:at] + WHOLE[start:end] + WHOLE[at:]


def junk(chance: random.Random) -> bytes:
    at = chance.randrange(len(WHOLE))
    return WHOLE[:at] + chance.randbytes(chance.randrange(1, 3000)) + WHOLE[at:]


def overwrite(chance: random.Random) -> bytes:
    content = bytearray(WHOLE)
    for _ in range(chance.randrange(1, 30)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    return bytes(content)


@pytest.mark.parametrize("mutate", [flip_bit, truncate, zero, cut_out, splice, junk, overwrite])
def test_damage_never_gives_another_value(mutate: Callable[[random.Random], bytes], tmp_path: Path) -> None:
    for seed in range(12):
        check_mutated(tmp_path / "x.gscope", mutate(random.Random(f"{mutate.__name__} {seed}")))


@pytest.mark.slow
@pytest.mark.parametrize("mutate", [flip_bit, truncate, zero, cut_out, splice, junk, overwrite])
def test_much_damage_never_gives_another_value(mutate: Callable[[random.Random], bytes], tmp_path: Path) -> None:
    for seed in range(100, 400):
        check_mutated(tmp_path / "x.gscope", mutate(random.Random(f"{mutate.__name__} {seed}")))


def test_a_flipped_bit_costs_exactly_one_record(tmp_path: Path) -> None:
    for seed in range(20):
        records = check_mutated(tmp_path / "x.gscope", flip_bit(random.Random(seed)))
        assert len(records) == len(FRAMES) - 1


def test_a_record_lost_between_two_others_is_counted_by_the_end_record(tmp_path: Path) -> None:
    path = tmp_path / "x.gscope"
    path.write_bytes(b"".join(FRAMES[:5] + FRAMES[6:]))
    assert read_all(path)[1].damaged == 1
    path.write_bytes(b"".join(FRAMES[:-1]))
    records, reader = read_all(path)
    assert reader.damaged == 0 and reader.end is None and len(records) == len(FRAMES) - 1


def test_bytes_behind_the_end_record_are_damage(tmp_path: Path) -> None:
    path = tmp_path / "x.gscope"
    for extra in (b"x", b"0123456789a", bytes(100), FRAMES[4][:50]):
        path.write_bytes(WHOLE + extra)
        records, reader = read_all(path)
        assert (len(records), reader.damaged) == (len(FRAMES), 1), extra


@given(st.binary(max_size=300))
def test_any_bytes_are_no_run(data: bytes) -> None:
    path = Path(tempfile.gettempdir()) / f"graphscope-test-{os.getpid()}.gscope"
    path.write_bytes(data)
    try:
        with pytest.raises(RunFileError, match="no GraphScope record can be read"):
            load(path)
    finally:
        path.unlink()


@given(st.binary(max_size=200), st.binary(max_size=60))
def test_whole_frames_of_anything_are_counted(payload: bytes, tail: bytes) -> None:
    path = Path(tempfile.gettempdir()) / f"graphscope-test-{os.getpid()}.gscope"
    path.write_bytes(FRAMES[0] + frame(bytes(10) + payload) + FRAMES[-1])
    try:
        records, reader = read_all(path)
        assert len(records) == 2 and reader.damaged == 1
    finally:
        path.unlink()


def test_a_reader_follows_a_growing_file_and_waits_at_a_torn_end(tmp_path: Path) -> None:
    path = tmp_path / "x.gscope"
    seen: list[RunRecord] = []
    with path.open("wb") as file, RunReader(path) as reader:
        position = 0
        chance = random.Random(1)
        while position < len(WHOLE):
            size = chance.choice([1, 5, 11, 700, 9000])
            file.write(WHOLE[position : position + size])
            file.flush()
            position = min(position + size, len(WHOLE))
            seen += reader.poll()
            assert reader.damaged == 0 and reader.position + reader.tail == position
        assert [fingerprint(r) for r in seen] == [fingerprint(r) for r in small_cnn.whole_run()]
        assert reader.poll() == [] and reader.tail == 0 and reader.end is not None


def test_readers_see_a_growing_prefix_while_a_writer_writes(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, HEADER)
    failures: list[BaseException] = []
    stop = threading.Event()

    def follow() -> None:
        try:
            with RunReader(writer.path) as reader:
                seen = 0
                while True:
                    last = stop.is_set()
                    for record in reader.poll():
                        if isinstance(record, StepRecord):
                            assert record.step == seen and record.scalars == {"loss": seen / 7}
                            seen += 1
                    if last:
                        break
                assert (seen, reader.damaged, reader.end is not None) == (600, 0, True)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=follow) for _ in range(3)]
    for thread in threads:
        thread.start()
    before = set(os.listdir(tmp_path))
    for n in range(600):
        writer.append([step(n)])
    writer.close()
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures and set(os.listdir(tmp_path)) == before


def test_a_record_larger_than_one_read_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "CHUNK", 100)
    path = tmp_path / "x.gscope"
    path.write_bytes(WHOLE)
    records, reader = read_all(path)
    assert len(records) == len(FRAMES) and reader.damaged == 0


def test_damage_that_spans_many_reads_is_counted_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader_module, "CHUNK", 200)
    path = tmp_path / "x.gscope"
    path.write_bytes(FRAMES[0] + b"\x55" * 5000 + FRAMES[-1])
    records, reader = read_all(path)
    assert [r.kind for r in records] == ["run_header", "run_end"] and reader.damaged == 1


def test_replies_have_no_place_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "x.gscope"
    path.write_bytes(FRAMES[0] + frame(encode(Pong(request=1))))
    run = load(path)
    assert run.unknown == {"pong": 1} and run.damaged == 0


def test_a_record_whose_columns_do_not_fit_is_counted(tmp_path: Path) -> None:
    stats = next(r for r in small_cnn.whole_run() if isinstance(r, StepStats))
    path = tmp_path / "x.gscope"
    path.write_bytes(FRAMES[0] + frame(encode(dataclasses.replace(stats, mean=stats.mean[:-1]))) + FRAMES[-1])  # type: ignore[index]
    run = load(path)
    assert run.damaged == 1 and run.captured_steps == []
