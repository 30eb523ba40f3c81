"""What was let go of memory is read from the file again: equal to the bit, for one number as for a whole table."""

from __future__ import annotations

import dataclasses
import gc
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings

from graphscope.errors import RunFileError
from graphscope.run import Run, RunWriter, encode, frame, load, places
from graphscope.run.codec import blob_of, with_arrays
from graphscope.run.glance import glance
from graphscope.run.packing import pack
from graphscope.run.places import Place, RunFile
from graphscope.run.stats import RECENT
from graphscope.run.summary import value_at
from graphscope.schema import STATISTICS, AddressTable, StepStats
from tests.golden import small_cnn
from tests.run.random_records import same
from tests.run.test_packing import tables

NAMES = (*STATISTICS, "count", "pos_inf", "neg_inf", "cosine")


@given(tables())
@settings(max_examples=100, deadline=None)
def test_a_number_read_alone_is_that_of_the_table(stats: StepStats) -> None:
    blob = encode(stats)
    seen = glance(blob)
    assert seen is not None and seen.step == stats.step
    assert seen.address.tolist() == stats.address.tolist() and seen.role.tolist() == stats.role.tolist()
    for row in range(len(stats.address)):
        for name in NAMES:
            alone = seen.columns.value(lambda at, length: blob[at : at + length], row, name)
            assert same(alone, value_at(stats, row, name)) or (np.isnan(alone) and np.isnan(value_at(stats, row, name)))


def test_a_table_that_does_not_fit_is_refused_at_a_glance() -> None:
    packed = pack(with_arrays(small_cnn.step_stats(2)))
    assert packed is not None and glance(blob_of(packed)) is not None
    for change in ({"exact": packed.exact[1:]}, {"codes": np.full_like(packed.codes, 9)}, {"absmax": packed.exact}):
        with pytest.raises(RunFileError, match="PackedStats"):
            glance(blob_of(dataclasses.replace(packed, **change)))
    assert glance(encode(small_cnn.step_record(1))) is None
    assert glance(blob_of(packed)[:100]) is None and glance(b"") is None


def recorded(run_dir: Path, steps: int, max_bytes: int) -> tuple[Run, RunWriter]:
    """A live run and its writer, as the recorder feeds them."""
    run, writer = Run(max_bytes=max_bytes), RunWriter(run_dir, small_cnn.HEADER)
    run.add(small_cnn.HEADER)
    for record in small_cnn.whole_run()[1:4]:
        writer.append([record])
        run.add(record)
    for n in range(steps):
        record = dataclasses.replace(small_cnn.step_stats(small_cnn.CAPTURED[n % 5]), step=n)
        writer.append([record])
        assert writer.places is not None
        run.add(record, writer.places[0])
    return run, writer


def test_a_live_run_keeps_the_newest_in_memory_and_reads_the_others_from_its_file(tmp_path: Path) -> None:
    bounded, writer = recorded(tmp_path / "a", 60, max_bytes=40_000)
    whole, other = recorded(tmp_path / "b", 60, max_bytes=1 << 30)
    held = [entry.step for entry in bounded._stats.entries if entry.held is not None]
    assert 1 <= len(held) < 10 and held[-1] == 59 and bounded.thinned == 0
    assert all(entry.held is not None for entry in whole._stats.entries)
    for name in STATISTICS:
        assert same(bounded.series("conv1", name), whole.series("conv1", name))
    for step in (0, 3, 59):
        assert same(bounded.histogram("conv1", "activation", step), whole.histogram("conv1", "activation", step))
        assert same(bounded.records_at(step), whole.records_at(step))
    pairs = zip(bounded.records(), whole.records(), strict=True)
    assert all(same(a, b) for a, b in pairs if isinstance(a, StepStats))
    writer.close()
    other.close()


def test_a_loaded_run_holds_no_table_until_somebody_asks(tmp_path: Path) -> None:
    live, writer = recorded(tmp_path, 20, max_bytes=1 << 30)
    writer.close()
    run = load(tmp_path)
    assert all(entry.held is None for entry in run._stats.entries)
    assert run.addresses("activation") == live.addresses("activation") and run.captured_steps == live.captured_steps
    for role in ("activation", "gradient", "update"):
        for address in run.addresses(role):
            for name in STATISTICS:
                assert same(run.series(address, name, role), live.series(address, name, role))
    assert same(run.records_at(7), live.records_at(7))
    assert [r.step for r in run.records((3, 5)) if isinstance(r, StepStats)] == [3, 5]


def test_addresses_of_a_second_file_are_translated_when_it_is_read_again(tmp_path: Path) -> None:
    """Rank 1 numbers its addresses the other way round."""
    for rank, names in ((0, ["a", "b"]), (1, ["b", "a"])):
        writer = RunWriter(tmp_path, dataclasses.replace(small_cnn.HEADER, rank=rank, world_size=2))
        stats = with_arrays(small_cnn.large_counts()[1])
        stats = dataclasses.replace(
            stats, step=rank, address=np.array([0, 1], np.uint32), role=np.zeros(2, np.uint8), mean=np.array([1.0, 2.0])
        )
        writer.append([AddressTable(start=0, fqn=names, call=[0, 0], output=[0, 0]), stats])
        writer.close()
    run = load(tmp_path)
    assert run.series("a", "mean")[1].tolist() == [1.0, 2.0] and run.series("b", "mean")[1].tolist() == [2.0, 1.0]
    assert run.summary("a", step=1).mean == 2.0 and run.records_at(1)[0].address.tolist() == [1, 0]  # type: ignore[union-attr]


def test_a_file_that_is_gone_or_was_changed_gives_an_error_and_no_number(tmp_path: Path) -> None:
    _, writer = recorded(tmp_path, 5, max_bytes=1)
    writer.close()
    run = load(writer.path)
    RECENT._tables.clear()
    content = bytearray(writer.path.read_bytes())
    place = run._stats.entries[2].place
    assert place is not None
    content[place.offset + place.length // 2] ^= 1
    writer.path.write_bytes(content)  # the same file with other bytes
    with pytest.raises(RunFileError, match="was changed since the run was opened"):
        run.records_at(2)
    assert run.records_at(3), "the others are still read"
    os.truncate(writer.path, place.offset + 10)
    with pytest.raises(RunFileError, match="it ends before byte"):
        run.series("conv1", "mean")
    place.file.close()
    shutil.copy(writer.path, tmp_path / "other")
    os.replace(tmp_path / "other", writer.path)
    with pytest.raises(RunFileError, match="another file has its name now"):
        run.records_at(1)
    writer.path.unlink()
    with pytest.raises(RunFileError, match=r"cannot be read any more.*No such file"):
        run.records_at(1)


def test_few_files_are_open_however_many_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "MOST_OPEN", 3)
    files = []
    for i in range(10):
        (tmp_path / f"{i}.gscope").write_bytes(frame(b"0123456789" + bytes([i])))
        files.append(RunFile(tmp_path / f"{i}.gscope"))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(2):
        for i, file in enumerate(files):
            assert Place(file, 0, 27).payload() == b"0123456789" + bytes([i])
    assert len(os.listdir("/proc/self/fd")) <= before + 3
    for file in files:
        file.close()
        file.close()
    del file, files
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= before
