"""Paths and sizes that somebody chose to harm a reader: refused or read within bounds, quickly."""

from __future__ import annotations

import json
import os
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from graphscope.errors import RunFileError
from graphscope.run import RunReader, frame, load
from graphscope.run.frames import masked_crc
from tests.run.test_reader import FRAMES, WHOLE


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
