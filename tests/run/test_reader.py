"""Any file -> its good records, a count of the rest, or a RunFileError: never another value, a crash or a hang."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphscope.errors import RunFileError
from graphscope.messages import Pong
from graphscope.run import RunReader, RunWriter, encode, frame, load
from graphscope.run import reader as reader_module
from graphscope.run.frames import masked_crc
from graphscope.schema import Note, RunEnd, RunHeader, RunRecord, StepRecord, StepStats
from tests.golden import make_golden, small_cnn
from tests.run.random_records import same

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
            assert np.isnan(value) or value == small_cnn.statistics(small_cnn.values("activation", name, at))["mean"]
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


# Paths


def test_only_regular_files_of_that_name_are_opened(tmp_path: Path) -> None:
    real = tmp_path / "real.gscope"
    real.write_bytes(WHOLE)
    (tmp_path / "link.gscope").symlink_to(real)
    (tmp_path / "dir.gscope").mkdir()
    os.mkfifo(tmp_path / "pipe.gscope")
    (tmp_path / "real.txt").write_bytes(WHOLE)
    for name, says in (
        ("link.gscope", "it is a symbolic link"),
        ("pipe.gscope", "is no regular file"),
        ("real.txt", "does not end in .gscope"),
        ("missing.gscope", "No such file"),
    ):
        with pytest.raises(RunFileError, match=says):
            RunReader(tmp_path / name)
    with pytest.raises(RunFileError, match="is no regular file|holds no .gscope file"):
        load(tmp_path / "dir.gscope")
    assert load(tmp_path).finished, "in a directory everything but the real file is passed over"
    assert len(load(tmp_path).headers) == 1


def test_a_file_without_permission_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(path: Any, flags: int) -> int:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "open", denied)
    with pytest.raises(RunFileError, match="Permission denied"):
        RunReader(tmp_path / "x.gscope")


def test_an_error_of_the_disk_while_reading_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(fd: int, size: int, position: int) -> bytes:
        raise OSError(5, "Input/output error")

    path = tmp_path / "x.gscope"
    path.write_bytes(WHOLE)
    with RunReader(path) as reader:
        monkeypatch.setattr(os, "pread", broken)
        with pytest.raises(RunFileError, match="cannot be read at byte 0: .*Input/output error"):
            reader.poll()


# Hostile sizes


def limited(code: str, *arguments: str) -> str:
    """Runs code with 1.5 GiB of memory and 20 s -> what it printed."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (3 << 29, 3 << 29))

    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60, preexec_fn=limit,
        cwd=Path(__file__).parent.parent.parent, env={**os.environ, "OPENBLAS_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


LOAD = """
import sys, time
from graphscope.run import load
from graphscope.errors import RunFileError
begun = time.monotonic()
try:
    run = load(sys.argv[1])
    print(run.damaged, len(run.steps), [note.text for note in run.notes])
except RunFileError as error:
    print(error)
assert time.monotonic() - begun < 20
"""


def test_a_sparse_terabyte_is_given_up(tmp_path: Path) -> None:
    path = tmp_path / "x.gscope"
    path.write_bytes(FRAMES[0])
    try:
        os.truncate(path, 1 << 40)
    except OSError:
        pytest.skip("this file system has no sparse terabyte")
    out = limited(LOAD, str(path))
    assert out.startswith("1 0") and "was given up at byte" in out


def test_claimed_sizes_are_never_allocated(tmp_path: Path) -> None:
    length = struct.pack("<Q", (64 << 20) - 16)
    claim = length + struct.pack("<I", masked_crc(length))
    blob_length = struct.pack("<Q", 2**62) + b"{}"
    shape = {"__metadata__": {"kind": "addresses", "json": "{}"}}
    shape |= {"call": {"dtype": "U32", "shape": [2**20] * 3, "data_offsets": [0, 8]}}  # type: ignore[dict-item]
    text = json.dumps(shape).encode()
    deep = b'{"__metadata__":' + b"[" * 5_000_000
    for content in (
        claim,
        frame(blob_length),
        frame(struct.pack("<Q", len(text)) + text + bytes(8)),
        frame(struct.pack("<Q", len(deep)) + deep),
        claim + FRAMES[-1],
    ):
        path = tmp_path / "x.gscope"
        path.write_bytes(FRAMES[0] + content)
        out = limited(LOAD, str(path))
        assert out.startswith(("0 0", "1 0")), out


def test_twenty_thousand_files_are_refused_quickly(tmp_path: Path) -> None:
    for i in range(20_000):
        (tmp_path / f"rank-{i}.gscope").touch()
    begun = time.monotonic()
    with pytest.raises(RunFileError, match="more than 4,096 run files"):
        load(tmp_path)
    assert time.monotonic() - begun < 10


# Several files


def write(directory: Path, header: RunHeader, records: list[RunRecord], end: bool = True) -> Path:
    writer = RunWriter(directory, header)
    writer.append(records)
    if end:
        writer.close()
    return writer.path


def test_two_ranks_become_one_run(tmp_path: Path) -> None:
    zero_rank = [r for r in small_cnn.whole_run()[1:-1] if not (isinstance(r, StepStats) and r.step == 5)]
    header = dataclasses.replace(small_cnn.HEADER, world_size=2)
    # Rank 1 numbers its addresses the other way round and has one more.
    names = [*reversed(small_cnn.ADDRESSES), "only.here"]
    table = small_cnn.AddressTable(start=0, fqn=names, call=[0] * 12, output=[0] * 12)
    one = []
    for n in small_cnn.CAPTURED:
        stats = small_cnn.step_stats(n)
        address = [11 if n == 2 and i == 0 else 10 - a for i, a in enumerate(stats.address)]
        one.append(dataclasses.replace(stats, address=address, mean=[m + 100.0 for m in stats.mean]))
    rank_one = [table, *one, *(dataclasses.replace(small_cnn.step_record(n), scalars={"loss": -1.0}) for n in range(6))]
    write(tmp_path, dataclasses.replace(header, rank=1), rank_one, end=False)
    write(tmp_path, header, zero_rank)
    run = load(tmp_path)
    assert [h.rank for h in run.headers] == [0, 1] and not run.finished and run.damaged == 0
    assert len(run.step_records) == 6 and run.scalars("loss")[1][0] == 2.25, "steps and scalars are those of rank 0"

    def mean(n: int) -> float:
        return small_cnn.statistics(small_cnn.values("activation", "conv1", n))["mean"]

    steps, values = run.series("conv1", "mean")
    assert steps.tolist() == list(small_cnn.CAPTURED)
    assert values.tolist()[:4] == [mean(n) for n in small_cnn.CAPTURED[:4]], "rank 0 where it has the step"
    assert values[4] == mean(5) + 100.0, "else the next rank"
    assert run.summary("only.here", step=2).mean == run.summary("", step=2).mean + 100.0
    # What comes out is one consistent run again.
    again = tmp_path / "again.gscope"
    again.write_bytes(b"".join(run.frames()))
    read = load(again)
    assert same(read.series("conv1", "mean"), run.series("conv1", "mean")) and read.addresses() == run.addresses()


def test_a_directory_with_two_runs_gives_the_newest_and_says_so(tmp_path: Path) -> None:
    old = write(tmp_path, HEADER, [step(0)])
    write(tmp_path, dataclasses.replace(HEADER, run_id="b", name="Test-2", created="2026-01-02"), [step(0), step(1)])
    (tmp_path / "notes.txt").write_text("nothing of ours")
    run = load(tmp_path)
    assert run.header and run.header.name == "Test-2" and run.steps == [0, 1]
    assert "holds 2 runs" in run.notes[0].text and old.name in run.notes[0].text
    assert load(old).steps == [0]


def test_a_lost_address_table_leaves_gaps_and_no_wrong_names(tmp_path: Path) -> None:
    records = small_cnn.whole_run()
    tables = [i for i, record in enumerate(records) if record.kind == "addresses"]
    path = tmp_path / "x.gscope"
    path.write_bytes(b"".join(f for i, f in enumerate(FRAMES) if i != tables[0]))
    run = load(path)
    assert run.damaged == 1 and run.addresses("activation") == []
    want = small_cnn.statistics(small_cnn.values("parameter", "fc.weight", 4))["l2"]
    assert run.summary("fc.weight", "parameter", 4).l2 == want
    assert sum(1 for _ in run.frames()) and run.to_dataframe()["fqn"].isin(small_cnn.ADDRESSES[7:]).all()


def test_a_directory_of_runs_names_them(tmp_path: Path) -> None:
    write(tmp_path / "first", HEADER, [])
    with pytest.raises(RunFileError, match=r"holds no .gscope file. Runs inside it: first\."):
        load(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RunFileError, match="Wanted: the directory that a session wrote"):
        load(tmp_path / "empty")
    with pytest.raises(RunFileError, match="there is no such file or directory"):
        load(tmp_path / "nothing")


def test_a_file_without_its_header_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "x.gscope"
    path.write_bytes(bytes(50) + b"".join(FRAMES[1:]))
    run = load(path)
    assert run.header is None and run.damaged == 1 and run.steps == list(small_cnn.STEPS) and run.graph is not None
    assert "header lost" in repr(run)


def test_a_large_run_opens_quickly(tmp_path: Path) -> None:
    writer = RunWriter(tmp_path, small_cnn.HEADER)
    writer.append(small_cnn.whole_run()[1:4])
    stats = small_cnn.step_stats(0)
    for n in range(2000):
        writer.append([dataclasses.replace(stats, step=n), step(n)])
    writer.close()
    begun = time.perf_counter()
    run = load(tmp_path)
    assert len(run.captured_steps) == 2000 and time.perf_counter() - begun < 10


def test_what_is_a_note_of_loading_is_a_record_like_others() -> None:
    run = load(Path(make_golden.__file__).parent / "damaged.gscope")
    assert [r.text for r in run.records() if isinstance(r, Note)] == [note.text for note in run.notes]
