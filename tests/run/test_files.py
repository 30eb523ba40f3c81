"""Files of one run -> one Run: ranks, restarts, lost tables, several runs in a directory."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import pytest

from graphscope.errors import RunFileError
from graphscope.run import RunWriter, load
from graphscope.schema import Note, RunHeader, RunRecord, StepStats
from tests.golden import make_golden, small_cnn
from tests.run.random_records import same
from tests.run.test_reader import FRAMES, HEADER, step


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


@pytest.mark.parametrize("odd", [3, None, b"runs", ["a"]])
def test_what_is_no_path_is_refused_with_words(odd: Any) -> None:
    with pytest.raises(RunFileError, match=r"graphscope\.load\(.*\): a \w+ is no path. Wanted: a run directory"):
        load(odd)


def test_a_file_without_a_record_says_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "x.gscope"
    for content, says in (
        (b"", "can be read there: it is empty. Wanted"),
        (b"x" * 200, "can be read there; there is 1 damaged place. Wanted"),
        (FRAMES[0][:40], "can be read there. Wanted"),
    ):
        path.write_bytes(content)
        with pytest.raises(RunFileError, match=says):
            load(path)
